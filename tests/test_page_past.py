"""Earlier sessions on the page, in a real Chromium: found, opened, scrubbed, and never taken for live."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from archived import answer, calls, prompt, recorded_home, session_id, write_session
from page import Instance, Page, instances
from program import PROGRAM, environment, port_in
from sightings import SESSION
from support import TIMEOUT, wait_until

from claude_mpm.archive import past as archive_past
from claude_mpm.archive.past import Past
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.server.http.peer_user import PeerCheck

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser

ONE, TWO, THREE = (session_id(number) for number in (1, 2, 3))
DAY = 86_400
HOSTILE = "<img src=x onerror=window.pwned=1>\u202egnp\x1b[31mred"


@contextmanager
def remembering(config_dir: Path, count: int = 1) -> Iterator[list[Instance]]:
    """Servers of running sessions that can read the sessions below `config_dir`."""
    past = Past(config_dir, config_dir / "recordings", dict)
    with instances(count) as made:
        for instance in made:
            instance._server._session = replace(instance._server._session, past=past)
            instance.begin()
        try:
            yield made
        finally:
            past.close()


def three_sessions(config_dir: Path) -> None:
    """Ended three, two and one days ago."""
    for number, name in enumerate((ONE, TWO, THREE), 1):
        at = time.time() - (4 - number) * DAY - 60
        stamps = [ev.rfc3339(at + 10 * step) for step in range(6)]
        write_session(
            config_dir,
            name,
            prompt(f"Task number {number}", stamps[0]),
            answer(f"Looking into {number}", stamps[1]),
            calls("Bash", {"command": f"make test-{number}"}, stamps[2]),
            prompt(f"And then {number}", stamps[4]),
            answer(f"Done with {number}", stamps[5]),
            at=at + 50,
        )


def titles(page: Page) -> list[str]:
    return list(page.js("return [...document.querySelectorAll('.earlier b')].map(e => e.textContent)"))


def cards(page: Page) -> int:
    return page.count("#cards .card")


def opened(page: Page) -> bool:
    """The selected session is one of the past, read to its end."""
    return page.text("#link") == "■ earlier session"


def address(page: Page) -> str:
    return str(page.js("return location.hash"))


def test_the_list_is_under_the_running_sessions_newest_first_and_in_the_overview(page: Page, tmp_path: Path) -> None:
    three_sessions(tmp_path)
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: titles(page) == ["Task number 3", "Task number 2", "Task number 1"], "the earlier sessions")
        assert cards(page) == 1 and page.js(
            "return document.querySelector('#rail').contains(document.querySelector('#past'))"
        )
        assert "2 days ago" in page.text("#past") and "w ⎇ main" in page.text("#past")
        page.keys("o")
        page.until(lambda: page.shows("#overview #past"), "the list below the overview")
        assert len(titles(page)) == 3 and "project-1" in page.text("#overview")


def test_a_session_is_found_by_its_text_opened_and_scrubbed_to_three_moments(page: Page, tmp_path: Path) -> None:
    three_sessions(tmp_path)
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: len(titles(page)) == 3, "the earlier sessions")
        page.click("#past-search")
        page.keys("MAKE TEST-2")
        page.until(lambda: titles(page) == ["Task number 2"], "the one that was searched for")
        assert "make test-2" in page.text(".earlier .match")
        page.click(".earlier")
        page.until(lambda: opened(page), "the session is open")
        assert address(page) == f"#/past/{TWO}/conversation"
        assert page.text("#name") == "Task number 2" and page.text("#mood").endswith("ended")
        assert "Ended 2 days ago" in page.text("#ended-text")
        assert "Done with 2" in page.text("#talk") and not page.shows("#needs")
        start = int(page.module("store.js", "m.store.sessions.get(m.view.session).log.oldestAt"))
        for seconds, there, missing in (
            (0, "Task number 2", "Looking into 2"),
            (12, "Looking into 2", "make test-2"),
            (42, "And then 2", "Done with 2"),
        ):
            page.module("actions.js", "m.move((cursor) => cursor.seek(a[0]))", start + seconds * 1000)
            page.until(lambda there=there: there in page.text("#talk"), f"{there} at {seconds} s")  # type: ignore[misc]
            assert missing not in page.text("#talk")
            assert f"at={start + seconds * 1000}" in address(page)
        page.driver.refresh()  # the address holds the session and the moment
        page.until(lambda: opened(page) and "And then 2" in page.text("#talk"), "the same moment after a reload")
        assert "Done with 2" not in page.text("#talk")


def test_back_leads_from_the_past_to_the_running_session(page: Page, tmp_path: Path) -> None:
    three_sessions(tmp_path)
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: len(titles(page)) == 3, "the earlier sessions")
        page.live()
        page.click(".earlier")
        page.until(lambda: opened(page), "the session is open")
        assert cards(page) == 1, "a session of the past is no card among the running ones"
        page.driver.back()
        page.live()
        assert page.text("#name") == "project-1"


def test_a_long_list_and_a_long_session_come_in_pages(page: Page, tmp_path: Path) -> None:
    now = time.time()
    for number in range(60):
        at = now - number * 3600
        write_session(tmp_path, session_id(number), prompt(f"Task {number}", ev.rfc3339(at)), at=at)
    turns = [answer(f"line {number}", ev.rfc3339(now - 90_000 + number)) for number in range(4500)]
    write_session(tmp_path, session_id(99), prompt("Long", ev.rfc3339(now - 90_001)), *turns, at=now + 5)
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: len(titles(page)) == 25, "the first page")
        page.click("#past-more")
        page.until(lambda: len(titles(page)) == 50, "the second page")
        page.click("#past-more")
        page.until(lambda: len(titles(page)) == 61 and not page.shows("#past-more"), "the last page")
        assert len(set(titles(page))) == 61
        page.click(".earlier")
        page.until(lambda: opened(page), "the long session is read to its end")
        seqs = page.module("store.js", "m.store.sessions.get(m.view.session).log.events().map((e) => e.seq)")
        assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) > 4500
        page.until(lambda: "Show earlier (" in page.text("#talk"), "a long conversation is shown in part")
        assert page.shows("#rail .earlier"), "the list stays in the rail"


@pytest.mark.parametrize("version", ["1.0.128", "2.1.330"])
def test_a_recorded_session_shows_what_the_server_reads(page: Page, tmp_path: Path, version: str) -> None:
    recorded_home(tmp_path, version)
    past = Past(tmp_path, tmp_path / "recordings", dict)
    whole = past.events(SESSION, since=0, before=None, limit=10_000, max_bytes=1 << 30)
    assert whole is not None
    with remembering(tmp_path) as (first,):
        page.open(f"{first.url}#/past/{SESSION}/changes")
        page.until(lambda: opened(page), "the session of the address")
        total = page.module("store.js", "m.store.sessions.get(m.view.session).total")
        assert total == len(whole[0])
        assert page.js("return document.querySelector('#tab-changes').ariaSelected") == "true"


def test_a_session_that_ended_is_readable_after_a_reload_though_its_server_is_gone(page: Page, tmp_path: Path) -> None:
    three_sessions(tmp_path)
    with remembering(tmp_path, 2) as (first, second):
        second.feed(ev.session_start(TWO, second.info, "subprocess", time.time(), reason="resume"))
        page.open(first.url)
        page.until(lambda: cards(page) == 2, "both sessions")
        instance = second.log.instance_id
        page.module("actions.js", "m.choose(a[0])", instance)
        page.live()
        second.feed(ev.session_end(TWO, time.time(), 5.0, exit_code=0, signal=None, reason="exit"))
        second.stop()
        page.until(lambda: page.text("#link") == "■ session over", "the end")
        assert instance in address(page)
        page.until(lambda: "stays under Earlier" in page.text("#ended-text"), "where it will be found")
        page.driver.refresh()
        page.until(lambda: opened(page), "its past, from the other instance")
        assert address(page) == f"#/past/{TWO}/conversation" and "Done with 2" in page.text("#talk")


def test_a_session_that_may_not_be_read_says_so(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three_sessions(tmp_path)
    monkeypatch.setattr(PeerCheck, "check", lambda self, sock, since: False)  # the user is unknown, as on macOS
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: "with the token" in page.text("#past-note"), "why the list is empty")
        assert page.shows("#past-form") and not page.shows("#past-search")
        page.open(f"{first.url}#/past/{ONE}/conversation")
        page.until(lambda: "may not be read" in page.text("#start-title"), "why the session is not shown")
        assert not page.shows("#one")


def test_a_session_that_is_not_there_says_so(page: Page, tmp_path: Path) -> None:
    with remembering(tmp_path) as (first,):
        page.open(f"{first.url}#/past/{ONE}/conversation")
        page.until(lambda: f"there is no session {ONE}" in page.text("#start-text"), "that there is none")
        assert page.text("#start-title") == "This session cannot be read"


def test_a_server_without_a_past_shows_no_list(page: Page) -> None:
    with instances(1) as (first,):
        first.begin()
        page.open(first.url)
        page.live()
        page.until(lambda: page.module("sources/past.js", "m.past.state") == "absent", "the server's refusal")
        page.frame()
        assert not page.shows("#past")


def test_a_search_that_takes_long_goes_on_and_a_newer_one_wins(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_sessions(tmp_path)
    monkeypatch.setattr(archive_past, "SEARCH_TIME", -1.0)  # a reply after each session
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: len(titles(page)) == 3, "the earlier sessions")
        page.click("#past-search")
        page.keys("number 1")
        page.until(lambda: titles(page) == ["Task number 1"], "the oldest one")
        page.keys("2")
        page.until(lambda: page.text("#past-note") == "No session contains this text.", "none")


def test_titles_and_matches_are_text_whatever_they_hold(page: Page, tmp_path: Path) -> None:
    write_session(tmp_path, ONE, prompt(HOSTILE), answer("ok"), at=time.time() - DAY)
    with remembering(tmp_path) as (first,):
        page.open(first.url)
        page.until(lambda: len(titles(page)) == 1, "the session")
        page.click("#past-search")
        page.keys("onerror")
        page.until(lambda: page.shows(".earlier .match"), "the match")
        page.click(".earlier")
        page.until(lambda: opened(page), "the session is open")
        shown = page.text("body")
        assert "\u202e" not in shown and "\x1b" not in shown and page.count("#past img, #name img") == 0
        assert page.js("return window.pwned === undefined")


# --- servers that serve nothing but the past ---------------------------------------------------------


@contextmanager
def program(home: Path, *args: str) -> Iterator[int]:
    """`claude-mpm ARGS`, and the port of its page."""
    said = home / "said"
    with open(said, "wb") as output:
        process = subprocess.Popen(
            [*PROGRAM, *args], env=environment(home, BROWSER="/bin/true"), cwd=home, stdout=output, stderr=output
        )
    try:
        yield wait_until(lambda: port_in(said.read_bytes()), f"the address of {args}") or 0
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) is not None


def test_with_nothing_running_the_overview_with_the_earlier_sessions_comes_at_once(page: Page, tmp_path: Path) -> None:
    three_sessions(tmp_path / ".claude")
    with program(tmp_path, "monitor") as port:
        page.open(f"http://localhost:{port}/")
        page.until(lambda: len(titles(page)) == 3, "the earlier sessions")
        assert page.shows("#overview #past") and not page.shows("#rail") and not page.shows("#one")
        page.click(".earlier")
        page.until(lambda: opened(page) and "Done with 3" in page.text("#talk"), "the newest one")


def test_a_replay_shows_its_session_at_once_and_does_not_pretend_to_be_live(page: Page, tmp_path: Path) -> None:
    three_sessions(tmp_path / ".claude")
    with program(tmp_path, "replay", TWO) as port:
        page.open(f"http://localhost:{port}/")
        page.until(lambda: "Done with 2" in page.text("#talk"), "the session")
        page.until(lambda: page.text("#link") == "▶ replay", "what it is")
        assert not page.module("store.js", "m.isLive(m.store.sessions.get(m.view.session))")
        assert "2 days ago" in page.text("#ended-text")


def test_a_replay_in_time_asks_nobody_for_an_answer(page: Page, tmp_path: Path) -> None:
    asked = {"kind": "permission", "tool": "Bash", "input": {"command": "ls"}}
    with instances(1) as (first,):
        first.info["kind"] = "replay"
        first.begin()
        first.feed(ev.claude_status("running", origin=Origin("hook", 5.0), activity="waiting", waiting_for=asked))
        page.open(first.url)
        page.until(lambda: page.text("#link") == "▶ replay", "the session")
        page.until(
            lambda: page.module("store.js", "m.store.sessions.get(m.view.session).shown.status.activity") == "waiting",
            "w",
        )
        page.frame()
        assert not page.shows("#needs") and not page.shows("#needy")
