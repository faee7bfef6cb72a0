"""The output decoder: the same text however the bytes were cut, and offsets that count bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mpm.feed.event import Event
from claude_mpm.monitor.output import OutputDecoder

JOIN_TIME = 0.015
BOXES = (
    "╭──────────╮\r\n│ ✳ Größe 😀 │\r\n╰──────────╯\x1b[0m\r\n" * 600
).encode()  # 50 KB, characters of 1 to 4 bytes


def decoder(join_bytes: int = 65536) -> OutputDecoder:
    return OutputDecoder("stdout", "pty", JOIN_TIME, join_bytes)


def fed(pieces: Sequence[bytes], seconds_apart: float = 0.0, join_bytes: int = 65536) -> list[Event]:
    """Events of a stream that comes in these pieces and is flushed when it is due, as the copy loop does."""
    one, now, events = decoder(join_bytes), 100.0, []
    for piece in pieces:
        now += seconds_apart
        if one.deadline is not None and now >= one.deadline:
            events += one.flush()
        events += one.feed(piece, now)
    return events + one.flush(final=True)


def content(events: Sequence[Event]) -> str:
    return "".join(event.data["content"] for event in events)


def assert_offsets_count_bytes(events: Sequence[Event], stream: bytes) -> None:
    """Each event's content is the stream's bytes from its offset to the next one's."""
    offsets = [event.data["offset"] for event in events]
    for event, start, end in zip(events, offsets, [*offsets[1:], len(stream)], strict=True):
        assert stream[start:end].decode("utf-8", "replace") == event.data["content"]


def single(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("seconds_apart", [0.0, 0.004, 1.0])
def test_forty_kilobytes_byte_by_byte_are_the_text_of_the_whole(seconds_apart: float) -> None:
    events = fed(single(BOXES), seconds_apart)
    assert content(events) == content(fed([BOXES])) == BOXES.decode()
    assert_offsets_count_bytes(events, BOXES)


@given(
    st.lists(
        st.one_of(st.binary(max_size=8), st.text(max_size=4).map(lambda t: t.encode("utf-8", "surrogatepass"))),
        max_size=30,
    ),
    st.sampled_from([0.0, 0.01, 1.0]),
    st.integers(1, 40),
)
def test_any_pieces_give_the_text_of_the_whole(pieces: list[bytes], seconds_apart: float, join_bytes: int) -> None:
    stream = b"".join(pieces)
    events = fed(pieces, seconds_apart, join_bytes)
    assert content(events) == stream.decode("utf-8", "replace")
    assert [e.data["offset"] for e in events] == sorted({e.data["offset"] for e in events})


@given(st.lists(st.text(min_size=1, max_size=5).filter(lambda t: t.isprintable()), min_size=1, max_size=20))
def test_offsets_count_bytes_also_where_characters_were_split(texts: list[str]) -> None:
    stream = "".join(texts).encode()
    for seconds_apart in (0.0, 1.0):
        assert_offsets_count_bytes(fed(single(stream), seconds_apart), stream)


def test_what_comes_within_the_join_time_is_one_event() -> None:
    one = decoder()
    assert one.feed(b"a", 10.0) == []
    assert one.deadline == 10.0 + JOIN_TIME
    assert one.feed(b"b", 10.010) == []
    assert one.deadline == 10.0 + JOIN_TIME
    (event,) = one.flush()
    assert event.data == {"content": "ab", "stream": "stdout", "offset": 0}
    assert one.deadline is None and one.flush() == []


def test_a_stream_that_never_pauses_is_told_at_the_join_time_all_the_same() -> None:
    one = decoder()
    one.feed(b"a", 10.0)
    assert content(one.feed(b"b", 10.0 + JOIN_TIME)) == "ab"


def test_sixty_four_kibibytes_do_not_wait_and_no_event_is_larger() -> None:
    one = decoder(1000)
    events = one.feed(b"x" * 2500, 10.0)
    assert [len(e.data["content"]) for e in events] == [1000, 1000]
    assert [e.data["offset"] for e in events] == [0, 1000]
    assert one.flush()[0].data == {"content": "x" * 500, "stream": "stdout", "offset": 2000}


def test_half_a_character_waits_without_a_deadline_and_is_replaced_at_the_end() -> None:
    one = decoder()
    assert one.feed("é".encode()[:1], 10.0) == []
    assert one.deadline is None
    assert one.flush() == []
    assert content(one.flush(final=True)) == "\ufffd"


def test_invalid_bytes_are_replaced_and_the_rest_is_kept() -> None:
    assert content(fed([b"a\xff\xfeb\xc3", b"(c"])) == "a\ufffd\ufffdb\ufffd(c"


def test_escapes_and_nul_pass_as_they_are() -> None:
    assert content(fed([b"\x1b[31mred\x00\x07"])) == "\x1b[31mred\x00\x07"


def test_stream_and_source_are_told() -> None:
    one = OutputDecoder("stderr", "process", JOIN_TIME, 100)
    one.feed(b"x", 1.0)
    (event,) = one.flush()
    assert (event.type, event.data["stream"], event.source) == ("claude.output", "stderr", "process")
