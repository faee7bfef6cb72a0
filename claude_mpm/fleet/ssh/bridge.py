"""The far end of a hub's ssh connection: this machine's instances as JSON lines on stdin and stdout.

The bridge says `bridge.hello` {`version`, `protocol`, `machine`} first, and then every frame that its LocalSource
delivers. It is told, one command a line:

    {"command": "follow", "since": {instance_id: seq}, "wanted": …, "attended": …}    first, and once
    {"command": "want", "wanted": {instance_id: [type]}, "attended": bool}            as Source.want()
    {"command": …, "instance_id": …, "request_id": …, "trusted": bool}                as Source.send()

`since` has the newest event that arrived of each instance before the connection was lost. Tokens stay here.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from claude_mpm import __version__
from claude_mpm.errors import ServerUnavailable, UsageError
from claude_mpm.fleet.frames import error_reply
from claude_mpm.fleet.local import LocalSource
from claude_mpm.fleet.source import Frame
from claude_mpm.fleet.ssh.lines import LineSplitter, TooLong, decode, encode

PROTOCOL = 1  # raised when a hub of before could not understand the bridge any more
HELLO = "bridge.hello"
COMMAND_BYTES = 1024 * 1024  # of one line; `follow` and `want` name every instance
READ_BYTES = 64 * 1024
LOOK_INTERVAL = 1000  # milliseconds after which whoever waits for a descriptor sees that the other one failed
END_TIME = 10.0  # seconds; an instance that does not answer is given up by then

log = logging.getLogger(__name__)


class Bridge:
    """Joins a LocalSource to two descriptors.

    Frames are written by the threads of the source, which wait while the other end takes nothing. Then each instance's
    connection is pushed back, and the instance tells what is lost; at most a follower's queue is held here for each.

    Args:
        stdin, stdout: descriptors, which stay open.
        state_dir: where the registry is; None for the user's own.
    """

    def __init__(self, stdin: int, stdout: int, state_dir: Path | None = None) -> None:
        self._stdin, self._stdout, self._state_dir = stdin, stdout, state_dir
        self._source: LocalSource | None = None
        self._write_lock = threading.Lock()  # held for one line, however long the other end takes to read it
        self._has_ended = False

    def run(self) -> None:
        """Serve until stdin ends or stdout is closed. Main thread; blocks.

        Raises:
            UsageError: what comes on stdin is not a hub's.
        """
        data = {"version": __version__, "protocol": PROTOCOL, "machine": socket.gethostname()}
        self._write({"type": HELLO, "data": data})
        try:
            self._read()
        except TooLong as error:
            raise UsageError(f"stdin is not a hub's: {error}") from None
        finally:
            self._has_ended = True
            if self._source is not None:
                self._source.stop()
                self._source.join(END_TIME)

    # --- the main thread ---

    def _read(self) -> None:
        """Carry commands out as they come."""
        poll, lines = select.poll(), LineSplitter(COMMAND_BYTES)
        poll.register(self._stdin, select.POLLIN)
        poll.register(self._stdout, 0)  # which tells when the reader has gone
        while not self._has_ended:
            ready = dict(poll.poll(LOOK_INTERVAL))
            if self._stdout in ready:
                return
            if self._stdin in ready:
                if not (data := os.read(self._stdin, READ_BYTES)):
                    return
                for line in lines.feed(data):
                    self._execute(line)

    def _execute(self, line: bytes) -> None:
        """Carry one command out. One that a later hub may know is passed over."""
        message = decode(line)
        if message is None:
            raise UsageError("stdin is not a hub's: a line is not a JSON object")
        if self._source is None:
            self._source = self._follow(message)
        elif "instance_id" in message:  # a client's, whatever its command is called
            self._send(self._source, message)
        elif message.get("command") == "want":
            self._source.want(_wanted(message), message.get("attended") is True)

    def _follow(self, message: Mapping[str, Any]) -> LocalSource:
        if message.get("command") != "follow":
            raise UsageError("stdin is not a hub's: the first command must be follow")
        since = message.get("since")
        seqs = {name: seq for name, seq in since.items() if isinstance(seq, int)} if isinstance(since, dict) else {}
        source = LocalSource(self._state_dir, seqs)
        source.want(_wanted(message), message.get("attended") is True)
        source.start(self._write)
        return source

    def _send(self, source: LocalSource, message: dict[str, Any]) -> None:
        trusted = message.pop("trusted", False) is True
        try:
            source.send(message, trusted)
        except ServerUnavailable as error:
            self._write(error_reply(message, "unavailable", str(error)))

    # --- any thread ---

    def _write(self, message: Frame) -> None:
        """Write one line. Blocks while the other end takes nothing; does nothing once it has gone."""
        data = memoryview(encode(message))
        with self._write_lock:
            poll = select.poll()
            poll.register(self._stdout, select.POLLOUT)
            while data and not self._has_ended:
                if not poll.poll(LOOK_INTERVAL):
                    continue
                try:
                    data = data[os.write(self._stdout, data[: select.PIPE_BUF]) :]  # that much never blocks
                except OSError as error:
                    log.info("stdout: %s", error)
                    self._has_ended = True


def _wanted(message: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    wanted = message.get("wanted")
    if not isinstance(wanted, dict):
        return {}
    return {
        name: frozenset(kind for kind in kinds if isinstance(kind, str))
        for name, kinds in wanted.items()
        if isinstance(kinds, list)
    }
