"""The page in a real Chromium, against real servers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page import Instance, Page, axe_source, foreign_server, instances, unused_port
from scripted_server import scripted
from support import DATA, ROOT, TIMEOUT

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.screen.emulator import available
from claude_mpm.screen.screen import Screen

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser

PERMISSION = {"kind": "permission", "tool": "Bash", "input": {"command": "rm -rf build"}}
HOSTILE = (
    "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>"
    "\x1b[31mred\x1b[0m\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\x1b]52;c;ZXZpbA==\x07\x07"
    "abc\u202egnp.exe\u2066\u200f\U000e0041 `<b>code</b>`\n```\n<i>fence</i>\n```"
)
UNSEEN = "\x1b\x07\u202e\u2066\u200f\U000e0041"
FAKE_NOTIFICATION = """
window.notes = []; window.asked = 0; window.answer = "granted";
window.Notification = class {
  constructor(title, options) { Object.assign(this, { title, body: options.body, open: true }); window.notes.push(this); }
  close() { this.open = false; }
  static get permission() { return window.asked || window.already ? window.answer : "default"; }
  static async requestPermission() { window.asked++; return window.answer; }
};
Document.prototype.hasFocus = () => false;
"""


SHOW_FOURTH = """
return Promise.all(["store.js", "render/events.js"].map((name) => import("/page/" + name))).then(([{ store, view }, events]) =>
  events.showEvent(store.sessions.get(view.session).log.events()[3]));
"""
SECRET = "secret-token-of-the-test"


CLOCK = """
window.told = window.off = 0;
new MutationObserver(() => { window.off ||= performance.now(); }).observe(document.querySelector("title"), { childList: true });
return import("/page/store.js").then(({ store }) => {
  for (const link of store.links.values())
    link.ws.addEventListener("message", (m) => { if (m.data.includes('"working"')) window.told ||= performance.now(); });
});
"""


@pytest.fixture
def prepare(page: Page) -> Iterator[Callable[[str], None]]:
    """Run a script in every page before its own."""
    made: list[str] = []

    def add(source: str) -> None:
        made.append(page.cdp("Page.addScriptToEvaluateOnNewDocument", source=source)["identifier"])

    yield add
    for identifier in made:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)


def waiting(instance: Instance, wanted: Any = None) -> None:
    instance.feed(
        ev.claude_status("running", origin=Origin("hook"), activity="waiting", waiting_for=wanted or PERMISSION)
    )


def working(instance: Instance) -> None:
    instance.feed(ev.claude_status("running", origin=Origin("hook"), activity="working"))


def say(instance: Instance, text: str, role: Any = "assistant", at: float | None = None, **more: Any) -> None:
    instance.feed(ev.claude_message(role, text, origin=Origin("transcript", at), **more))


def names(page: Page) -> list[str]:
    return list(page.js("return [...document.querySelectorAll('.card b')].map(e => e.textContent)"))


def mood(page: Page, name: str) -> str:
    script = (
        "return [...document.querySelectorAll('.card')].find(c => c.innerText.includes(arguments[0]))?.dataset.mood"
    )
    return str(page.js(script, name))


# --- all instances -----------------------------------------------------------------------------------


def test_one_connection_leads_to_all_instances_and_who_needs_the_user_is_marked_and_counted(page: Page) -> None:
    with instances(3) as (first, second, third):
        for instance in (first, second, third):
            instance.begin()
        page.open(first.url)
        page.until(lambda: sorted(names(page)) == ["project-1", "project-2", "project-3"], "three cards")
        waiting(third)
        page.until(lambda: mood(page, "project-3") == "waiting", "the waiting instance")
        card = page.text(".card[data-mood=waiting]")
        assert "asks permission for Bash" in card and "rm -rf build" in card
        assert page.text("#needy") == "◆ 1 needs you"
        working(third)
        page.until(lambda: not page.shows("#needy"), "nobody needs the user")


def test_an_instance_that_starts_later_appears_by_itself(page: Page) -> None:
    with instances(1) as (first,):
        first.begin()
        page.open(first.url)
        page.until(lambda: names(page) == ["project-1"], "one card")
        later = Instance(first.peers, "later")
        later.begin()
        page.until(lambda: "later" in names(page), "the card of the later one")
        page.until(lambda: mood(page, "later") == "working", "its state")


def test_a_card_tells_branch_todos_agents_tokens_and_cost(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        agent = {"agent_id": "a1", "agent": "Explore", "task": "look", "since": ev.rfc3339(time.time())}
        todos = [{"id": "1", "content": "a", "status": "completed"}, {"id": "2", "content": "b", "status": "pending"}]
        one.feed(
            ev.agent_status([agent], {}, origin=Origin("transcript")),
            ev.todo_update(todos, origin=Origin("todo_file")),
            ev.claude_usage(
                origin=Origin("transcript"), model="m", tokens={}, totals={"input": 4000, "output": 500}, cost_usd=0.42
            ),
        )
        say(one, "Looking at it")
        page.open(one.url)
        page.until(lambda: "Looking at it" in page.text(".card"), "the last line")
        card = page.text(".card")
        for part in ("project-1", "main", "working", "1/2", "1 agent", "4.5k tok", "$0.42"):
            assert part in card


def test_a_dead_instance_says_how_it_ended_and_can_be_put_away(page: Page) -> None:
    with instances(2) as (first, second):
        first.begin()
        second.begin()
        second.feed(ev.session_end(None, time.time(), 65.0, exit_code=None, signal="SIGSEGV", reason="signal"))
        page.open(first.url)
        page.until(lambda: "Killed by SIGSEGV" in page.text("#cards"), "the end on the card")
        assert mood(page, "project-2") == "failed"
        page.js("document.querySelector('.dismiss:not([hidden])').click()")
        page.until(lambda: names(page) == ["project-1"], "the card put away")


def test_an_instance_killed_without_a_word_is_told_as_gone(page: Page) -> None:
    with instances(2) as (first, second):
        first.begin()
        second.begin()
        page.open(first.url)
        page.until(lambda: mood(page, "project-2") == "working", "both cards")
        second.stop()
        page.until(lambda: mood(page, "project-2") == "gone", "the word on the card")
        assert "connection lost; the process is gone" in page.text("#cards")


# --- needs you -----------------------------------------------------------------------------------------


def test_a_waiting_instance_notifies_badges_the_title_and_stops_within_a_second_of_the_answer(
    page: Page, prepare: Callable[[str], None]
) -> None:
    prepare("window.already = true;" + FAKE_NOTIFICATION)
    with instances(2) as (first, second):
        first.begin()
        second.begin()
        page.open(first.url)
        page.until(lambda: mood(page, "project-2") == "working", "both cards")
        waiting(second)
        page.until(lambda: page.js("return notes.length"), "a notification")
        note = page.js("return {title: notes[0].title, body: notes[0].body, open: notes[0].open}")
        assert note == {"title": "project-2 asks permission for Bash", "body": "rm -rf build", "open": True}
        assert page.driver.title == "(1) project-2 asks permission for Bash"
        waiting(second)  # told again by another source: no second notification
        page.until(lambda: mood(page, "project-2") == "waiting", "the card that waits")
        page.js(CLOCK)
        working(second)
        page.until(lambda: mood(page, "project-2") == "working", "the card at work")
        assert not page.driver.title.startswith("(")
        assert page.js("return [notes.length, notes[0].open]") == [1, False]
        page.until(lambda: page.js("return off"), "the title's change")
        assert page.js("return off - told") < 1000  # ms in the page, from the server's word to the badge's end


def test_a_tab_in_the_background_calls_too(page: Page, prepare: Callable[[str], None]) -> None:
    prepare("window.already = true;" + FAKE_NOTIFICATION)
    prepare("Object.defineProperty(Document.prototype, 'hidden', { get: () => true });")
    with instances(1) as (one,):
        one.begin()
        page.open(one.url)
        page.until(lambda: page.module("store.js", "m.store.home.state") == "live", "the connection")
        waiting(one)
        page.until(lambda: page.driver.title.startswith("(1) project-1"), "the badge")
        assert page.js("return notes.length") == 1
        assert not page.shows("#needs")  # nothing is drawn for nobody
        working(one)
        page.until(lambda: not page.driver.title.startswith("("), "no badge")


def test_who_looks_at_the_waiting_instance_sees_the_tool_and_its_input(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        waiting(one)
        page.open(one.url)
        page.until(lambda: page.shows("#needs"), "the panel")
        assert "permission for Bash" in page.text("#needs-what")
        assert "rm -rf build" in page.text("#needs-input")
        assert "/home/user/src/project-1" in page.text("#needs-how")
        waiting(one, {"kind": "question", "message": "Which database?"})
        page.until(lambda: "has a question" in page.text("#needs-what"), "the next request")
        working(one)
        page.until(lambda: not page.shows("#needs"), "no panel")


def test_the_browser_is_asked_for_notifications_once_and_only_on_a_click(
    page: Page, prepare: Callable[[str], None]
) -> None:
    prepare(FAKE_NOTIFICATION)
    with instances(1) as (one,):
        one.begin()
        waiting(one)
        page.open(one.url)
        page.until(lambda: page.shows("#needs"), "the panel")
        assert page.js("return [asked, notes.length]") == [0, 0]
        page.click("#notify")
        page.until(lambda: page.text("#notify") == "Notifications on", "the answer")
        assert page.js("return [asked, document.getElementById('notify').disabled]") == [1, True]


def test_history_is_not_taken_for_news(page: Page, prepare: Callable[[str], None]) -> None:
    prepare("window.already = true;" + FAKE_NOTIFICATION)
    with instances(1) as (one,):
        one.begin()
        waiting(one)
        working(one)
        say(one, "went on")
        page.open(one.url)
        page.until(lambda: "went on" in page.text("#talk"), "the conversation")
        assert page.js("return notes.length") == 0


def test_who_opens_the_page_while_an_instance_waits_is_told_once(page: Page, prepare: Callable[[str], None]) -> None:
    prepare("window.already = true;" + FAKE_NOTIFICATION)
    with instances(1) as (one,):
        one.begin()
        say(one, "I need to")
        waiting(one)
        page.open(one.url)
        page.until(lambda: "I need to" in page.text("#talk"), "the conversation")
        assert page.shows("#needs")
        assert page.js("return notes.map(n => n.open)") == [True]


# --- the connection --------------------------------------------------------------------------------------


def test_a_restart_on_the_port_is_another_session_and_the_reader_is_not_switched_to_it(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        say(one, "of the first run")
        page.open(one.url)
        page.until(lambda: "of the first run" in page.text("#talk"), "the conversation")
        page.js("window.mark = 1")
        one.stop()
        page.until(lambda: mood(page, "project-1") in ("lost", "gone"), "the loss")
        again = Instance(one.peers, "again", port=one.port)
        again.begin()
        page.until(lambda: "A new session started on this port: again." in page.text("#other"), "the offer")
        assert page.text("#name") == "project-1" and "of the first run" in page.text("#talk")
        assert mood(page, "project-1") == "gone" and "as of" in page.text("#ended")
        page.click("#other button")
        page.until(lambda: page.text("#name") == "again", "the new run")
        page.live()
        assert page.js("return window.mark") == 1


def test_a_normal_end_is_no_alarm_and_is_kept_to_read(page: Page) -> None:
    with instances(1) as (one,):
        one.screen = dict(ev.claude_screen(20, 2, {}, [[0, [["a dialog", {}]]]], None, frame=1, base=0).data)
        one.info["capabilities"] = ["screen"]
        one.begin()
        say(one, "the last words")
        page.open(one.url)
        page.live()
        page.errors()
        one.screen = dict(ev.claude_screen(20, 2, {}, [[0, [["goodbye", {}]]]], None, frame=2, base=0).data)
        one.feed(ev.session_end(None, time.time(), 65.0, exit_code=0, signal=None, reason="exit"))
        page.until(lambda: page.module("store.js", "m.store.home.session.screen?.frame") == 2, "the last picture")
        one.stop()
        page.until(lambda: page.module("store.js", "m.store.home.state") == "over", "the end of the connection")
        page.frame()
        assert (
            page.text("#link") == "■ session over" and page.js("return document.documentElement.dataset.link") == "over"
        )
        assert page.text("#ended").startswith("Ended normally at ")
        assert mood(page, "project-1") == "ended" and "the last words" in page.text("#talk")
        page.keys("3")
        page.until(lambda: "goodbye" in page.text("#grid"), "the last picture")
        assert page.text("#term-age").startswith("as of ")
        assert page.console() == []
        again = Instance(one.peers, "again", port=one.port)
        again.begin()
        page.click("#other button")  # the reader asks for it
        page.until(lambda: "again" in page.text("#other"), "the new session, offered")
        assert page.text("#name") == "project-1"


def test_after_a_kill_the_counters_stop_at_the_last_event(page: Page) -> None:
    with instances(1, started=time.time() - 3000) as (one,):
        one.begin()
        say(one, "long ago", at=one.started + 600)
        page.open(one.url)
        page.live()
        one.stop()
        page.until(lambda: mood(page, "project-1") in ("lost", "gone"), "the loss")
        state = "m.until(m.store.home.session || [...m.store.sessions.values()][0])"
        assert page.module("store.js", state) == page.module("store.js", "m.lastAt([...m.store.sessions.values()][0])")


def test_a_lost_connection_says_when_the_next_try_is_and_resumes_without_hole_or_duplicate(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        say(one, "before")
        page.open(one.url)
        page.until(lambda: "before" in page.text("#talk"), "the first message")
        one.stop()
        page.until(lambda: "next try in" in page.text("#link"), "the countdown")
        say(one, "meanwhile")
        back = Instance(one.peers, "project-1", port=one.port, log=one.log)
        page.until(lambda: "meanwhile" in page.text("#talk"), "what was missed")
        page.live()
        say(back, "after")
        page.until(lambda: "after" in page.text("#talk"), "what comes now")
        assert page.count(".card") == 1
        seqs = page.module("store.js", "m.store.sessions.get(m.view.session).log.events().map(e => e.seq)")
        assert seqs == list(range(1, one.log.seq + 1))


def test_lost_events_are_a_visible_mark_and_not_a_hidden_hole(page: Page) -> None:
    with instances(1, log=Log("small", Limits(structured_events=40))) as (one,):
        one.begin()
        for number in range(100):
            say(one, f"message {number}")
        page.open(one.url)
        page.until(lambda: "message 99" in page.text("#talk"), "the newest message")
        assert "missing here" in page.text(".mark.gap")
        page.keys("4")
        page.until(lambda: "message 99" in rows(page), "the list")
        page.js("document.getElementById('list').scrollTop = 0")
        page.until(lambda: page.count(".row.gap:not([hidden])") == 1, "the mark in the list")


def test_a_refused_page_says_why_and_takes_the_token(page: Page) -> None:
    with instances(1, token="secret-token-of-the-test") as (one,):
        one.begin()
        page.open(one.url)
        page.until(lambda: "token" in page.text("#start-text"), "the reason")
        assert page.js("return document.documentElement.dataset.link") == "refused"
        page.click("#start-input")
        page.keys("secret-token-of-the-test\n")
        page.live()


def test_the_token_in_the_address_is_used_and_removed(page: Page) -> None:
    with instances(1, token="secret-token-of-the-test") as (one,):
        one.begin()
        page.open(one.url + "#token=secret-token-of-the-test")
        page.live()
        assert page.driver.current_url.startswith(one.url) and "token" not in page.driver.current_url
        assert page.js("return localStorage.getItem('token')") is None


def test_a_page_from_disk_finds_the_server_and_goes_there_with_its_token(page: Page) -> None:
    with instances(1, token="secret-token-of-the-test") as (one,):
        one.begin()
        page.open(f"{(ROOT / 'monitor.html').as_uri()}#port={one.port}&token=secret-token-of-the-test")
        page.until(lambda: page.driver.current_url.startswith(one.url), "the served page")
        page.live()


def from_disk(directory: Path, *ports: int) -> str:
    """The address of a copy of the page that looks at these ports only."""
    html = (ROOT / "monitor.html").read_text(encoding="utf-8")
    (directory / "monitor.html").write_text(
        re.sub(r"const PORTS = .*;", f"const PORTS = {list(ports)};", html), encoding="utf-8"
    )
    return (directory / "monitor.html").as_uri()


@pytest.fixture
def forgetful(prepare: Callable[[str], None]) -> None:
    """The tab remembers no token of an earlier test."""
    prepare("sessionStorage.clear()")


@pytest.mark.usefixtures("forgetful")
def test_a_page_from_disk_finds_a_server_without_a_token(page: Page, tmp_path: Path) -> None:
    with instances(1) as (one,):
        one.begin()
        page.open(from_disk(tmp_path, unused_port(), one.port))
        page.until(lambda: page.driver.current_url.startswith(one.url), "the served page")
        page.live()


@pytest.mark.usefixtures("forgetful")
def test_a_page_from_disk_without_the_token_leads_to_the_page_that_asks_for_it(page: Page, tmp_path: Path) -> None:
    with instances(1, token=SECRET) as (one,):
        page.open(from_disk(tmp_path, one.port))
        page.until(lambda: page.driver.current_url.startswith(one.url), "the served page")
        page.until(lambda: "token" in page.text("#start-text"), "the reason")


@pytest.mark.parametrize("kind", ["any page", "the identity alone", "the proof of the right instance"])
def test_the_token_reaches_nobody_but_the_instance_that_knows_it(page: Page, tmp_path: Path, kind: str) -> None:
    with instances(1, token=SECRET) as (one,), foreign_server(kind, one.port) as foreign:
        one.begin()
        page.open(from_disk(tmp_path, foreign.port, one.port) + f"#token={SECRET}")
        page.until(lambda: page.driver.current_url.startswith(one.url), "the served page of the right instance")
        page.live()
        assert foreign.requests, "the foreign server was looked at"
        assert not [request for request in foreign.requests if SECRET in request]
        assert not [request for request in foreign.requests if "proof.svg" not in request]


@pytest.mark.parametrize(
    ("kind", "words"), [("any page", "Nothing on port"), ("the identity alone", "knows the token, so it was not sent")]
)
def test_with_only_a_foreign_server_none_is_found(page: Page, tmp_path: Path, kind: str, words: str) -> None:
    with foreign_server(kind) as foreign:
        url = from_disk(tmp_path, foreign.port)
        page.open(f"{url}#token={SECRET}")
        page.until(lambda: words in page.text("#start-state"), "the result of the first round")
        assert page.driver.current_url == url
        assert not [request for request in foreign.requests if SECRET in request]


def test_an_instance_with_another_token_is_named_and_not_told_ours(page: Page, tmp_path: Path) -> None:
    with instances(1, token="another-token-than-the-pages") as (one,):
        url = from_disk(tmp_path, one.port)
        page.open(f"{url}#token={SECRET}")
        page.until(lambda: one.url in page.text("#start-state"), "the result of the first round")
        assert page.driver.current_url == url


def test_a_page_from_disk_says_what_to_run_and_goes_on_looking(page: Page, prepare: Callable[[str], None]) -> None:
    prepare("""
    window.tried = [];
    window.Image = class { set src(url) { if (url.startsWith("http")) { tried.push(url); setTimeout(() => this.onerror()); } } };
    """)
    page.open((ROOT / "monitor.html").as_uri())
    page.until(lambda: "Looking again" in page.text("#start-state"), "the result of the first round")
    assert "bin/claude-mpm" in page.text("#start-run")
    page.until(lambda: page.js("return tried.length") > 11, "a second round")
    assert page.js("return tried[0]") == "http://localhost:8765/proof.svg"


@pytest.mark.usefixtures("forgetful")
def test_what_is_no_port_number_is_told_and_the_ports_tried_are_named(
    page: Page, prepare: Callable[[str], None], tmp_path: Path
) -> None:
    prepare("window.Image = class { set src(url) { if (url.startsWith('http')) setTimeout(() => this.onerror()); } };")
    page.open((ROOT / "monitor.html").as_uri())
    page.until(lambda: "Nothing on ports 8765 to 8775." in page.text("#start-state"), "the result")
    for typed, words in (("abc", "“abc” is not a port number."), ("99999", "Port 99999 does not exist")):
        page.click("#start-input")
        page.js("document.getElementById('start-input').value = ''")
        page.keys(typed + "\ue007")
        page.until(lambda words=words: words in page.text("#start-error"), "the message")  # type: ignore[misc]
    page.js("document.getElementById('start-input').value = ''")
    page.keys("9000\ue007")
    page.until(lambda: "Nothing on ports 8765 to 8775 and 9000." in page.text("#start-state"), "the ports, truly")
    assert page.text("#start-error") == ""


# --- odd servers -------------------------------------------------------------------------------------------


def test_a_server_that_falls_silent_during_the_replay_is_given_up(page: Page) -> None:
    class Peer:
        def __init__(self, port: int) -> None:
            self.info = {"port": port, "host": "localhost", "working_dir": "/silent", "instance_id": "run-1"}

        def stop(self) -> None:
            pass

    with scripted() as silent, instances(1) as (one,):
        silent.silent = {"subscribe", "ping", "get_instances"}
        one.begin()
        one.peers.append(Peer(silent.port))  # type: ignore[arg-type]
        page.open(one.url)
        page.live()
        link = f"m.store.links.get({silent.port})"
        page.until(lambda: page.module("store.js", f"Boolean({link} && {link}.replaying)"), "the replay")
        page.module("store.js", f"({link}.heardAt -= 60000, {link}.pingAt -= 60000)")
        page.module("sources/links.js", "m.heartbeat()")
        page.until(lambda: "no answer for" in page.module("store.js", f"{link}.why"), "the reason")


@pytest.mark.parametrize("name", ["constructor", "toString", "__proto__", "valueOf"])
def test_a_type_named_like_a_property_of_every_object_is_data(page: Page, name: str) -> None:
    with instances(1) as (one,):
        one.begin()
        page.open(one.url)
        page.live()
        now = "JSON.stringify({...m.store.home.session.shown, seq: 0})"
        before = page.module("store.js", now)
        message = {"type": name, "seq": 1000, "timestamp": "2026-01-02T03:04:05.678Z", "data": {}}
        page.module("store.js", "m.store.home.receive(a[0])", json.dumps(message))
        assert page.module("store.js", "m.store.home.session.types.get(a[0])", name) == 1
        assert page.module("store.js", now) == before


# --- telling sessions apart, and finding them again ----------------------------------------------------------


def test_sessions_of_one_directory_differ_on_the_card_in_the_title_and_in_notifications(
    page: Page, prepare: Callable[[str], None]
) -> None:
    prepare("window.already = true;" + FAKE_NOTIFICATION)
    with instances(4) as (first, second, third, fourth):
        for instance in (first, second, third, fourth):
            instance.info["working_dir"] = "/home/user/src/demo-project"
        second.info["git_branch"] = "fix/rounding"
        fourth.info["name"] = "billing"
        for instance in (first, second, third, fourth):
            instance.begin()
            waiting(instance)
        page.open(first.url)
        page.until(lambda: page.js("return notes.length") == 4, "four notifications")
        cards = page.js("return [...document.querySelectorAll('.card')].map(c => c.innerText)")
        assert len({card.replace("\n", " ") for card in cards}) == 4
        for instance, branch in ((first, "main"), (second, "fix/rounding"), (third, "main"), (fourth, "main")):
            assert [card for card in cards if f":{instance.port}" in card and f"⎇ {branch}" in card]
        titles = page.js("return notes.map(n => n.title)")
        expected = {
            f"demo-project :{first.port}",
            "demo-project ⎇ fix/rounding",
            f"demo-project :{third.port}",
            "billing",
        }
        assert {title.removesuffix(" asks permission for Bash") for title in titles} == expected
        assert page.driver.title.removeprefix("(4) ").removesuffix(" asks permission for Bash") in expected


def test_the_order_of_the_rail_is_that_of_their_starts_and_never_changes(page: Page) -> None:
    with instances(1, started=time.time() - 300) as (first,):
        second = Instance(first.peers, "project-2", started=first.started + 100)
        third = Instance(first.peers, "project-3", started=first.started + 200)
        for instance in (first, second, third):
            instance.begin()
        page.open(first.url)
        order = ["project-3", "project-2", "project-1"]
        page.until(lambda: names(page) == order, "newest start first")
        waiting(first)
        page.until(lambda: mood(page, "project-1") == "waiting", "the request")
        assert names(page) == order
        second.feed(ev.session_end(None, time.time(), 65.0, exit_code=3, signal=None, reason="exit"))
        page.until(lambda: mood(page, "project-2") == "failed", "the end")
        assert names(page) == order
        page.keys("n")
        page.until(lambda: page.text("#name") == "project-1", "the one that needs the user")
        assert names(page) == order


def test_reload_back_and_a_link_lead_to_the_same_session_view_agent_and_search(page: Page) -> None:
    with instances(2) as (first, second):
        for instance in (first, second):
            instance.begin()
        second.feed(ev.agent_delegation("Explore", "look", "started", origin=Origin("hook"), agent_id="a"))
        say(second, "of the agent", agent_id="a")
        page.open(first.url)
        page.until(lambda: len(names(page)) == 2, "both cards")
        page.until(lambda: page.text("#name") == "project-1", "the session of this address")
        page.keys("j")
        page.until(lambda: page.text("#name") == "project-2", "the other")
        page.click(".agent-open")
        page.until(lambda: "of the agent" in page.text("#talk"), "the agent's thread")
        link = page.driver.current_url
        page.driver.refresh()
        page.until(lambda: "of the agent" in page.text("#talk") and page.text("#name") == "project-2", "the same")
        assert page.driver.current_url == link
        page.keys("4")
        page.until(lambda: page.shows("#list"), "the events")
        page.driver.back()
        page.until(lambda: page.shows("#talk") and "of the agent" in page.text("#talk"), "the thread again")
        page.open("about:blank")
        page.open(link + "&q=AGENT")
        page.until(lambda: page.text("#hits") == "1", "the search of the link")
        assert page.text("#name") == "project-2"
        page.open(first.url + "#/")
        page.until(lambda: page.shows("#overview") and "project-2" in page.text("#overview"), "all sessions")
        page.open(first.url + "#/no-such-session/events")
        page.until(lambda: "not here any more" in page.text("#start-title"), "the truth about a dead link")


# --- the header and the rows ---------------------------------------------------------------------------------


def test_context_cost_and_model_are_shown_and_the_model_once(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        usage: dict[str, Any] = {"tokens": {"input": 4000, "output": 500}, "totals": {"input": 4000, "output": 500}}
        one.feed(
            ev.claude_usage(origin=Origin("transcript"), model="m-1", **usage, cost_usd=0.42, context_percent=38.4)
        )
        say(one, "one", model="m-1")
        say(one, "two", model="m-1")
        say(one, "three", model="m-2")
        page.size(1440, 900)
        page.open(one.url)
        page.until(lambda: "three" in page.text("#talk"), "the messages")
        stats = page.text("#stats")
        assert "38 %" in stats and "$0.42" in stats and "m-1" in stats
        assert "m-1" not in page.text("#talk") and page.text("#talk").count("m-2") == 1


def test_todo_calls_are_folded_and_nothing_takes_0_ms(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        for number, status in enumerate(("in_progress", "completed")):
            update = {"taskId": "1", "subject": "Reproduce the bug", "status": status}
            one.feed(ev.tool_start(f"u{number}", "TaskUpdate", update, origin=Origin("transcript")))
            one.feed(ev.tool_end(f"u{number}", "TaskUpdate", True, origin=Origin("transcript"), duration_ms=0))
        one.feed(ev.todo_update([{"id": "1", "content": "a", "status": "completed"}], origin=Origin("todo_file")))
        page.open(one.url)
        page.until(lambda: "Reproduce the bug" in page.text("#talk"), "the change")
        assert page.count("#talk .todos") == 1 and page.count("#talk .call") == 0
        assert "TaskUpdate" not in page.text("#talk") and "0 ms" not in page.text("#talk")
        page.keys("4")
        page.until(lambda: "1 of 1 done" in rows(page), "the event")
        assert "done:" not in rows(page) and "0 ms" not in rows(page)


def test_failures_are_red_and_usage_and_output_off_at_first(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        one.feed(ev.tool_start("t1", "Bash", {"command": "false"}, origin=Origin("transcript")))
        one.feed(ev.tool_end("t1", "Bash", False, origin=Origin("transcript"), summary="exit 1"))
        one.feed(ev.claude_usage(origin=Origin("transcript"), model="m", tokens={}, totals={"input": 1}))
        page.open(one.url)
        page.live()
        page.keys("4")
        page.until(lambda: "exit 1" in rows(page), "the failure")
        assert "claude.usage" not in rows(page)
        colour = "return getComputedStyle(document.querySelector('.row.bad .what')).color"
        assert page.js(colour) == "rgb(179, 38, 30)"
        page.click("#kinds-button")
        page.until(lambda: page.shows("[data-kind='tool.end']"), "the menu")
        only = "arguments[0].dispatchEvent(new MouseEvent('click', {altKey: true, bubbles: true}))"
        page.js(only, page.driver.find_element("css selector", "[data-kind='tool.end']"))
        page.until(lambda: "tool.start" not in rows(page) and "tool.end" in rows(page), "only this type")


def test_the_header_is_one_line_and_the_phone_scrolls_as_one_page(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        for number in range(60):
            say(one, f"message {number}")
        page.open(one.url)
        page.until(lambda: "message 59" in page.text("#talk"), "the conversation")
        top = "return document.querySelector('#talk').getBoundingClientRect().top"
        header = "return document.querySelector('#head').getBoundingClientRect().height"
        assert page.js(header) <= 44 and page.js(top) <= 130
        waiting(one)
        page.until(lambda: page.shows("#needs"), "the request")
        page.size(390, 844)
        page.frame()
        assert page.js("return document.scrollingElement.scrollHeight") > 2000
        assert page.js(
            "return document.querySelector('#talk').scrollHeight <= document.querySelector('#talk').clientHeight"
        )
        order = "const y = (s) => document.querySelector(s).getBoundingClientRect().top; return y('#needs') < y('#head') && y('#head') < y('#views')"
        assert page.js(order)
        small = "return [...document.querySelectorAll('button, a, input')].filter(e => e.checkVisibility() && !e.closest('.skip') && e.getBoundingClientRect().height < 40 && e.className !== 'skip').map(e => e.id || e.className)"
        assert page.js(small) == []


def test_text_being_read_stays_where_it_is_and_what_is_new_is_announced(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        for number in range(200):
            say(one, f"message {number}")
        page.open(one.url)
        page.until(lambda: "message 199" in page.text("#talk"), "the newest")
        page.js("document.querySelector('#talk').scrollTop = 300")
        page.until(lambda: page.shows("#talk-down"), "the way back")
        page.frame()
        place = "const t = document.querySelector('#talk'); return [t.scrollTop, document.elementFromPoint(600, 500).innerText]"
        before = page.js(place)
        for number in range(3):
            say(one, f"new {number}")
        page.until(lambda: page.text("#talk-down") == "3 new ↓", "the announcement")
        assert page.js(place) == before
        page.click("#talk-down")
        page.until(lambda: "new 2" in page.text("#talk") and not page.shows("#talk-down"), "the newest again")


def test_brackets_lead_from_prompt_to_prompt_and_search_marks_its_hits(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        for number in range(6):
            say(one, f"prompt {number}", "user")
            for line in range(20):
                say(one, f"answer {number}.{line}")
        page.open(one.url)
        page.until(lambda: "answer 5.19" in page.text("#talk"), "the conversation")
        page.keys("[")
        page.until(lambda: "prompt 5" in page.text("#talk .flash"), "the last prompt")
        page.keys("[")
        page.until(lambda: "prompt 4" in page.text("#talk .flash"), "the one before")
        page.keys("]")
        page.until(lambda: "prompt 5" in page.text("#talk .flash"), "and back")
        page.keys("/")
        page.keys("answer 2.")
        page.until(lambda: page.text("#hits") == "20", "the count")
        page.keys("\ue007")  # Enter
        page.until(lambda: page.text("#hits") == "1 of 20", "the first hit")
        page.until(lambda: page.js("return CSS.highlights.get('hit')?.size ?? 0") >= 20, "the marks")
        page.until(lambda: "answer 2.0" in page.text("#talk .flash"), "its place")


def test_the_timeline_moves_every_view_to_that_moment_and_live_returns(page: Page) -> None:
    with instances(1, started=time.time() - 1000) as (one,):
        one.feed(ev.session_start("s", one.info, "subprocess", one.started))
        for number in range(100):
            say(one, f"message {number}", at=one.started + number * 10)
        one.feed(ev.agent_delegation("Explore", "look", "started", origin=Origin("hook")))
        page.open(one.url)
        page.until(lambda: page.shows(".tl-plot") and "message 99" in page.text("#talk"), "the timeline")
        page.driver.get(page.driver.current_url + f"?at={int((one.started + 505) * 1000)}")
        page.until(lambda: "message 50" in page.text("#talk") and "message 51" not in page.text("#talk"), "that moment")
        page.keys("\ue014")  # →
        page.until(lambda: "message 51" in page.text("#talk"), "the next event")
        assert "message 52" not in page.text("#talk")
        page.keys("g")
        page.until(lambda: "message 99" in page.text("#talk"), "now")
        assert "at=" not in page.driver.current_url


def test_the_palette_leads_to_sessions_and_views(page: Page) -> None:
    with instances(2) as (first, second):
        first.begin()
        second.begin()
        page.open(first.url)
        page.until(lambda: len(names(page)) == 2 and page.text("#name") == "project-1", "both")
        page._actions(page.driver).key_down("\ue009").send_keys("k").key_up("\ue009").perform()
        page.until(lambda: page.shows("dialog"), "the palette")
        page.keys("project-2\ue007")
        page.until(lambda: page.text("#name") == "project-2", "the session")


def test_notifications_and_sound_are_real(page: Page, prepare: Callable[[str], None]) -> None:
    prepare(
        "window.made = []; const Real = Notification; window.Notification = class extends Real {"
        "constructor(...a) { super(...a); made.push({title: a[0], note: this, shown: false});"
        "this.addEventListener('show', () => made.find((m) => m.note === this).shown = true); } };"
        "window.contexts = []; const Audio = AudioContext; window.AudioContext = class extends Audio {"
        "constructor() { super(); contexts.push(this); } };"
        "Document.prototype.hasFocus = () => false; localStorage.removeItem('sound');"
    )
    with instances(1) as (one,):
        page.cdp("Browser.grantPermissions", origin=one.url.rstrip("/"), permissions=["notifications"])
        one.begin()
        page.open(one.url)
        page.live()
        page.until(lambda: page.text("#notify") == "Notifications on", "the permission")
        page.click("#sound")
        page.until(lambda: page.js("return contexts[0]?.state") == "running", "a sound that plays")
        before = page.js("return contexts[0].currentTime")
        waiting(one)
        page.until(lambda: page.js("return made.length"), "a notification of the browser's")
        assert page.js("return made[0].title") == "project-1 asks permission for Bash"
        page.until(lambda: page.js("return made[0].shown"), "its appearance")
        page.until(lambda: page.js("return contexts[0].currentTime") > before, "the sound's clock")
        page.js("localStorage.removeItem('sound')")
    page.cdp("Browser.resetPermissions")


# --- one instance ------------------------------------------------------------------------------------------


def test_a_tool_call_is_one_folded_line_with_input_result_and_duration_inside(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        one.feed(ev.tool_start("t1", "Bash", {"command": "make test"}, origin=Origin("transcript")))
        page.open(one.url)
        page.until(lambda: "make test" in page.text(".call summary"), "the call")
        one.feed(ev.tool_end("t1", "Bash", False, origin=Origin("transcript"), duration_ms=2100, summary="2 failed"))
        page.until(lambda: "2.1 s" in page.text(".call summary"), "its end")
        assert page.count(".call") == page.count(".call[data-state=failed]") == 1
        page.click(".call summary")
        page.until(lambda: "2 failed" in page.text(".call .call-body"), "the result")


def test_an_agent_is_a_card_and_a_lane_that_lead_to_its_own_conversation(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        delegate: dict[str, Any] = {"origin": Origin("transcript"), "tool_use_id": "u1"}
        one.feed(ev.tool_start("u1", "Agent", {"prompt": "look"}, origin=Origin("transcript")))
        one.feed(ev.agent_delegation("Explore", "find callers", "started", background=True, **delegate))
        one.feed(
            ev.agent_delegation("Plan", "inner", "started", origin=Origin("hook"), agent_id="b", parent_agent_id="a")
        )
        say(one, "found three", agent_id="a")
        one.feed(ev.agent_delegation("Explore", "find callers", "completed", agent_id="a", **delegate))
        page.open(one.url)
        page.until(lambda: page.count("button.tl-name") == 2, "two lanes")
        assert page.count(".agent-card[data-background=yes][data-state=done]") == 1
        assert page.count(".call") == 0  # the call that delegated is the agent's own card
        assert "found three" not in page.text("#talk")
        page.click(".agent-card .agent-open")
        page.until(lambda: "found three" in page.text("#talk"), "the agent's conversation")
        assert "Explore" in page.text("#talk .msg header") and "agent=" in page.driver.current_url
        page.keys("\ue00c")  # Escape
        page.until(lambda: "found three" not in page.text("#talk"), "the main thread")
        page.keys("a")
        page.until(lambda: "found three" in page.text("#talk"), "everything")


def test_todos_show_progress_and_every_change(page: Page) -> None:
    def todo(first: str, second: str) -> ev.Event:
        items = [{"id": "1", "content": "Plan", "status": first}, {"id": "2", "content": "Build", "status": second}]
        return ev.todo_update(items, origin=Origin("todo_file"))

    with instances(1) as (one,):
        one.begin()
        one.feed(todo("in_progress", "pending"))
        page.open(one.url)
        page.until(lambda: page.text("#todo-sum") == "0 of 2", "the list")
        one.feed(todo("completed", "in_progress"))
        page.until(lambda: page.text("#todo-sum") == "1 of 2", "the progress")
        log = page.text("#todo-log")
        assert "completed: Plan" in log and "started: Build" in log and "added: Build" in log


def test_the_screen_is_asked_for_only_while_it_is_shown_and_has_the_cells_colours(page: Page) -> None:
    def lines(text: str) -> list[Any]:
        return [[0, [[text, {"fg": "#ff8800", "b": True}], ["x", {"bg": 196}]]], [1, [["日", {"w": 2}], ["⏺⏵|", {}]]]]

    with instances(1) as (one,):
        one.begin()
        cursor = {"row": 1, "col": 2, "visible": True}
        first = ev.claude_screen(20, 3, cursor, lines("hello"), "title", frame=1, base=0)
        one.screen = dict(first.data)
        page.open(one.url)
        page.live()
        assert ev.CLAUDE_SCREEN not in one.demand
        page.keys("3")
        page.until(lambda: page.text("#grid > div").startswith("hellox"), "the picture")
        assert ev.CLAUDE_SCREEN in one.demand
        style = "const s = getComputedStyle(document.querySelectorAll('#grid span')[arguments[0]]); return [s.color, s.backgroundColor, s.fontWeight]"
        assert page.js(style, 0)[0::2] == ["rgb(255, 136, 0)", "700"]
        assert page.js(style, 1)[1] == "rgb(255, 0, 0)"
        widths = "const c = document.querySelector('.cell'), g = document.querySelector('#grid'); return c.getBoundingClientRect().width / (g.getBoundingClientRect().width / 20)"
        assert page.js(widths) == pytest.approx(2, abs=0.05)
        assert page.js(widths.replace(".cell", ".cell.one")) == pytest.approx(1, abs=0.05)  # whatever font it is from
        one.feed(ev.claude_screen(20, 3, cursor, [[2, [["third", {}]]]], "title", frame=2, base=1))
        page.until(lambda: page.text("#grid > div:nth-child(3)") == "third", "the changed row")
        assert page.text("#grid > div").startswith("hellox")
        page.keys("1")
        page.until(lambda: ev.CLAUDE_SCREEN not in one.demand, "nobody asks")


@pytest.mark.parametrize("version", ["1.0.128", "2.0.77", "2.1.330"])
def test_a_recorded_session_of_claude_looks_as_its_terminal_did(page: Page, version: str) -> None:
    """Text and colours of every run against the picture of the emulator, for a page that joins late."""
    if not available():
        pytest.skip("pyghostty is missing: pip install 'claude-mpm[screen]'")
    with instances(1) as (one,):
        one.begin()
        head, *rest = (DATA / f"recordings/tui.v{version}.cast").read_text(encoding="utf-8").splitlines()
        size = json.loads(head)
        text = "".join(entry[2] for entry in map(json.loads, rest) if entry[1] == "o")
        one.feed(ev.claude_output(text[: text.rfind("\x1b[?1049l")], 0))  # as it was before the end cleared it
        screen = Screen(one.log, (size["height"], size["width"]))
        screen.start()
        try:
            one.screen = screen.picture()
        finally:
            screen.stop()
            screen.join(TIMEOUT)
        assert one.screen is not None
        page.open(one.url)
        page.live()
        page.keys("3")
        page.until(lambda: page.count("#grid > div") == size["height"], "the picture")
        shown = page.js(
            "return [...document.querySelectorAll('#grid > div')].map(row => [...row.children].map(e => "
            "[e.textContent, e.style.color, e.style.backgroundColor]))"
        )
        for row, runs in one.screen["lines"]:
            assert [run[0] for run in shown[row]] == [run[0] for run in runs]
            for (_, style), (_, fg, bg) in zip(runs, shown[row], strict=True):
                if not style.get("r"):
                    assert bool(fg) == ("fg" in style) and bool(bg) == ("bg" in style)
        assert "agent" in page.text("#grid")


def test_where_there_is_no_picture_one_sentence_says_what_to_install(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        one.feed(ev.claude_output("plain \x1b[31mwords\x1b[0m\n", 0))
        page.open(one.url)
        page.live()
        page.keys("3")
        page.until(lambda: "pip install 'claude-mpm[screen]'" in page.text("#term-none"), "the sentence")
        assert "words" not in page.text("#panel-screen") and not page.shows("#term")


# --- events ------------------------------------------------------------------------------------------------


def rows(page: Page) -> str:
    script = "return [...document.querySelectorAll('.row:not([hidden])')].map(r => r.innerText).join('\\n')"
    return str(page.js(script))


def test_events_are_filtered_by_channel_and_text_paused_and_exported(
    page: Page, prepare: Callable[[str], None]
) -> None:
    prepare("URL.createObjectURL = (blob) => { blob.text().then((t) => window.saved = t); return ''; };")
    with instances(1) as (one,):
        one.begin()
        say(one, "about apples")
        say(one, "about pears")
        one.feed(ev.tool_start("t", "Bash", {"command": "peel apples"}, origin=Origin("transcript")))
        page.open(one.url)
        page.live()
        page.keys("4")
        page.until(lambda: "about pears" in rows(page), "the list")
        page.keys("/")
        page.keys("APPLES")
        page.until(lambda: "about pears" not in rows(page), "the text filter")
        assert "peel apples" in rows(page) and "about apples" in rows(page)
        page.click("#kinds-button")
        page.until(lambda: page.shows("[data-kind='tool.start']"), "the menu")
        page.click("[data-kind='tool.start']")
        page.until(lambda: "peel apples" not in rows(page), "the channel filter")
        page.click("#export")
        page.until(lambda: page.js("return window.saved"), "the export")
        saved = [json.loads(line) for line in page.js("return window.saved").splitlines()]
        assert [event["data"]["text"] for event in saved] == ["about apples"]
        page.click("#pause")
        say(one, "more apples")
        page.until(lambda: "(1 new)" in page.text("#pause"), "the count of what waits")
        assert "more apples" not in rows(page)
        page.click("#pause")
        page.until(lambda: "more apples" in rows(page), "the list going on")


def test_one_event_is_shown_whole(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        say(one, "x" * 3000 + " the end")
        page.open(one.url)
        page.live()
        page.keys("4")
        page.until(lambda: "claude.message" in rows(page), "the list")
        page.js("document.getElementById('list').focus()")
        page.keys("\ue010")  # End
        page.until(lambda: "the end" in page.text("#json"), "the event")
        event = json.loads(page.text("#json"))
        assert event["type"] == "claude.message" and event["seq"] == 3
        page.until(lambda: page.count(".row[aria-selected=true]") == 1, "its row marked")


def fill(instance: Instance, count: int) -> None:
    for number in range(count // 2):
        text = f"line {number} " + "of what a command printed, as long as such things are " * 5
        instance.feed(ev.tool_start(f"t{number}", "Bash", {"command": f"echo {number}"}, origin=Origin("transcript")))
        instance.feed(ev.tool_end(f"t{number}", "Bash", True, origin=Origin("transcript"), duration_ms=9, summary=text))


def test_ten_thousand_events_stay_small_and_the_list_has_no_more_rows_than_fit(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        fill(one, 9_990)
        page.open(one.url)
        page.live()
        page.keys("4")
        page.until(lambda: "line 4994" in rows(page), "the newest event")
        before = page.metrics()
        assert before["JSHeapUsedSize"] < 60e6
        assert before["Nodes"] < 6_000
        assert page.count(".row") < 60
        page.js("const list = document.getElementById('list'); list.scrollTop = list.scrollHeight / 2")
        page.until(lambda: "line 249" in rows(page), "the middle")
        assert page.shows("#list-down")
        fill(one, 30_000)
        page.keys("g")
        page.until(lambda: "line 14999" in rows(page), "the newest of many more")
        after = page.metrics()
        assert after["JSHeapUsedSize"] < 150e6
        assert after["Nodes"] < before["Nodes"] + 500


# --- hostile data ------------------------------------------------------------------------------------------


def test_hostile_text_anywhere_runs_nothing_and_hides_nothing(page: Page) -> None:
    with instances(1) as (one,):
        one.info |= {"working_dir": "/tmp/" + HOSTILE, "git_branch": HOSTILE}
        one.begin()
        h = HOSTILE
        one.feed(
            ev.claude_message("user", h, origin=Origin("hook")),
            ev.claude_message("assistant", h, origin=Origin("hook"), model=h),
            ev.tool_start(h, h, {"file_path": h, h: h}, origin=Origin("hook")),
            ev.tool_end(h, h, False, origin=Origin("hook"), summary=h),
            ev.agent_delegation(h, h, "started", origin=Origin("hook"), agent_id=h),
            ev.agent_delegation(h, h, "failed", origin=Origin("hook"), agent_id=h, reason=h),
            ev.agent_status([{"agent_id": h, "agent": h, "task": h}], {h: {}}, origin=Origin("hook")),
            ev.todo_update(
                [{"id": h, "content": h, "status": "in_progress", "active_form": h}], origin=Origin("todo_file")
            ),
            ev.todo_update([{"id": h, "content": h, "status": h}, {"id": 3}], origin=Origin("todo_file")),
            ev.system_error(h, h, hint=h),
            ev.claude_output(h, 0),
            ev.Event("system.gap", {"counts": {h: 1}, "reason": h}, "monitor"),
            ev.Event("unknown.kind", {"a": h}, "monitor"),
            ev.Event(ev.TODO_UPDATE, {"todos": "no list", "stats": 3}, "monitor"),
            ev.claude_status(
                "running",
                origin=Origin("hook"),
                activity="waiting",
                waiting_for={"kind": h, "tool": h, "input": {h: h}},
            ),
        )
        one.screen = dict(
            ev.claude_screen(40, 2, {}, [[0, [[h, {"fg": "red;x:url(//evil)", "bg": 999}]]]], h, frame=1, base=0).data
        )
        page.open(one.url)
        page.live()
        page.until(lambda: page.shows("#needs"), "the panel")
        page.js("for (const d of document.querySelectorAll('details')) d.open = true")
        for tab in "123456":
            page.keys(tab)
            page.frame()
            seen = page.js("return document.body.textContent")
            assert not set(UNSEEN) & set(seen), tab
            if tab != "3":
                assert "<img src=x onerror=" in seen and "⟨RLO⟩" in seen
            assert page.js("return window.pwned") is None
            assert page.count("img, iframe, object, body b > *, #talk i") == 0
            assert page.count("script") == 1
        page.keys("4")
        page.js(SHOW_FOURTH)
        page.until(lambda: page.shows("#json"), "one event")
        assert not set(UNSEEN) & set(page.js("return document.body.textContent + document.title"))
        attributes = "return [...document.querySelectorAll('*')].flatMap(e => [...e.attributes].map(a => `${e.className} ${a.name}=${a.value}`))"
        assert [a for a in page.js(attributes) if set(UNSEEN) & set(a)] == []
        assert page.js("return window.pwned") is None


def test_what_is_exported_cannot_play_tricks_in_a_terminal(page: Page) -> None:
    with instances(1) as (one,):
        one.begin()
        say(one, HOSTILE)
        page.open(one.url)
        page.until(lambda: "onerror" in page.text("#talk"), "the message")
        raw = page.js(
            "return Promise.all(['store.js', 'render/events.js'].map((n) => import('/page/' + n))).then(([s, e]) => "
            "e.exportLine(s.store.sessions.get(s.view.session).log.events()[2]))"
        )
        assert not set(UNSEEN) & set(raw)
        assert json.loads(raw)["data"]["text"] == HOSTILE


# --- for everybody -------------------------------------------------------------------------------------------


def test_the_page_works_by_keyboard(page: Page) -> None:
    with instances(2) as (first, second):
        first.begin()
        second.begin()
        waiting(second)
        page.open(first.url)
        page.until(lambda: len(names(page)) == 2, "both cards")
        page.until(lambda: page.text("#name") == "project-1", "the first")
        page.keys("n")
        page.until(lambda: page.text("#name") == "project-2", "the one that needs the user")
        page.keys("j")
        page.until(lambda: page.text("#name") == "project-1", "the next")
        page.keys("?")
        page.until(lambda: page.shows("dialog"), "the help")
        page.keys("\ue00c")
        page.until(lambda: page.count("dialog") == 0, "no help")
        page.frame()  # the focus has left it
        page.keys("6")
        page.until(lambda: page.count("#tab-todos[aria-selected=true]"), "the todos")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    with instances(2) as (first, second):
        first.info["working_dir"] = "/srv/" + "a-very-long-project-name" * 6
        first.info["git_branch"] = "feature/" + "x" * 200
        first.begin()
        second.begin()
        say(first, "word" * 400)
        first.feed(ev.tool_start("t", "mcp__" + "long" * 40, {"command": "y" * 500}, origin=Origin("hook")))
        waiting(first, {"kind": "permission", "tool": "Bash", "input": {"command": "z" * 500}})
        page.size(width, 844)
        page.open(first.url)
        page.live()
        page.until(lambda: page.shows("#needs"), "the panel")
        for tab in "123456":
            page.keys(tab)
            page.frame()
            wide = "return [...document.querySelectorAll('#bar *, #main, #head *, #needs, #panels, #panels > *, .tools')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('#tabs') && !e.closest('#stats')).map(e => e.id || e.className)"
            assert page.js(wide) == []


@pytest.fixture(scope="session")
def axe() -> str:
    return axe_source()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(page: Page, axe: str, width: int, dark: bool) -> None:
    with instances(2) as (first, second):
        first.begin()
        second.begin()
        say(first, "Please do `this`", "user")
        say(first, "Doing it")
        first.feed(ev.tool_start("t", "Bash", {"command": "ls"}, origin=Origin("hook")))
        first.feed(ev.agent_delegation("Explore", "look", "started", origin=Origin("hook"), agent_id="a"))
        first.feed(ev.todo_update([{"id": "1", "content": "a", "status": "completed"}], origin=Origin("todo_file")))
        waiting(first)
        waiting(second)
        first.screen = dict(ev.claude_screen(20, 2, {}, [[0, [["hi", {}]]]], None, frame=1, base=0).data)
        page.size(width, 844)
        page.dark(dark)
        page.open(first.url)
        page.live()
        page.until(lambda: page.shows("#needs"), "the panel")
        page.js(axe)
        found: set[str] = set()
        for tab in "123456o?":
            page.keys(tab)
            page.frame()
            script = "return axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.target + ': ' + n.failureSummary).join('; ')]))"
            found |= {" ".join(map(str, v)) for v in page.js(script) if v[0] in ("serious", "critical")}
        page.dark(False)
        assert found == set()
