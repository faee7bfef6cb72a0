"""Lines out of bytes in pieces, out of growing files and between two threads; never more memory than stated."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from claude_mpm.sources.files.line_buffer import OVERHEAD, LineBuffer
from claude_mpm.sources.files.tail import CHUNK, Lines, Tail, first_line

TEXT = b'{"a":1}\r\n\n{"b":"\xc3\xbc"}\nlast'


def fed(data: bytes, size: int, max_line: int = 100) -> tuple[list[bytes], Lines]:
    lines = Lines(max_line)
    return [line for i in range(0, len(data), size) for line in lines.feed(data[i : i + size])], lines


def test_byte_by_byte_gives_what_the_whole_gives() -> None:
    for size in (1, 2, 3, 1000):
        found, lines = fed(TEXT, size)
        assert found == [b'{"a":1}', b'{"b":"\xc3\xbc"}']
        assert lines.rest() == b"last"
        assert lines.rest() == b""


def test_a_line_that_is_too_long_is_passed_over_and_counted() -> None:
    for size in (1, 7, 1000):
        found, lines = fed(b"short\n" + b"x" * 101 + b"\n" + b"y" * 100 + b"\nshort\n", size)
        assert found == [b"short", b"y" * 100, b"short"]
        assert lines.skipped == 1


def test_a_line_that_is_too_long_is_not_held() -> None:
    lines = Lines(10)
    for _ in range(1000):
        lines.feed(b"x" * 100)
    assert lines._parts == []


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
def test_any_bytes_in_any_pieces(parts: list[bytes], max_line: int) -> None:
    data = b"".join(parts)
    whole, at_once = fed(data, max(len(data), 1), max_line)
    lines = Lines(max_line)
    assert [line for part in parts for line in lines.feed(part)] == whole
    assert (lines.skipped, lines.rest()) == (at_once.skipped, at_once.rest())
    assert all(len(line) <= max_line and b"\n" not in line for line in whole)


# --- a growing file ---


def test_a_file_is_handed_on_in_pieces_and_a_reader_may_stop_between_them(tmp_path: Path) -> None:
    lines = [b"%06d" % number + b"x" * 1000 for number in range(1000)]
    path = tmp_path / "file"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    tail = Tail(path, 10_000)
    reading = tail.read()
    first = next(reading)
    assert sum(map(len, first)) <= CHUNK
    reading.close()
    pieces = list(tail.read())
    assert len(pieces) > 1
    assert [line for piece in [first, *pieces] for line in piece] == lines
    assert list(tail.read()) == []


def test_the_first_line_is_read_without_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first\nsecond\n")
    os.truncate(path, 1 << 40)  # a hole; nobody could read all of it
    assert first_line(path, 100) == b"first"
    assert first_line(path, 5) == b"first"
    assert first_line(path, 4) is None


def test_a_first_line_that_is_not_complete_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"fir")
    os.mkfifo(tmp_path / "fifo")
    assert first_line(tmp_path / "file", 100) is None
    assert first_line(tmp_path / "fifo", 100) is None


# --- between two threads ---


def test_a_line_buffer_gives_lines_in_order_and_counts_what_found_no_room() -> None:
    buffer = LineBuffer(3 * (2 + OVERHEAD))
    assert [buffer.put(b"%02d" % number) for number in range(5)] == [True] * 3 + [False] * 2
    batch = buffer.take(2 * (2 + OVERHEAD))
    assert (batch.lines, batch.lost_lines, batch.more) == ([b"00", b"01"], 0, True)
    assert not buffer.put(b"05"), "it would come before the loss is told"
    batch = buffer.take(2 * (2 + OVERHEAD))
    assert (batch.lines, batch.lost_lines, batch.lost_bytes, batch.more) == ([b"02"], 3, 6, False)
    assert buffer.put(b"06")
    batch = buffer.take(1)
    assert (batch.lines, batch.lost_lines, batch.more) == ([b"06"], 0, False)


def test_empty_lines_take_room_too() -> None:
    buffer = LineBuffer(1000)
    assert sum(buffer.put(b"") for _ in range(1000)) <= 1000 // OVERHEAD


@given(st.lists(st.binary(max_size=30)), st.integers(1, 100), st.integers(100, 2000))
def test_nothing_is_lost_in_a_line_buffer_without_being_counted(lines: list[bytes], step: int, room: int) -> None:
    buffer = LineBuffer(room)
    kept = [line for line in lines if buffer.put(line)]
    taken: list[bytes] = []
    more, lost = True, 0
    while more:
        batch = buffer.take(step)
        taken += batch.lines
        more, lost = batch.more, lost + batch.lost_lines
    assert taken == kept == lines[: len(kept)]
    assert lost == len(lines) - len(kept)
