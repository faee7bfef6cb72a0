"""The terminal's picture: right against recordings of the real program, numbered, sparing, and hard to break."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import check
from support import DATA, TIMEOUT, wait_until

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.screen import emulator as emulator_module
from claude_mpm.screen.emulator import Emulator, available
from claude_mpm.screen.pictures import PICTURE_BYTES, Picture, PictureDiffs, bounded
from claude_mpm.screen.screen import MAX_SIZES, Screen
from claude_mpm.system import json_text

pytest.importorskip("pyghostty")

Data = Mapping[str, Any]
PLAIN: dict[str, Any] = {}


def recording(version: str) -> list[str]:
    """What Claude wrote in one recorded session, as it came."""
    lines = (DATA / f"recordings/tui.v{version}.cast").read_text(encoding="utf-8").splitlines()
    return [text for _, kind, text in map(json.loads, lines[1:]) if kind == "o"]


def shown(*texts: str, size: tuple[int, int] = (24, 80)) -> Picture:
    emulator = Emulator(*size)
    try:
        for text in texts:
            emulator.feed(text)
        return emulator.picture()
    finally:
        emulator.close()


def cells(line: Any) -> list[tuple[str, Data]]:
    """A row as a client lays it out: one entry per cell, "" in the second cell of a wide character."""
    found: list[tuple[str, Data]] = []
    for text, style in line:
        if "w" in style:
            found += [(text, style)] + [("", style)] * (style["w"] - 1)
        else:
            found += [(char, style) for char in text]
    return found


def text_of(line: Any) -> str:
    return "".join(text for text, _ in line)


class Viewer:
    """A client that keeps the picture by the rule of docs/protocol.md."""

    def __init__(self) -> None:
        self.mine = 0
        self.asks = False
        self.rows: list[Any] = []
        self.about: dict[str, Any] = {}

    def take(self, data: Data) -> None:
        if data["frame"] <= self.mine:
            return
        self.asks = data["base"] > self.mine
        if self.asks:
            return
        if data["full"]:
            self.rows = [None] * data["rows"]
        for row, line in data["lines"]:
            self.rows[row] = line
        self.mine = data["frame"]
        self.about = {key: data[key] for key in ("cols", "rows", "cursor", "title")}

    def text(self) -> str:
        return "\n".join(map(text_of, self.rows)).rstrip("\n")


@contextmanager
def screen_of(log: Log, size: tuple[int, int] = (24, 80)) -> Iterator[Screen]:
    screen = Screen(log, size)
    screen.start()
    try:
        yield screen
    finally:
        screen.stop()
        screen.join(TIMEOUT)


class Writer:
    """Appends output to a log as the source does."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.log = Log("i", limits)
        self._offset = 0

    def write(self, text: str) -> None:
        self.log.append(ev.claude_output(text, self._offset))
        self._offset += len(text.encode())


class Watching:
    """Every `claude.screen` event of a log, taken in a thread of its own."""

    def __init__(self, log: Log) -> None:
        self._follower = log.follow(0)
        self._stopping = False
        self.events: list[Data] = []
        self._thread = threading.Thread(target=self._run, name="watching")

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._follower.wake()
        self._thread.join(TIMEOUT)
        self._follower.close()

    def _run(self) -> None:
        while not self._stopping:
            for entry in self._follower.read((ev.CLAUDE_SCREEN,), 100).entries:
                message = entry.message()
                check(message)
                self.events.append(message["data"])
            self._follower.wait(TIMEOUT)

    def newest(self) -> str:
        viewer = Viewer()
        for data in list(self.events):
            viewer.take(data)
        return viewer.text()


# --- what is in the picture ---


def test_available_says_whether_pyghostty_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available()
    monkeypatch.setattr(emulator_module, "find_spec", lambda name: None)
    assert not available()


# Text, colours and flags of these cells were compared with another emulator's (pyte), as was every cell of every step.
RECORDED: list[tuple[str, int, str | None, dict[int, list[tuple[str, Data]]]]] = [
    (
        "1.0.128",
        60,
        "✳ Fake topic",
        {
            6: [("╰───────────────────────────────────────────────────╯", {"fg": 174})],
            14: [("●", {"fg": 114}), (" ", {}), ("Task", {"b": True}), ("(Research the topic)", {})],
            20: [("  ⎿ \xa0hi", {})],
            33: [("  ⎿ \xa0", {}), ("Next: Summarise", {"d": True})],
            36: [(">\xa0", {"d": True}), (" ", {"r": True})],
            37: [("─" * 120, {"fg": 244, "d": True})],
        },
    ),
    (
        "2.0.77",
        50,
        None,
        {
            2: [
                ("▝▜", {"fg": 174}),
                ("█████", {"fg": 174, "bg": 16}),
                ("▛▘", {"fg": 174}),
                ("  ", {}),
                ("Sonnet 4.5 · API Usage Billing", {"fg": 246}),
            ],
            7: [("❯ ", {"fg": 239, "bg": 237}), ("[[MAIN]] Do the work. ", {"fg": 231, "bg": 237})],
            24: [
                ("   ", {}),
                ("├─ ", {"fg": 246}),
                ("Parallel beta", {"fg": 246, "b": True}),
                (" · 0 tool uses", {"fg": 246}),
            ],
            35: [("  ", {}), ("⏵⏵ bypass permissions on", {"fg": 211}), (" (shift+tab to cycle)", {"fg": 246})],
        },
    ),
    (
        "2.1.330",
        50,
        "◑ Claude Code",
        {
            3: [
                ("❯ ", {"fg": 246, "bg": 237}),
                ("[[MAIN]] Do the work.", {"fg": 231, "bg": 237}),
                (" " * 97, {"bg": 237}),
            ],
            22: [("●", {"fg": 231}), (" All done. FINAL-TEXT-MARKER.", {})],
            27: [("  ", {}), ("✔ ", {"fg": 114}), ("Plan the work", {"fg": 246, "s": True})],
            28: [("  ", {}), ("◼ ", {"fg": 174}), ("Delegate research", {"b": True})],
            32: [("❯\xa0", {}), (" ", {"r": True})],
        },
    ),
]


@pytest.mark.parametrize(("version", "steps", "title", "rows"), RECORDED, ids=[case[0] for case in RECORDED])
def test_a_recorded_session_is_shown_as_it_was(
    version: str, steps: int, title: str | None, rows: dict[int, list[tuple[str, Data]]]
) -> None:
    picture = shown(*recording(version)[:steps], size=(40, 120))
    assert picture.title == title
    assert {row: picture.lines[row] for row in rows} == rows


def test_after_the_alternate_screen_the_first_one_is_back() -> None:
    during = shown("before\r\n\x1b[?1049h\x1b[Hinside")
    assert text_of(during.lines[0]) == "inside"
    after = shown("before\r\n\x1b[?1049h\x1b[Hinside", "\x1b[?1049l")
    assert text_of(after.lines[0]) == "before"


@pytest.mark.parametrize("version", ["1.0.128", "2.0.77", "2.1.330"])
def test_byte_by_byte_is_as_whole(version: str) -> None:
    text = "".join(recording(version))
    assert shown(*text, size=(40, 120)) == shown(text, size=(40, 120))


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("宽字", [("宽", {"w": 2}), ("字", {"w": 2})]),
        ("a宽b", [("a", {}), ("宽", {"w": 2}), ("b", {})]),
        ("e\u0301x", [("e\u0301", {"w": 1}), ("x", {})]),
        ("👨‍👩‍👧x", [("👨‍👩‍👧", {"w": 2}), ("x", {})]),
        ("🇩🇪x", [("🇩🇪", {"w": 2}), ("x", {})]),
        ("👍🏽x", [("👍🏽", {"w": 2}), ("x", {})]),
        ("\x1b[31m宽", [("宽", {"fg": 1, "w": 2})]),
    ],
)
def test_what_is_not_one_code_point_in_one_cell_is_a_run_that_says_its_width(text: str, runs: Any) -> None:
    picture = shown(text)
    assert picture.lines[0] == runs
    assert picture.cursor["col"] == len(cells(runs))


def test_a_wide_character_takes_two_cells_at_its_place() -> None:
    line = cells(shown("\x1b[5Ga宽b").lines[0])
    assert [text for text, _ in line] == [" ", " ", " ", " ", "a", "宽", "", "b"]


def test_half_a_wide_character_is_blank() -> None:
    emulator = Emulator(5, 20)
    emulator.feed("\x1b[?1049h\x1b[H" + "宽" * 10)
    emulator.resize(5, 19)
    line = emulator.picture().lines[0]
    emulator.close()
    assert text_of(line) == "宽" * 9
    assert len(cells(line)) <= 19


@pytest.mark.parametrize(
    ("sgr", "style"),
    [
        ("1;3;4;9;7", {"b": True, "i": True, "u": True, "s": True, "r": True}),
        ("2", {"d": True}),
        ("31;102", {"fg": 1, "bg": 10}),
        ("38;5;200;48;5;17", {"fg": 200, "bg": 17}),
        ("38;2;255;0;128;48;2;1;2;3", {"fg": "#ff0080", "bg": "#010203"}),
    ],
)
def test_styles(sgr: str, style: Data) -> None:
    assert shown(f"\x1b[{sgr}mx\x1b[my").lines[0] == [("x", style), ("y", {})]


def test_cleared_to_a_background_is_that_background() -> None:
    assert shown("\x1b[44m\x1b[2J").lines[3] == [(" " * 80, {"bg": 4})]
    assert shown("\x1b[48;2;1;2;3m\x1b[2J").lines[3] == [(" " * 80, {"bg": "#010203"})]


def test_hidden_text_is_spaces_and_the_blank_end_is_left_out() -> None:
    assert shown("a\x1b[8msecret\x1b[mb   ").lines[0] == [("a      b", {})]
    assert shown("").lines == [[]] * 24


def test_the_cursor_and_its_visibility() -> None:
    assert shown("ab\r\nc").cursor == {"row": 1, "col": 1, "visible": True}
    assert shown("\x1b[?25l").cursor["visible"] is False


@pytest.mark.parametrize("sequence", ["\x1b]0;T {}\x07", "\x1b]2;T {}\x1b\\"])
def test_the_title_is_cut_and_has_no_controls(sequence: str) -> None:
    assert shown(sequence.format("x")).title == "T x"
    assert shown(sequence.format("\u202ex\u0085y")).title == "T xy"
    assert len(shown(sequence.format("x" * 1000)).title or "") == 256
    assert shown("").title is None


def test_text_direction_cannot_be_changed() -> None:
    line = shown("a\u202eb\u2066c\u200fd").lines[0]
    assert text_of(line) == "abcd"


# --- hostile output ---

HOSTILE = {
    "links": "\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;aGk=\x07\x1b]52;c;?\x07",
    "queries": "\x1b[c\x1b[>c\x1b[=c\x1b[6n\x1b[?6n\x1b[5n\x1b[18t\x1b[21t\x1b[>q\x05\x1b]10;?\x07\x1b]11;?\x07\x1bP+q544e\x1b\\\x1b[?2026$p\x1b[?u",
    "huge parameters": "".join(f"\x1b[99999999999999999999;65536{final}" for final in "ABCDEFGHIJKLMPSTXZ`adefgrst@"),
    "many parameters": "\x1b[" + ";".join("1" * 5000) + "m",
    "endless title": "\x1b]0;" + "x" * 500_000,
    "endless string": "\x1bP" + "q" * 500_000,
    "resets": "\x1bc" * 500,
    "fills": "\x1b#8" * 2000,
    "marks": "e" + "\u0301" * 20_000,
    "switches": "\x1b[?1049h\x1b[?1049l" * 1000,
    "132 columns": "\x1b[?40h" + "\x1b[?3h\x1b[?3l" * 200,
    "notifications": "\x1b]9;hi\x07\x1b]777;notify;a;b\x07\x1b]1337;File=name=eA==:AAAA\x07\a\a",
    "controls": "".join(map(chr, range(0x20))) + "".join(map(chr, range(0x7F, 0xA0))),
    "images": "\x1b_Ga=T,f=24,s=100,v=100;" + "AAAA" * 10_000 + "\x1b\\",
    "not text": "\ud800\udfff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_output_leaves_a_picture_that_can_be_sent(name: str) -> None:
    picture = shown(HOSTILE[name], "\x1b\\\x1bc\x1b[2J\x1b[Hstill here")
    assert text_of(picture.lines[0]) == "still here"
    diffs = PictureDiffs()
    diffs.update(shown(HOSTILE[name]))
    data = diffs.full().data
    assert len(json_text.dumps(data)) < 2_000_000
    assert not any(ord(char) < 32 for _, line in data["lines"] for char in text_of(line))


def test_a_file_that_the_output_names_is_neither_read_nor_deleted(tmp_path: Path) -> None:
    from base64 import b64encode

    path = tmp_path / "tty-graphics-protocol-x"
    path.write_bytes(bytes(3))
    for medium in "ft":
        shown(f"\x1b_Ga=T,f=24,s=1,v=1,t={medium};{b64encode(str(path).encode()).decode()}\x1b\\")
    assert path.exists()


PIECES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["\r\n", "\x1b[2J", "\x1b[H", "\x1b[?1049h", "\x1b[?1049l", "\x1b[3S", "\x1b[2T", "\x1b[5;9r", "\x1bc", "宽"]),
    st.builds("\x1b[{};{}H".format, st.integers(0, 30), st.integers(0, 90)),
    st.builds("\x1b[{}m".format, st.integers(0, 107)),
    st.builds("\x1b[{}{}".format, st.integers(0, 90), st.sampled_from("ABCDJKLMPSTX@b")),
)  # fmt: skip
SIZES = st.tuples(st.integers(5, 30), st.integers(20, 90))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(PIECES, SIZES), max_size=30), st.data())
def test_any_diff_applied_to_any_picture_it_reaches_is_the_picture(steps: list[Any], data: st.DataObject) -> None:
    """Also: rows read one by one as they change are those of a terminal read once."""
    diffs, emulator, other = PictureDiffs(), Emulator(24, 80), Emulator(24, 80)
    viewers = [Viewer(), Viewer()]
    try:
        for step in steps:
            for terminal in (emulator, other):
                terminal.feed(step) if isinstance(step, str) else terminal.resize(*step)
            diffs.update(emulator.picture())
            event = diffs.diff()
            for viewer in viewers:
                if event is not None and data.draw(st.booleans()):
                    viewer.take(event.data)
                if viewer.asks:
                    viewer.take(diffs.full().data)
        expected = other.picture()
    finally:
        emulator.close()
        other.close()
    if not steps:
        return
    assert emulator_lines(diffs) == expected.lines
    for viewer in viewers:
        if viewer.mine == diffs.full().data["frame"]:
            assert viewer.rows == [[list(run) for run in line] for line in expected.lines]
            assert viewer.about["cursor"] == expected.cursor


def emulator_lines(diffs: PictureDiffs) -> list[Any]:
    return [[tuple(run) for run in line] for _, line in diffs.full().data["lines"]]


COLOURED = "".join(f"\x1b[38;2;{n % 256};0;255;48;2;1;{n % 256};3mx" for n in range(1000))


def test_a_picture_of_the_largest_terminal_is_bounded_however_it_is_coloured() -> None:
    line = shown("\x1b[H" + COLOURED, size=(500, 1000)).lines[0]
    assert text_of(line) == "x" * 1000
    assert len(json_text.dumps(line)) <= PICTURE_BYTES // 500


def test_in_an_ordinary_terminal_every_cell_may_have_a_style_of_its_own() -> None:
    line = shown("\x1b[H" + COLOURED, size=(60, 400)).lines[0]
    assert len(line) == 400
    assert len(json_text.dumps(line)) <= PICTURE_BYTES // 60


@given(
    st.lists(
        st.tuples(st.text('a"\\é宽👩', max_size=3), st.sampled_from([{}, {"fg": 1}])) | st.just(("宽", {"w": 2})),
        max_size=99,
    ),
    st.integers(1, 500),
)
def test_a_row_is_simplified_only_when_it_is_too_large_and_then_keeps_its_columns(line: Any, rows: int) -> None:
    simple = bounded(line, rows)
    assert simple == line or len(simple) == 1
    assert len(json_text.dumps(simple)) <= max(PICTURE_BYTES // rows, 99 * 3 * 4)
    if simple != line:
        assert len(simple[0][0]) <= len(cells(line))


# --- numbers and diffs ---


def picture(*lines: str, **other: Any) -> Picture:
    base = Picture(10, len(lines), {"row": 0, "col": 0, "visible": True}, None, [[(line, {})] for line in lines])
    return replace(base, **other)


def test_the_first_diff_is_whole_and_the_next_has_what_changed() -> None:
    diffs = PictureDiffs()
    diffs.update(picture("a", "b"))
    first = diffs.diff()
    assert first is not None and first.data["full"] and first.data["base"] == 0 and first.data["frame"] == 1
    diffs.update(picture("a", "c"))
    second = diffs.diff()
    assert second is not None
    assert second.data["lines"] == [[1, [["c", {}]]]]
    assert (second.data["frame"], second.data["base"], second.data["full"]) == (2, 1, False)


def test_what_did_not_change_is_not_told() -> None:
    diffs = PictureDiffs()
    diffs.update(picture("a"))
    assert diffs.diff() is not None
    diffs.update(picture("a"))
    assert diffs.diff() is None


def test_a_moved_cursor_or_a_new_title_is_told_without_rows() -> None:
    diffs = PictureDiffs()
    diffs.update(picture("a"))
    diffs.diff()
    for other in ({"cursor": {"row": 0, "col": 1, "visible": True}}, {"title": "t"}):
        diffs.update(picture("a", **other))
        event = diffs.diff()
        assert event is not None and event.data["lines"] == []


def test_who_missed_some_diffs_is_right_after_the_next() -> None:
    diffs, viewer = PictureDiffs(), Viewer()
    diffs.update(picture("a", "b", "c"))
    viewer.take(diffs.diff().data)  # type: ignore[union-attr]
    diffs.update(picture("a", "B", "c"))
    diffs.diff()
    diffs.update(picture("a", "b", "C"))
    diffs.diff()
    diffs.update(picture("A", "b", "C"))
    viewer.take(diffs.diff().data)  # type: ignore[union-attr]
    assert (viewer.text(), viewer.asks) == ("A\nb\nC", False)


def test_who_missed_too_much_is_made_to_ask() -> None:
    diffs, viewer = PictureDiffs(), Viewer()
    diffs.update(picture("0", "x"))
    viewer.take(diffs.diff().data)  # type: ignore[union-attr]
    for number in range(1, 20):
        diffs.update(picture(str(number), "x"))
        event = diffs.diff()
    assert event is not None
    viewer.take(event.data)
    assert viewer.asks
    viewer.take(diffs.full().data)
    assert (viewer.text(), viewer.asks) == ("19\nx", False)


def test_a_reply_that_overtook_events_is_not_undone_by_them() -> None:
    diffs, viewer = PictureDiffs(), Viewer()
    diffs.update(picture("old"))
    old = diffs.diff()
    diffs.update(picture("new"))
    viewer.take(diffs.full().data)
    assert old is not None
    viewer.take(old.data)
    assert viewer.text() == "new"


def test_another_size_is_told_whole() -> None:
    diffs = PictureDiffs()
    diffs.update(picture("a"))
    diffs.diff()
    diffs.update(picture("a", "b"))
    event = diffs.diff()
    assert event is not None and event.data["full"] and event.data["rows"] == 2


# --- the thread ---


def test_a_late_joiner_sees_what_an_early_one_sees() -> None:
    writer = Writer()
    text = "".join(recording("2.1.330")[:60])
    with screen_of(writer.log, (40, 120)) as early, screen_of(writer.log, (40, 120)) as late:
        early.set_active(True)
        for at in range(0, len(text), 997):
            writer.write(text[at : at + 997])
            if at == 997 * 9:
                for screen in (early, late):
                    screen.resize(30, 100)
                early.picture()
        first, second = early.picture(), late.picture()
    assert first is not None and second is not None
    assert [first[key] for key in ("lines", "cursor", "title", "cols")] == [
        second[key] for key in ("lines", "cursor", "title", "cols")
    ]
    assert (first["rows"], first["cols"]) == (30, 100)


def test_the_picture_can_be_asked_for_while_nobody_follows() -> None:
    writer = Writer()
    with screen_of(writer.log) as screen:
        writer.write("one")
        asked = screen.picture()
        writer.write(" two")
        again = screen.picture()
    assert asked is not None and again is not None
    assert (asked["lines"][0], again["lines"][0]) == ([0, [["one", {}]]], [0, [["one two", {}]]])
    assert asked["full"] and len(asked["lines"]) == 24
    assert writer.log.newest(ev.CLAUDE_SCREEN) is None


def test_only_the_terminal_is_shown_not_stderr() -> None:
    log = Log("i")
    log.append(ev.claude_output("out", 0))
    log.append(ev.claude_output("err", 0, "stderr"))
    with screen_of(log) as screen:
        asked = screen.picture()
    assert asked is not None and asked["lines"][0] == [0, [["out", {}]]]


def test_who_follows_gets_the_whole_picture_then_what_changes() -> None:
    writer = Writer()
    writer.write("one")
    with screen_of(writer.log) as screen, Watching(writer.log) as watching:
        screen.set_active(True)
        wait_until(lambda: watching.newest() == "one")
        writer.write("\r\ntwo")
        wait_until(lambda: watching.newest() == "one\ntwo")
        assert [data["full"] for data in watching.events] == [True, False]
        assert [row for row, _ in watching.events[1]["lines"]] == [1]
        screen.set_active(False)
        screen.set_active(True)
        wait_until(lambda: len(watching.events) > 2)
        assert watching.events[2]["full"]


def test_a_resize_is_shown_at_once() -> None:
    writer = Writer()
    writer.write("one")
    with screen_of(writer.log) as screen, Watching(writer.log) as watching:
        screen.set_active(True)
        wait_until(lambda: watching.newest() == "one")
        screen.resize(30, 100)
        data = wait_until(lambda: [data for data in watching.events if data["cols"] == 100])[0]
        assert (data["rows"], data["full"]) == (30, True)


def test_a_resize_applies_where_it_came_in_the_output() -> None:
    writer = Writer()
    with screen_of(writer.log, (5, 20)) as screen:
        writer.write("a" * 30)  # wraps at 20
        screen.resize(5, 40)
        writer.write("\x1b[H\x1b[2J" + "b" * 30)
        screen.resize(5, 20)
        asked = screen.picture()
    assert asked is not None
    assert [text_of(line) for _, line in asked["lines"]][:2] == ["b" * 20, "b" * 10]


def test_ever_so_many_resizes_are_bounded_and_the_last_one_holds() -> None:
    writer = Writer()
    with screen_of(writer.log) as screen:
        for number in range(MAX_SIZES * 2):
            screen.resize(24, 80 + number % 100)
        screen.resize(33, 99)
        assert len(screen._sizes._sizes) <= MAX_SIZES
        known = list(screen._sizes._sizes)
        screen.resize(33, 99)
        assert screen._sizes._sizes == known
        asked = screen.picture()
    assert asked is not None and (asked["rows"], asked["cols"]) == (33, 99)


@pytest.mark.parametrize(("size", "expected"), [((0, 0), (24, 80)), ((1, 1), (5, 20)), ((65535, 65535), (500, 1000))])
def test_sizes_that_no_terminal_has_are_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    with screen_of(Log("i"), size) as screen:
        asked = screen.picture()
    assert asked is not None and (asked["rows"], asked["cols"]) == expected


def test_when_the_beginning_is_gone_it_starts_clean_with_the_oldest_kept() -> None:
    writer = Writer(Limits(output_bytes=1000))
    writer.write("\x1b[31m" + "gone" * 300)
    writer.write("8;5;9mcut\x1b[Hkept")  # what is kept begins within a sequence
    with screen_of(writer.log) as screen:
        asked = screen.picture()
    assert asked is not None
    assert [line for _, line in asked["lines"] if line] == [[["kept", {}]]]


def test_overtaken_by_the_log_it_starts_anew() -> None:
    writer = Writer(Limits(output_bytes=1000))
    with screen_of(writer.log) as screen:
        writer.write("\x1b[31mseen\x1b[3;1Hold")
        assert screen.picture() is not None
        writer.write("missed" * 200)
        writer.write("\x1b[Hnew")
        writer.write("er" + "\x1b[m" * 400)
        asked = screen.picture()
    assert asked is not None
    assert "old" not in viewer_of(asked).text()


def viewer_of(data: Data) -> Viewer:
    viewer = Viewer()
    viewer.take(data)
    return viewer


def test_nothing_is_computed_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    turn = Screen._turn

    def counted(self: Screen) -> None:
        nonlocal turns
        turns += 1
        turn(self)

    monkeypatch.setattr(Screen, "_turn", counted)
    writer = Writer()
    with screen_of(writer.log) as screen:
        assert screen.picture() is not None
        wait_until(lambda: not screen._follower.wants(ev.CLAUDE_OUTPUT))
        settled = turns
        for _ in range(200):
            writer.write("x")
        assert turns <= settled + 1  # the one that was under way
        assert viewer_of(screen.picture() or {}).text() == "x" * 80 + "\n" + "x" * 80 + "\n" + "x" * 40


def test_a_burst_makes_few_events_and_the_last_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_mpm.screen.screen.INTERVAL", 3600.0)
    writer = Writer()
    with screen_of(writer.log) as screen, Watching(writer.log) as watching:
        screen.set_active(True)
        wait_until(lambda: watching.events)
        for number in range(100):
            writer.write(f"\r{number}")
        asked = screen.picture()
        assert asked is not None and asked["lines"][0] == [0, [["99", {}]]]
        screen.picture()  # what followed the first answer is done
        newest = writer.log.newest(ev.CLAUDE_SCREEN)
        assert newest is not None and newest.message()["data"] == watching.events[0]


def test_what_the_program_holds_back_is_not_shown_until_it_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_mpm.screen.screen.HOLD_TIME", 3600.0)
    monkeypatch.setattr("claude_mpm.screen.screen.INTERVAL", 0.0)
    writer = Writer()
    writer.write("before")
    with screen_of(writer.log) as screen, Watching(writer.log) as watching:
        screen.set_active(True)
        wait_until(lambda: watching.newest() == "before")
        writer.write("\x1b[?2026h\x1b[2J\x1b[H")
        writer.write("half")
        screen.picture()
        screen.picture()  # what followed the first answer is done
        writer.write(" done\x1b[?2026l")
        wait_until(lambda: watching.newest() == "half done")
        assert len(watching.events) == 2


def test_what_is_held_back_for_ever_is_shown_all_the_same() -> None:
    writer = Writer()
    with screen_of(writer.log) as screen, Watching(writer.log) as watching:
        screen.set_active(True)
        writer.write("\x1b[?2026hx")
        wait_until(lambda: watching.newest() == "x")


@pytest.mark.parametrize("action", [lambda screen: None, lambda screen: screen.set_active(True)])
def test_it_stops_and_then_there_is_no_picture(action: Callable[[Screen], None]) -> None:
    screen = Screen(Log("i"), (24, 80))
    assert screen.picture() is None
    screen.stop()
    screen.join(TIMEOUT)
    screen = Screen(Log("i"), (24, 80))
    screen.start()
    action(screen)
    screen.stop()
    screen.stop()
    screen.join(TIMEOUT)
    assert screen.picture() is None
    screen.resize(10, 40)
    screen.set_active(False)


def errors(log: Log) -> list[str]:
    return [entry.message()["data"]["error"] for entry in log.history((ev.SYSTEM_ERROR,), 10)[0]]


def test_a_crash_of_the_emulator_is_one_error_and_no_picture_any_more() -> None:
    writer = Writer()
    with screen_of(writer.log) as screen:
        screen.set_active(True)
        assert screen.picture() is not None
        assert screen._emulator is not None
        screen._emulator._process.send_signal(signal.SIGSEGV)
        writer.write("x")
        wait_until(lambda: errors(writer.log))
        assert screen.picture() is None
        writer.write("y")
    assert errors(writer.log) == ["The screen is off: the emulator was killed by signal 11"]


def test_a_library_that_does_not_load_is_one_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGHOSTTY_LIB", "/nowhere/lib.so")
    log = Log("i")
    with screen_of(log) as screen:
        assert screen.picture() is None
    assert len(errors(log)) == 1
    assert "/nowhere/lib.so" in errors(log)[0]


def test_a_module_in_the_working_directory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    with screen_of(Log("i")) as screen:
        assert screen.picture() is not None


def test_stopping_does_not_wait_for_a_busy_emulator() -> None:
    writer = Writer()
    for _ in range(100):
        writer.write("x\x1b[65535b" * 7000)  # each repeats a character half a thousand million times
    screen = Screen(writer.log, (24, 80))
    screen.start()
    screen.set_active(True)
    wait_until(lambda: screen._emulator is not None)
    screen.stop()
    screen.join(TIMEOUT)
    assert not screen._thread.is_alive()
