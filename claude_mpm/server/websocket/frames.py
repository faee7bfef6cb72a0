"""WebSocket frames (RFC 6455): parses what clients send, with wsproto, and builds what the server sends. Does no I/O."""

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
NO_STATUS = 1005  # never sent: stands for a close frame without a code (RFC 6455 section 7.4.1)
TOO_BIG = 1009
INTERNAL_ERROR = 1011


@dataclass(frozen=True)
class Received:
    """A complete message, reassembled from its fragments, or a control frame."""

    kind: Literal["text", "ping", "pong"]
    payload: bytes


class Closing(Exception):
    """The connection is to be closed with `code`, because the peer sent a close frame or violated the protocol."""

    def __init__(self, code: int, reason: str = "", *, by_peer: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.by_peer = by_peer


class FrameReader:
    """Parses a client's frames. Belongs to one thread.

    Args:
        message_bytes: the size of the largest message that is accepted.
    """

    def __init__(self, message_bytes: int) -> None:
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._limit = message_bytes
        self._message = bytearray()

    def feed(self, data: bytes) -> Iterator[Received]:
        """Yield the messages and control frames that `data` completes.

        Raises:
            Closing: from the iterator. The connection is to be closed; feed nothing more.
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
            raise Closing(TOO_BIG, f"a message may have at most {self._limit} bytes")
        if finished:
            payload = bytes(self._message)
            self._message.clear()
            yield Received("text", payload)

    def _binary(self, part: bytes, finished: bool) -> Iterator[Received]:
        raise Closing(UNSUPPORTED_DATA, "commands are sent as text")


@lru_cache(maxsize=4096)  # a fan-out needs the same few sizes again and again
def text_header(size: int) -> bytes:
    """The header of an unmasked text frame with a payload of `size` bytes (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes((0x81, size))
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size)
    return struct.pack("!BBQ", 0x81, 127, size)


def text_frames(payloads: Sequence[bytes]) -> bytes:
    """Make each payload a text frame, and join them. This is the inner loop of a replay, so it avoids a loop in Python."""
    parts = [b""] * (2 * len(payloads))
    parts[::2] = map(text_header, map(len, payloads))
    parts[1::2] = payloads
    return b"".join(parts)


def text_frame(payload: bytes) -> bytes:
    """An unmasked text frame. The bytes are the same as wsproto's, which would take the payload only as str."""
    return text_header(len(payload)) + payload


def ping_frame() -> bytes:
    """A ping without a payload."""
    return bytes(_encoder.ping())


def pong_frame(payload: bytes) -> bytes:
    """The answer to the ping with this payload, which is 125 bytes at most."""
    return bytes(_encoder.pong(payload))


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame. `reason` is cut to the 123 bytes that fit; NO_STATUS makes an empty frame."""
    return bytes(_encoder.close(None if code == NO_STATUS else code, None if code == NO_STATUS else reason))


_encoder = FrameProtocol(
    client=False, extensions=[]
)  # stateless as long as it has no extensions, so all threads share it
