"""The page's timeline, playback, numbers, palette and overlay of keys in a real Chromium, on a page of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from page import Page
from page_lab import START, click, drag, lab_address, mouse, settle, texts, told, x_of, y_of

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=window.pwned=1>\u202egnp\x1b[31m"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with lab_address("time.html") as found:
        yield found


@pytest.fixture
def page(page: Page, address: str) -> Page:
    """The laboratory with the story of twelve minutes and four agents."""
    page.open(address)
    page.until(lambda: page.js("return Boolean(window.lab)"), "the modules")
    page.js("lab.story()")
    page.until(lambda: page.shows(".tl-plot"), "the timeline")
    return page


def test_each_agent_has_a_named_lane_below_the_one_that_started_it(page: Page) -> None:
    page.until(lambda: texts(page, "button.tl-name") == ["research", "engineer", "Explore", "qa"], "four names")
    depths = page.js(
        "return [...document.querySelectorAll('button.tl-name')].map(e => e.style.getPropertyValue('--depth'))"
    )
    assert depths == ["0", "0", "1", "0"]
    assert "Look through the migrations" in texts(page, ".tl-task")
    assert page.text(".tl-summary") == "4 agents, 1 running"
    page.click("button.tl-name:nth-child(3)")
    assert told(page, "agents", 1) == ["c"]


def test_nothing_is_shown_before_anything_happened(page: Page) -> None:
    page.js("lab.show([])")
    settle(page)
    assert not page.shows(".timeline")


def test_the_wheel_zooms_at_the_pointer_and_all_shows_everything_again(page: Page) -> None:
    whole = texts(page, ".tl-tick")
    x = x_of(page, 240)
    for _ in range(12):
        mouse(page, "mouseWheel", x, y_of(page, 0), deltaX=0, deltaY=-240)
    page.until(lambda: texts(page, ".tl-tick") != whole and "09:04:00" in texts(page, ".tl-tick"), "narrower ticks")
    script = "return [...document.querySelectorAll('.tl-tick')].find(e => e.textContent === '09:04:00').getBoundingClientRect().left"
    assert abs(float(page.js(script)) - x) < 3
    page.js("document.querySelector('.tl-zoom [title=\"Show the whole session\"]').click()")
    page.until(lambda: texts(page, ".tl-tick") == whole, "the ticks of before")


def test_dragging_pans_what_is_zoomed_and_moves_no_cursor(page: Page) -> None:
    page.js("document.querySelector('.tl-zoom [title=\"Zoom in\"]').click()")
    settle(page)
    before = texts(page, ".tl-tick")
    drag(page, 500, 900, y_of(page, 0))
    page.until(lambda: texts(page, ".tl-tick") != before, "earlier ticks")
    assert page.js("return lab.seeks") == []


def test_shift_drag_selects_a_stretch_and_escape_clears_it(page: Page) -> None:
    drag(page, x_of(page, 60), x_of(page, 120), y_of(page, 1), modifiers=8)
    ((low, high),) = told(page, "ranges", 1)
    assert abs(low - START - 60_000) < 2000
    assert abs(high - START - 120_000) < 2000
    page.until(lambda: page.shows(".tl-range") and "1 min 0" in page.text(".tl-chip"), "the selection")
    page.js("document.querySelector('.tl-plot').focus()")
    page.keys("\ue00c")
    assert told(page, "ranges", 2)[1] is None
    page.until(lambda: not page.shows(".tl-range"), "no selection")


def test_a_click_seeks_and_one_at_the_edge_goes_live(page: Page) -> None:
    click(page, x_of(page, 200), y_of(page, 0))
    assert abs(told(page, "seeks", 1)[0] - START - 200_000) < 2000
    page.until(lambda: page.shows(".tl-cursor"), "the cursor")
    assert page.js("return lab.cursor.state.seq < lab.log.live.seq")
    click(page, x_of(page, 719), y_of(page, 0))
    assert told(page, "seeks", 2)[1] is None
    page.until(lambda: not page.shows(".tl-cursor"), "no cursor")


def test_dragging_the_ruler_moves_the_cursor_all_the_way(page: Page) -> None:
    top = y_of(page, 0) - 25
    drag(page, x_of(page, 100), x_of(page, 300), top)
    seeks = told(page, "seeks", 4)
    assert seeks == sorted(seeks)
    assert abs(seeks[-1] - START - 300_000) < 2000


def test_arrows_step_through_what_happened_and_tell_the_time(page: Page) -> None:
    page.js("document.querySelector('.tl-plot').focus()")
    page.keys("\ue012")
    assert told(page, "seeks", 1) == [START + 700_000]
    page.until(
        lambda: (
            page.js("return document.activeElement.getAttribute('aria-valuetext')")
            == page.js("return new Date(arguments[0]).toTimeString().slice(0, 8)", START + 700_000)
        ),
        "the time in words",
    )
    page.keys("\ue012\ue014\ue014")
    assert told(page, "seeks", 4)[1:] == [START + 640_000, START + 700_000, None]
    page.keys("\ue011")
    assert told(page, "seeks", 5)[4] == START


def test_the_pointer_tells_the_time_and_what_ran(page: Page) -> None:
    mouse(page, "mouseMoved", x_of(page, 250), y_of(page, 0))
    page.until(lambda: "npm test" in page.text(".tl-tip"), "the call")
    assert "waiting for permission (Bash)" in page.text(".tl-tip")
    assert texts(page, ".tl-tip-call.failed")
    mouse(page, "mouseMoved", x_of(page, 90), y_of(page, 2))
    page.until(lambda: "npm run migrate" in page.text(".tl-tip"), "the agent's call")
    assert "engineer" in page.text(".tl-tip")
    mouse(page, "mouseMoved", 5, 5)
    page.until(lambda: not page.shows(".tl-tip"), "no tip")


def test_a_running_session_has_a_now_and_an_ended_one_an_end(page: Page) -> None:
    settle(page)
    assert page.js("return {...document.querySelector('.tl-edge').dataset}") == {"kind": "now", "live": "true"}
    page.js("""lab.log.push({type: 'session.end', seq: 999, timestamp: new Date(lab.now).toISOString(),
        data: {end_time: new Date(lab.now).toISOString(), exit_code: 0}}); lab.update()""")
    page.until(lambda: page.js("return document.querySelector('.tl-edge').dataset.kind") == "end", "the end")


def test_another_session_begins_with_nothing_zoomed_or_selected(page: Page) -> None:
    whole = texts(page, ".tl-tick")
    page.js("document.querySelector('.tl-zoom [title=\"Zoom in\"]').click(); lab.timeline.select([0, 1])")
    page.until(lambda: texts(page, ".tl-tick") != whole and page.shows(".tl-chip"), "zoomed and selected")
    page.js("lab.timeline.update({...lab.log.live, startedAt: lab.log.oldestAt + 1}, {live: true, now: lab.now})")
    page.until(lambda: texts(page, ".tl-tick") == whole and not page.shows(".tl-chip"), "all of the other session")


def test_lanes_are_scrolled_to_the_agents_of_the_moment_shown(page: Page) -> None:
    page.js("lab.long(3000); lab.cursor.seek(lab.log.oldestAt); lab.update()")
    page.until(lambda: "type-7" in texts(page, "button.tl-name"), "the first agent")
    page.js("lab.cursor.seek(null); lab.update()")
    page.until(lambda: page.count('button.tl-name[data-status="started"]'), "the one that runs")


def test_shift_and_arrows_select_by_keyboard(page: Page) -> None:
    page.js("lab.cursor.seek(lab.log.oldestAt + 420000); lab.update(); document.querySelector('.tl-plot').focus()")
    settle(page)
    for _ in range(2):
        page.cdp("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", modifiers=8)
    low, high = told(page, "ranges", 2)[-1]
    assert low == START + 420_000
    assert high == START + 430_000


def test_on_a_phone_it_begins_folded_with_targets_of_forty_pixels(page: Page) -> None:
    page.size(390, 844)
    page.js("lab.story()")
    page.until(lambda: page.shows(".tl-fold"), "the head")
    assert not page.shows(".tl-plot")
    page.click(".tl-fold")
    page.until(lambda: page.shows(".tl-plot"), "the plot")
    small = """return [...document.querySelectorAll('.timeline button')].filter(b => b.checkVisibility())
        .map(b => b.getBoundingClientRect()).filter(b => b.height < 40 || b.right > innerWidth).length"""
    assert page.js(small) == 0
    assert texts(page, ".tl-name")[1:] == ["research", "engineer", "Explore", "qa"]


def test_playback_moves_the_cursor_through_its_buttons(page: Page) -> None:
    page.js("document.querySelector('[aria-label=\"Previous prompt\"]').click()")
    assert page.js("return lab.cursor.at") == START + 420_000
    page.js("document.querySelector('[aria-label=\"One event on\"]').click()")
    assert page.js("return lab.cursor.at") == START + 420_000
    page.js(
        "document.querySelector('[aria-label=\"Play\"]').click(); lab.cursor.tick(0); lab.cursor.tick(200); lab.update()"
    )
    assert page.js("return lab.cursor.at") == START + 420_200
    assert page.count('[aria-label="Pause"]') == 1
    page.js("document.querySelector('[aria-label=\"Speed ×1\"]').click()")
    assert page.js("return lab.cursor.speed") == 4
    page.js("document.querySelector('.transport .live').click()")
    assert page.js("return lab.cursor.live")


def test_numbers_count_turns_tools_and_agents(page: Page) -> None:
    page.js("lab.numbers()")
    assert "$0.66" in page.text(".numbers .facts")
    assert "44 %" in page.text(".numbers .facts")
    assert page.count(".numbers svg rect") == 6
    rows = [row.split("\t")[0].strip() for row in page.text(".numbers table").splitlines()]
    assert rows[0].startswith("Tool")
    assert texts(page, ".numbers .failures") == ["2", "1"]


def test_what_a_session_says_is_only_ever_text(page: Page) -> None:
    page.js(
        """const [bad] = arguments, at = (s) => new Date(lab.now + s * 1000).toISOString();
        lab.show([
          {type: 'session.start', seq: 1, timestamp: at(0), data: {session_id: 's', start_time: at(0)}},
          {type: 'agent.delegation', seq: 2, timestamp: at(1), data: {agent: bad, task: bad, status: 'started', agent_id: 'x'}},
          {type: 'claude.message', seq: 3, timestamp: at(2), data: {role: 'user', text: bad}},
          {type: 'tool.start', seq: 4, timestamp: at(3), data: {tool: bad, tool_use_id: 'c', input: {command: bad}}},
          {type: 'claude.usage', seq: 5, timestamp: at(4), data: {model: bad, tokens: {input: bad}, totals: {input: 1}}},
          {type: 'claude.message', seq: 6, timestamp: at(5), data: {role: 'user', text: bad}},
          {type: 'claude.usage', seq: 7, timestamp: at(6), data: {tokens: {input: 5}, totals: {input: 6}, cost_usd: 1}},
        ]);
        lab.numbers(); lab.palette([bad]);""",
        HOSTILE,
    )
    page.until(lambda: page.count(".tl-task"), "the lane")
    mouse(page, "mouseMoved", 600, y_of(page, 1))
    settle(page)
    assert page.count("img") == 0
    assert page.js("return window.pwned === undefined")
    shown = page.js(
        "return document.body.textContent + [...document.querySelectorAll('[title]')].map(e => e.title).join()"
    )
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert page.count(".palette li") == 1


def test_the_palette_keeps_the_focus_and_gives_it_back(page: Page) -> None:
    page.js("document.querySelector('.tl-fold').id = 'before'; document.querySelector('.tl-fold').focus()")
    page.js("lab.palette(['Show conversation', 'Show changes', 'Copy link'])")
    page.keys("sh")
    page.until(lambda: page.count(".palette li") == 2, "two matches")
    page.keys("\ue015\ue004\ue004")  # down, Tab, Tab
    assert page.js("return document.activeElement.matches('.palette input')")
    chosen = page.text('.palette li[aria-selected="true"]')
    assert chosen.startswith("Show changes")
    assert (
        page.js("""const input = document.activeElement, id = input.getAttribute('aria-activedescendant');
        return document.getElementById(id).getAttribute('aria-selected')""")
        == "true"
    )
    page.keys("\ue007")
    assert told(page, "chosen", 1) == [["Show changes", "before"]]
    assert page.count("dialog") == 0
    page.js("lab.palette(['Copy link'])")
    page.keys("zzz")
    page.until(lambda: page.text(".palette .none") == "Nothing matches.", "nothing")
    page.keys("\ue007\ue00c")
    page.until(lambda: page.count("dialog") == 0, "closed")
    assert page.js("return document.activeElement.id") == "before"


def test_the_overlay_of_keys_closes_on_escape_and_gives_the_focus_back(page: Page) -> None:
    page.js("document.querySelector('.tl-plot').focus(); lab.help()")
    page.until(lambda: "zoom at the pointer" in page.text("dialog.help"), "the keys")
    page.keys("\ue00c")
    page.until(lambda: page.count("dialog") == 0, "closed")
    assert page.js("return document.activeElement.className") == "tl-plot"


def test_fifty_thousand_events_keep_few_nodes(page: Page) -> None:
    """What a jump and the memory cost is printed: the figures are for reading, not for failing on a busy machine."""
    page.js("lab.timeline.destroy(); lab.log = lab.cursor = null; lab.story()")
    before = page.metrics()["JSHeapUsedSize"]
    page.js("lab.long(50000)")
    page.until(lambda: "agents" in page.text(".tl-summary") and page.text("button.tl-name") != "research", "the lanes")
    settle(page)
    assert page.count(".timeline *") < 150
    took = page.js("""const took = [];
        for (let i = 0; i < 200; i++) {
          const from = performance.now();
          lab.log.stateAt((i * 7919) % 50000);
          took.push(performance.now() - from);
        }
        return took.sort((a, b) => a - b)""")
    heap = (page.metrics()["JSHeapUsedSize"] - before) / 2**20
    print(
        f"\n50,000 events: jump median {took[100]:.1f} ms, p95 {took[190]:.1f} ms, most {took[199]:.1f} ms; heap {heap:.0f} MB"
    )


def test_a_destroyed_timeline_leaves_nothing(page: Page) -> None:
    page.js("lab.timeline.destroy()")
    assert page.count("#timeline *") == 0
    page.js("document.documentElement.dataset.theme = 'dark'")
    settle(page)
    assert page.count("#timeline *") == 0
