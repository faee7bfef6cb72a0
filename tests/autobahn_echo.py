"""An echo server made of our connection, for the Autobahn test suite (it drives an echo, which we are not).

    PYTHONPATH=. python tests/autobahn_echo.py 9001        # prints "ready", runs until its input ends
    wstest -m fuzzingclient -s spec.json                   # autobahntestsuite 0.8.2, url ws://127.0.0.1:9001, cases 1-7, 9, 10

Only what a message means is replaced: frames, fragments, control frames and closing are the program's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from unittest import mock

from wsproto.frame_protocol import FrameProtocol

from claude_mpm.config import Config, Limits
from claude_mpm.feed.log import Log
from claude_mpm.server.bind import bind
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.listener import Server
from claude_mpm.server.websocket.frames import FrameReader, Received, text_frame

BINARY = b"\0binary\0"  # marks a message that is to go back as a binary one


class BinaryToo(FrameReader):
    """Also takes binary messages."""

    def _binary(self, part: bytes, finished: bool) -> Iterator[Received]:
        if not self._message:
            self._message += BINARY
        self._message += part
        if finished:
            payload = bytes(self._message)
            self._message.clear()
            yield Received("text", payload)


def echo_frame(payload: bytes) -> bytes:
    if not payload.startswith(BINARY):
        return text_frame(payload)
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(payload[len(BINARY) :]))


def main() -> None:
    log = Log("echo")
    backend = SessionView(log.snapshot, list, lambda: None, lambda selection: None)
    limits = Limits(message_bytes=1 << 30, commands_waiting=100_000)
    server = Server(bind("127.0.0.1", int(sys.argv[1])), log, Config(limits=limits), backend)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop()
    server.join(3.0)


if __name__ == "__main__":
    with (
        mock.patch("claude_mpm.server.websocket.receiver.FrameReader", BinaryToo),
        mock.patch("claude_mpm.server.websocket.sender.answer", lambda client, text: text),
        mock.patch("claude_mpm.server.websocket.sender.text_frame", echo_frame),
        mock.patch("claude_mpm.server.listener.Greeting.frame", lambda self, asker: b""),
    ):
        main()
