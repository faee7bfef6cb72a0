"""WebSocket frames: bytes in, messages out, by wsproto; and the frames we send. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005  # never on the wire: the peer gave none
TOO_BIG = 1009
INTERNAL_ERROR = 1011


@dataclass(frozen=True)
class Received:
    """A whole message, or a control frame."""

    kind: Literal["text", "ping", "pong"]
    payload: bytes


class Closing(Exception):
    """The connection is to be closed with `code`: the peer asked for it, or broke a rule."""

    def __init__(self, code: int, reason: str = "", *, by_peer: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.by_peer = by_peer


class FrameReader:
    """Turns what a client sends into messages."""

    def __init__(self, message_bytes: int) -> None:
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._limit = message_bytes
        self._message = bytearray()

    def feed(self, data: bytes) -> Iterator[Received]:
        """What became whole with `data`.

        Raises:
            Closing: nothing more is to be fed.
        """
        self._protocol.receive_bytes(data)
        try:
            for frame in self._protocol.received_frames():
                if frame.opcode is Opcode.TEXT:
                    yield from self._text(frame.payload, frame.message_finished)
                elif frame.opcode is Opcode.BINARY:
                    assert isinstance(frame.payload, bytes)
                    yield from self._binary(frame.payload, frame.message_finished)
                elif frame.opcode is Opcode.CLOSE:
                    assert isinstance(frame.payload, tuple)
                    raise Closing(int(frame.payload[0]), frame.payload[1], by_peer=True)
                else:
                    assert isinstance(frame.payload, bytes)
                    yield Received("ping" if frame.opcode is Opcode.PING else "pong", frame.payload)
        except ParseFailed as error:
            raise Closing(int(error.code), str(error)) from None

    def _text(self, part: object, finished: bool) -> Iterator[Received]:
        assert isinstance(part, str)
        self._message += part.encode()
        if len(self._message) > self._limit:
            raise Closing(TOO_BIG, f"a message may have {self._limit} bytes")
        if finished:
            payload = bytes(self._message)
            self._message.clear()
            yield Received("text", payload)

    def _binary(self, part: bytes, finished: bool) -> Iterator[Received]:
        raise Closing(UNSUPPORTED_DATA, "commands are text")


@lru_cache(maxsize=4096)  # a fan-out asks for the same few sizes once per client
def text_header(size: int) -> bytes:
    """What precedes `size` bytes of UTF-8 to make them an unmasked text frame (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes((0x81, size))
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size)
    return struct.pack("!BBQ", 0x81, 127, size)


def text_frames(payloads: Sequence[bytes]) -> bytes:
    """One text frame for each payload, joined. The inner loop of a fan-out: runs once for every batch of every client."""
    parts = [b""] * (2 * len(payloads))
    parts[::2] = map(text_header, map(len, payloads))
    parts[1::2] = payloads
    return b"".join(parts)


def text_frame(payload: bytes) -> bytes:
    """A server's text frame. The same bytes as wsproto's, which would need the payload as str."""
    return text_header(len(payload)) + payload


def ping_frame() -> bytes:
    return bytes(_encoder.ping())


def pong_frame(payload: bytes) -> bytes:
    return bytes(_encoder.pong(payload))


def close_frame(code: int, reason: str = "") -> bytes:
    """`reason` is cut to what fits. NO_STATUS makes a frame without a code."""
    return bytes(_encoder.close(None if code == NO_STATUS else code, None if code == NO_STATUS else reason))


_encoder = FrameProtocol(client=False, extensions=[])  # without extensions its control frames depend on nothing
