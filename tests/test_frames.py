from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED
from wsproto.connection import SERVER, Connection
from wsproto.events import TextMessage
from wsproto.frame_protocol import FrameProtocol, Opcode

from claude_mpm.server.websocket.frames import (
    NO_STATUS,
    Closing,
    FrameReader,
    Received,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
    text_frames,
)

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"abcd") -> bytes:
    """What a client may put on the wire, right or wrong."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head = bytes([first, bit | len(payload)])
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, bit | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(payload))
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read(data: bytes, limit: int = 1000, step: int | None = None) -> list[Received | int]:
    """What is received; at last the close code, if it comes to that."""
    reader = FrameReader(limit)
    got: list[Received | int] = []
    step = step or max(len(data), 1)
    try:
        for start in range(0, len(data), step):
            for received in reader.feed(data[start : start + step]):
                got.append(received)
    except Closing as closing:
        got.append(closing.code)
    return got


def both(data: bytes, limit: int = 1000) -> list[Received | int]:
    """Whole and byte by byte: what came in the same chunk before an error counts too."""
    whole = read(data, limit)
    assert read(data, limit, 1) == whole
    return whole


def text(payload: str) -> Received:
    return Received("text", payload.encode())


@settings(UNHURRIED)
@given(st.text(max_size=300))
def test_a_text_frame_is_byte_for_byte_wsprotos(payload: str) -> None:
    data = payload.encode("utf-8", "replace")
    assert text_frame(data) == Connection(SERVER).send(TextMessage(data=data.decode()))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_text_frame_is_wsprotos_at_every_length_of_length(size: int) -> None:
    assert text_frame(b"x" * size) == Connection(SERVER).send(TextMessage(data="x" * size))


def test_control_frames_are_what_a_client_reads() -> None:
    reader = FrameProtocol(client=True, extensions=[])
    reader.receive_bytes(ping_frame() + pong_frame(b"abc") + close_frame(1001, "é" * 200))
    ping, pong, close = reader.received_frames()
    assert (ping.opcode, pong.opcode, pong.payload) == (Opcode.PING, Opcode.PONG, b"abc")
    assert close.payload == (1001, "é" * 61)
    assert close_frame(NO_STATUS) == b"\x88\x00"


def test_messages_come_whole_however_they_are_cut() -> None:
    assert both(frame(TEXT, b"one") + frame(TEXT, "zwö".encode())) == [text("one"), text("zwö")]
    assert both(frame(TEXT)) == [text("")]


def test_fragments_are_joined_and_control_frames_may_come_between() -> None:
    data = frame(TEXT, "ö".encode()[:1], fin=False) + frame(PING, b"p") + frame(CONTINUATION, "ö".encode()[1:] + b"x")
    assert both(data) == [Received("ping", b"p"), text("öx")]


def test_pings_and_pongs_carry_their_payload() -> None:
    assert both(frame(PING) + frame(PONG, b"x" * 125)) == [Received("ping", b""), Received("pong", b"x" * 125)]


@pytest.mark.parametrize("payload", [b"", struct.pack("!H", 1000), struct.pack("!H", 4999) + "tschüß".encode()])
def test_a_close_frame_ends_it_with_its_code(payload: bytes) -> None:
    code = struct.unpack("!H", payload[:2])[0] if payload else NO_STATUS
    with pytest.raises(Closing) as closing:
        list(FrameReader(10).feed(frame(CLOSE, payload)))
    assert closing.value.by_peer and closing.value.code == code


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x", mask=None), frame(TEXT, b"x", rsv=4), frame(TEXT, b"x", rsv=1), frame(3), frame(11), frame(PING, fin=False),
        frame(PING, b"x" * 126), frame(CONTINUATION, b"x"), frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), frame(CLOSE, b"x"),
        frame(CLOSE, struct.pack("!H", 999)), frame(CLOSE, struct.pack("!H", 1005)), frame(CLOSE, struct.pack("!H", 1016)),
        frame(CLOSE, struct.pack("!H", 5000)), b"\x81\xff" + struct.pack("!Q", 1 << 63), b"GET / HTTP/1.1\r\n",
    ],
)  # fmt: skip
def test_a_broken_rule_is_1002(data: bytes) -> None:
    assert both(data) == [1002]


@pytest.mark.parametrize(
    "data",
    [frame(TEXT, b"\xff"), frame(TEXT, b"\xc3"), frame(TEXT, b"\xed\xa0\x80"), frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"\x80"),
     frame(CLOSE, struct.pack("!H", 1000) + b"\xff")],
)  # fmt: skip
def test_bad_utf8_is_1007(data: bytes) -> None:
    assert both(data) == [1007]


def test_a_binary_message_is_1003() -> None:
    assert both(frame(BINARY, b"x")) == [1003]
    assert both(frame(TEXT, b"a") + frame(BINARY, b"x", fin=False)) == [text("a"), 1003]


def test_a_message_over_the_limit_is_1009_however_it_comes() -> None:
    assert both(frame(TEXT, b"x" * 300), limit=300) == [text("x" * 300)]
    assert both(frame(TEXT, b"x" * 301), limit=300) == [1009]
    assert both(frame(TEXT, "é".encode() * 151), limit=300) == [1009]
    parts = frame(TEXT, b"x" * 100, fin=False) + frame(CONTINUATION, b"x" * 100, fin=False) * 3
    assert both(parts, limit=300) == [1009]


def test_a_message_that_only_says_it_is_huge_needs_no_memory() -> None:
    assert read(b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"abcd" + b"x" * 5000, limit=1000) == [1009]


@settings(UNHURRIED)
@given(st.binary(max_size=300))
def test_garbage_ends_with_a_close_code_or_waits_for_more(data: bytes) -> None:
    for item in read(data):
        assert isinstance(item, Received) or item in range(1000, 5000)


def test_frames_made_together_are_the_frames_made_singly() -> None:
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65535, b"e" * 65536]
    assert text_frames(payloads) == b"".join(map(text_frame, payloads))
    assert text_frames([]) == b""
