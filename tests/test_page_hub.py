"""The page of a hub, in a real Chromium: many machines over one WebSocket, and nothing lost or told twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from archived import answer, prompt, session_id, write_session
from page import Page, axe_source, instances
from page_hub import LOCAL, FakeSource, Remote, hub

from claude_mpm.archive.past import Past
from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser

TOKEN = "0123456789abcdef0123456789abcdef"
BOX = "build-box"
HOSTILE = "<img src=x onerror=window.pwned=1>\u202egnp\x1b[31mred"
SEQS = "m.store.sessions.get(a[0]).log.events().map(e => e.seq)"
SAID = "m.store.sessions.get(a[0]).log.events().filter(e => e.type === 'claude.message').map(e => e.data.text)"
SOCKETS = """
window.sockets = [];
const Plain = window.WebSocket;
window.WebSocket = class extends Plain { constructor(url) { super(url); window.sockets.push(this.url); } };
"""


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


def two_machines() -> tuple[FakeSource, FakeSource]:
    """Two sessions here, and two on another machine."""
    local, box = FakeSource("local"), FakeSource("ssh://build-box")
    local.add("api", age=100).begin()
    local.add("web", age=200, git_branch="fix/menu").begin(activity="idle")
    box.add("api", BOX, age=300).begin()
    box.add("docs", BOX, age=400).begin()
    return local, box


def heads(page: Page) -> list[str]:
    """The machines' headings on the rail."""
    return list(page.js("return [...document.querySelectorAll('#cards .machine-head')].map(e => e.innerText)"))


def cards(page: Page) -> list[str]:
    return list(page.js("return [...document.querySelectorAll('#cards .card b')].map(e => e.textContent)"))


def card(page: Page, number: int) -> str:
    """The text of a card on the rail."""
    return str(page.js("return document.querySelectorAll('#cards .card')[arguments[0]].innerText", number))


def choose(page: Page, remote: Remote) -> None:
    page.module("actions.js", "m.choose(a[0])", remote.log.instance_id)


def opened(page: Page, remote: Remote) -> None:
    """Wait until a session is followed in full."""
    state = "m.store.sessions.get(a[0])?.link.mode"
    page.until(lambda: page.module("store.js", state, remote.log.instance_id) == "open", "its history")


def seqs(page: Page, remote: Remote) -> list[int]:
    return list(page.module("store.js", SEQS, remote.log.instance_id))


def said(page: Page, remote: Remote) -> list[str]:
    return list(page.module("store.js", SAID, remote.log.instance_id))


def look(page: Page) -> None:
    """Have the page ask for the list now, and not with its next beat."""
    page.module("store.js", "m.store.home.hub.askedAt = 0")
    page.module("store.js", "m.store.home.hub.ask()")


def rail(page: Page, count: int) -> None:
    page.until(lambda: len(cards(page)) == count, f"{count} cards")


# --- one socket, many machines ----------------------------------------------------------------------


def test_all_machines_are_on_one_page_over_one_connection(page: Page) -> None:
    local, box = two_machines()
    script = page.cdp("Page.addScriptToEvaluateOnNewDocument", source=SOCKETS)["identifier"]
    try:
        with hub(local, box) as served:
            page.open(served.url)
            rail(page, 4)
            assert heads(page) == [f"{LOCAL}\n2 sessions", f"{BOX}\n2 sessions"]
            assert page.shows("#overview") and not page.shows("#one"), "nothing is chosen for the reader"
            assert "Machines · 2" in page.text("#overview")
            box.instances[0].wait()
            page.until(lambda: page.text("#needy") == "◆ 1 needs you", "who needs the reader")
            assert page.js("return document.title") == f"(1) api on {BOX} asks permission for Bash"
            assert heads(page)[1] == f"{BOX}\n2 sessions\n◆ 1 needs you"
            needs = page.text("#overview section:first-of-type")
            assert "Needs you · 1" in needs and BOX in needs and "make deploy" in needs
            page.keys("n")
            page.until(lambda: page.shows("#needs"), "the card")
            assert page.text("#machine") == BOX and "on build-box" in page.text("#needs-how")
            assert page.text("#needs-what") == f"◆ Claude asks permission for Bash on {BOX}"
            page.driver.refresh()
            page.until(lambda: page.text("#machine") == BOX, "the same session after a reload")
            assert len(page.js("return window.sockets")) == 1
    finally:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


def test_with_one_machine_nothing_is_grouped(page: Page) -> None:
    local, _ = two_machines()
    with hub(local) as served:
        page.open(served.url)
        rail(page, 2)
        page.until(lambda: "Running · 2" in page.text("#overview"), "the table")
        assert heads(page) == [] and "Machines" not in page.text("#overview")
        choose(page, local.instances[0])
        page.until(lambda: page.text("#name") == "api", "the session")
        assert page.text("#machine") == "" and page.js("return document.title").startswith("api · working")


def test_sessions_come_and_go_with_the_list(page: Page) -> None:
    local, box = two_machines()
    with hub(local, box) as served:
        page.open(served.url)
        rail(page, 4)
        later = box.add("later", BOX).begin()
        box.tell()
        look(page)
        page.until(lambda: "later" in cards(page), "a session that starts later")
        ended = box.instances[1]
        ended.feed(ev.session_end(None, time.time(), 5.0, exit_code=0, signal=None, reason="exit"))
        gone = box.instances[0]
        box.instances = [later]
        box.tell()
        look(page)
        look(page)
        over = "[...m.store.sessions.values()].map(s => [s.id, s.over])"
        expected = {gone.log.instance_id: "gone", ended.log.instance_id: "ended", later.log.instance_id: None}
        page.until(lambda: expected.items() <= dict(page.module("store.js", over)).items(), "the ends")
        page.until(lambda: "connection lost; the process is gone" in page.text("#cards"), "the word on the card")


def test_a_hub_without_sessions_says_what_to_do_and_shows_the_earlier_ones(page: Page, tmp_path: Path) -> None:
    write_session(tmp_path, session_id(1), prompt("An old task"), answer("Done"), at=time.time() - 86_400)
    past = Past(tmp_path, tmp_path / "recordings", dict)
    with hub(FakeSource("local"), past=past) as served:
        page.open(served.url)
        page.until(lambda: "No sessions on any machine yet" in page.text("#overview"), "that there are none")
        assert "claude-mpm --websocket" in page.text("#overview")
        page.until(lambda: "An old task" in page.text("#past"), "the earlier session")
        page.click(".earlier")
        page.until(lambda: page.text("#link") == "■ earlier session", "it is open")
    past.close()


def test_a_hub_beside_a_session_is_a_link_and_no_session(page: Page) -> None:
    with instances(1) as (one,), hub(FakeSource("local")) as served:
        one.begin()
        assert served.hub is not None
        one.peers.append(
            type("Listed", (), {"info": served.hub.status()["instance_info"], "stop": lambda self: None})()
        )
        page.open(one.url)
        page.live()
        page.until(lambda: page.shows("#hubs a"), "the link")
        assert page.js("return document.querySelector('#hubs a').href") == served.url
        assert cards(page) == ["project-1"]


# --- what is known of a session ----------------------------------------------------------------------


def test_history_and_live_events_are_merged_without_hole_or_duplicate(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    for number in range(2_500):
        one.say(f"line {number}")
    with hub(local, box) as served:
        page.open(served.url)
        rail(page, 4)
        for number in range(2_500, 2_600):
            one.say(f"line {number}")  # while the history is read
        opened(page, one)
        one.say("the last line")
        choose(page, one)
        page.until(lambda: "the last line" in page.text("#talk"), "what came last")
        assert seqs(page, one) == list(range(1, one.log.seq + 1))
        pages = [command for command in one.commands if command["command"] == "get_history"]
        assert len(pages) >= 3 and all(command["limit"] <= 1_000 for command in pages)
        assert page.count("#talk .mark.gap") == 0


def test_of_many_sessions_only_those_looked_at_are_followed_in_full(page: Page) -> None:
    box = FakeSource("ssh://build-box")
    for number in range(30):
        box.add(f"job-{number:02}", BOX, age=number).begin()
    first, second = box.instances[:2]
    first.say("something")
    with hub(box) as served:
        page.open(served.url)
        rail(page, 30)
        page.live()
        assert [remote for remote in box.instances if remote.commands] == []
        second.wait()
        page.until(lambda: page.text("#needy") == "◆ 1 needs you", "a question of one that is not followed")
        for number, remote in enumerate(box.instances[:14]):
            choose(page, remote)
            opened(page, remote)
            remote.say(f"words of {number}")
            page.until(lambda number=number: f"words of {number}" in page.text("#talk"), "what it says")  # type: ignore[misc]
        modes = "[...m.store.sessions.values()].filter(s => s.link.mode === 'open').length"
        assert page.module("store.js", modes) == 12
        first.say("while nobody looked")
        choose(page, first)
        page.until(lambda: "while nobody looked" in page.text("#talk"), "it is read again")
        assert said(page, first) == ["something", "words of 0", "while nobody looked"]
        assert seqs(page, first) == list(range(1, first.log.seq + 1))


def test_who_waits_longest_is_known_though_the_list_does_not_say(page: Page) -> None:
    box = FakeSource("ssh://build-box")
    for number in range(20):
        box.add(f"job-{number:02}", BOX).begin()
    for number, ago in ((3, 60), (7, 4_000), (9, 600)):
        origin = Origin("hook", time.time() - ago)
        wanted = {"kind": "permission", "tool": "Bash", "input": {"command": "x" * 2_000}}
        box.instances[number].feed(ev.claude_status("running", origin=origin, activity="waiting", waiting_for=wanted))
    with hub(box) as served:
        page.open(served.url)
        order = "m.needy().map(s => s.id.slice(-2)).join(' ')"
        page.until(lambda: page.module("store.js", order) == "07 09 03", "the order")
        page.until(lambda: "1 h 06" in page.text("#overview tbody tr"), "since when")


# --- what is interrupted ------------------------------------------------------------------------------


def test_a_lost_connection_is_resumed_without_hole_or_duplicate(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    with hub(local, box) as served:
        page.open(served.url)
        opened(page, one)
        choose(page, one)
        page.until(lambda: page.text("#machine") == BOX, "the session")
        asked = len(one.commands)
        page.js("return import('/page/store.js').then(({ store }) => store.home.ws.close())")
        one.say("meanwhile")
        page.until(lambda: "meanwhile" in page.text("#talk"), "what was missed")
        page.live()
        one.say("after")
        page.until(lambda: "after" in page.text("#talk"), "what comes now")
        assert seqs(page, one) == list(range(1, one.log.seq + 1))
        histories = [command for command in one.commands[asked:] if command["command"] == "get_history"]
        assert histories == [], "the hub's own log had it"


def test_a_restarted_hub_is_followed_on_and_tells_nothing_twice(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    with hub(local, box) as served:
        page.open(served.url)
        opened(page, one)
        one.say("before")
        choose(page, one)
        page.until(lambda: "before" in page.text("#talk"), "the first message")
        served.stop()
        page.until(lambda: "next try in" in page.text("#link"), "the countdown")
        one.say("nobody relays this")
        box.broken = "Connection timed out"
        served.start()
        page.until(lambda: "The hub cannot reach build-box: Connection timed out." in page.text("#ended-text"), "why")
        assert "before" in page.text("#talk") and len(cards(page)) == 4, "what is known stays"
        box.restore()
        look(page)
        page.until(lambda: "nobody relays this" in page.text("#talk"), "what was missed")
        one.say("after")
        page.until(lambda: "after" in page.text("#talk"), "what comes now")
        page.live()
        assert seqs(page, one) == list(range(1, one.log.seq + 1)) and page.count("#talk .mark.gap") == 0


def test_a_machine_that_cannot_be_reached_is_told_calmly_and_keeps_what_is_known(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    one.say("as far as it got")
    with hub(local, box) as served:
        page.open(served.url)
        opened(page, one)
        box.lose("Permission denied (publickey).")
        look(page)
        page.until(
            lambda: "◌ ssh://build-box cannot be reached: Permission denied (publickey)." in page.text("#overview"),
            "why",
        )
        page.until(lambda: "not reachable" in heads(page)[1], "the heading")
        assert "not reachable" in card(page, 2) and "as far as it got" in card(page, 2)
        choose(page, one)
        page.until(lambda: "cannot reach build-box: Permission denied" in page.text("#ended-text"), "the note")
        assert page.text("#link") == f"◌ {BOX} cannot be reached" and "as far as it got" in page.text("#talk")
        box.restore()
        look(page)
        page.live()
        assert not page.shows("#ended")
        page.keys("o")
        page.until(lambda: not page.shows(".sources"), "nothing more to tell")


def test_what_the_hub_lost_is_read_from_the_instance_or_told_as_missing(page: Page) -> None:
    local, box = two_machines()
    kept, lost = box.instances
    with hub(local, box) as served:
        page.open(served.url)
        for remote in (kept, lost):
            opened(page, remote)
            remote.mute = True
            remote.say("not relayed")
            remote.mute = False
        lost.refusals["get_history"] = ("unavailable", "the instance did not answer within 5 s")
        for remote in (kept, lost):
            seq = remote.log.seq
            gap = {"from_seq": seq, "to_seq": seq, "counts": {}, "reason": "expired"}
            about = {"type": "system.gap", "timestamp": ev.rfc3339(time.time()), "instance_id": remote.log.instance_id}
            box.deliver({**about, "data": gap})
            remote.say("afterwards")
            choose(page, remote)
            page.until(lambda: "afterwards" in page.text("#talk"), "what comes afterwards")
            if remote is kept:
                assert said(page, remote) == ["not relayed", "afterwards"] and page.count("#talk .mark.gap") == 0
        page.until(lambda: "may be missing here, 3 to 3" in page.text("#talk .mark.gap"), "the mark")
        assert said(page, lost) == ["afterwards"]


def test_what_an_instance_no_longer_keeps_is_told_as_missing(page: Page) -> None:
    box = FakeSource("ssh://build-box")
    one = box.add("api", BOX, log=Log("old", Limits(structured_events=50))).begin()
    for number in range(100):
        one.say(f"line {number}")
    with hub(box) as served:
        page.open(served.url)
        opened(page, one)
        choose(page, one)
        page.until(lambda: "may be missing here, 1 to" in page.text("#talk .mark.gap"), "the mark")
        assert "line 99" in page.text("#talk")


def test_a_history_that_cannot_be_read_says_why_where_it_was_asked_for(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    one.refusals["get_history"] = ("unavailable", "the instance did not answer within 5 s")
    with hub(local, box) as served:
        page.open(served.url)
        choose(page, one)
        page.until(lambda: "did not answer within 5 s" in page.text("#trouble"), "why there is none")
        del one.refusals["get_history"]
        page.module("store.js", "m.store.sessions.get(a[0]).link.againAt = 0", one.log.instance_id)
        opened(page, one)
        page.until(lambda: not page.shows("#trouble"), "nothing more to tell")


# --- answering ----------------------------------------------------------------------------------------


def armed(page: Page) -> None:
    script = "const b = [...document.querySelectorAll('#needs-answer button')]; return b.length > 0 && b.every(e => !e.disabled)"
    page.until(lambda: page.js(script), "armed buttons")


def ask(remote: Remote) -> None:
    """Claude asks for permission, and clients may answer."""
    wanted = {"request_id": "q-1", "kind": "permission", "tool": "Bash", "input": {"command": "make deploy"}}
    offer: dict[str, Any] = {"decisions": ["allow", "deny"], "grants": []}
    data = {**wanted, **offer, "state": "asked"}
    remote.feed(ev.Event("claude.question", data, "monitor", time.time()))
    remote.wait(answerable=True, request_id="q-1", **offer)


def test_an_answer_goes_through_the_hub(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    with hub(local, box, token=TOKEN, control=True) as served:
        page.open(f"{served.url}#token={TOKEN}")
        rail(page, 4)
        ask(one)
        page.until(lambda: page.text("#needy") == "◆ 1 needs you", "who needs the reader")
        page.keys("n")
        armed(page)
        assert f"Answer here, or in the terminal of /home/user/src/api on {BOX}." in page.text("#needs-how")
        page.click("[data-decision=allow]")
        page.until(lambda: "on its way" in page.text(".answer-status"), "the answer is sent")
        (given,) = [command for command in one.commands if command["command"] == "answer"]
        assert (given["request"], given["decision"]) == ("q-1", "allow")


def test_a_refusal_is_shown_where_the_answer_was_given(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    one.refusals["answer"] = ("unavailable", "the machine is asleep")
    with hub(local, box, token=TOKEN, control=True) as served:
        page.open(f"{served.url}#token={TOKEN}")
        rail(page, 4)
        ask(one)
        choose(page, one)
        armed(page)
        page.click("[data-decision=deny]")
        page.until(lambda: "the machine is asleep" in page.text(".answer-status"), "the refusal")


def test_a_hub_without_control_says_that_it_only_shows(page: Page) -> None:
    local, box = two_machines()
    one = box.instances[0]
    ask(one)
    with hub(local, box) as served:
        page.open(served.url)
        rail(page, 4)
        choose(page, one)
        page.until(lambda: "this hub only shows sessions" in page.text("#needs-how"), "why nothing can be answered")
        assert "--websocket-control" in page.text("#needs-how") and not page.shows("#needs-answer")


# --- bounds and hostile data --------------------------------------------------------------------------


def many(count: int, machines: int) -> list[FakeSource]:
    """Sources of `count` sessions in all, a third of them here. Every fiftieth needs somebody."""
    sources = [FakeSource("local" if number == 0 else f"ssh://host-{number:02}") for number in range(machines)]
    for number in range(count):
        place = number % machines if number % 3 else 0
        machine = LOCAL if place == 0 else f"host-{place:02}"
        remote = sources[place].add(f"job-{number:04}", machine, port=8000 + number, age=number).begin()
        if number % 50 == 7:
            remote.wait()
    return sources


def test_the_page_stays_small_with_hundreds_of_sessions(page: Page) -> None:
    sources = many(600, 24)
    with hub(*sources) as served:
        page.open(served.url)
        page.until(lambda: page.text("#rail-count") == "600", "all sessions")
        page.until(lambda: page.text("#needy") == "◆ 12 need you", "those that need the reader")
        page.live()
        assert page.metrics()["Nodes"] < 4_000
        edges = """return [...document.querySelectorAll('#overview tr')].map((row) => {
          const last = [...row.cells].filter((cell) => cell.checkVisibility()).at(-1);
          return Math.round(row.getBoundingClientRect().right - last.getBoundingClientRect().right); });"""
        assert not any(page.js(edges)), "every row ends where its table does"
        assert all(number in page.text("#overview") for number in ("Needs you · 12", "job-0007", "job-0557"))
        assert sum(len(remote.commands) for source in sources for remote in source.instances) == 12, "since when"
        moods = "return document.querySelectorAll('#cards .card[data-mood=waiting]').length"
        assert page.js(moods) == 12, "who needs the reader is among those shown"
        for _ in range(3):
            page.click("#cards .more")
            page.click("#overview .more")
            page.frame()
            assert page.metrics()["Nodes"] < 4_500
        assert "#/?q=" in page.driver.current_url, "what has no room on the rail is found in the overview"
        page.js(
            "const f = document.getElementById('overview-filter'); f.value = 'job-0123'; f.dispatchEvent(new Event('input'))"
        )
        page.until(lambda: page.count("#overview .open") == 1, "the one that was looked for")
        page.click("#overview .open")
        page.until(lambda: page.text("#name") == "job-0123", "it is open")
        assert page.js("return document.querySelector('#cards [aria-current=true] b').textContent") == "job-0123"
        assert page.metrics()["Nodes"] < 4_500


def test_hostile_names_are_text_and_hide_nothing(page: Page) -> None:
    local = FakeSource("local")
    box = FakeSource(HOSTILE)
    local.add("api").begin()
    box.add("x", HOSTILE, git_branch=HOSTILE, name=HOSTILE).begin()
    box.add("constructor", "__proto__", log=Log("__proto__")).begin()
    with hub(local, box) as served:
        page.open(served.url)
        rail(page, 3)
        box.lose(HOSTILE)
        page.until(lambda: "cannot be reached" in page.text("#overview"), "the source")
        for remote in box.instances:
            choose(page, remote)
            page.until(lambda remote=remote: page.text("#machine") != "", "the session")  # type: ignore[misc]
            shown = page.text("body") + page.js("return document.title")
            assert not any(sign in shown for sign in "\u202e\x1b") and page.count("img") == 0
        assert page.js("return window.pwned === undefined")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window_and_axe_finds_nothing(page: Page, axe: str, width: int) -> None:
    local, box = two_machines()
    box.add("a-very-long-project-name" * 6, "build-box-with-a-long-name" * 6, git_branch="feature/" + "x" * 200).begin()
    broken = FakeSource("ssh://away")
    broken.broken = "ssh: connect to host away port 22: " + "No route to host " * 8
    with hub(local, box, broken) as served:
        page.size(width, 844)
        page.open(served.url)
        rail(page, 5)
        box.instances[0].wait(command="z" * 500)
        page.until(lambda: page.shows("#needy"), "who needs the reader")
        page.js(axe)
        found: set[str] = set()
        for dark in (False, True):
            page.dark(dark)
            for keys in ("o", "n"):
                page.keys(keys)
                page.frame()
                wide = "return [...document.querySelectorAll('#bar *, #main, #head *, #needs, #overview *')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('#stats, .cut')).map(e => e.id || e.className)"
                assert page.js(wide) == []
                script = "return axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.target + ': ' + n.failureSummary).join('; ')]))"
                found |= {" ".join(map(str, v)) for v in page.js(script) if v[0] in ("serious", "critical")}
        page.dark(False)
        assert found == set()
