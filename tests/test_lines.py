"""Lines: whole lines out of bytes in pieces, and never more memory than one line may take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_mpm.sources.files.tail import Lines

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
