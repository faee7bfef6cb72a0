"""What passes between the front and the monitor, as bytes. Pure.

Two local sockets join them. On the data socket the front sends records: what Claude wrote and the sizes of its
terminal, in order. On the control socket both send JSON objects, one per line:

    front to monitor   {"event": "started", "pid": 123, "time": 1.5}   seconds since the epoch
                       {"event": "failed", "reason": "..."}            Claude could not be started
                       {"event": "log", "text": "..."}                 a sentence for the log
                       {"event": "typed", "bytes": 4}                  Claude's terminal took that much input of clients
                       {"event": "keys", "time": 1.5}                  the user has typed, after "report_keys"
                       {"event": "exited", "code": 0, "signal": null, "time": 2.5, "stdout": 10, "stderr": 0}
    monitor to front   {"request": "input", "text": "..."}, {"request": "interrupt"}, {"request": "stop"},
                       {"request": "resize", "rows": 24, "cols": 80}, {"request": "report_keys"}
                       {"ready": true}                                 the monitor has loaded its parts
                       {"notice": "..."}                               a sentence for the user
                       {"released": true}                              the port is free again

`stdout` and `stderr` count the bytes of each stream the front has read, so the monitor knows when it has everything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal

from claude_mpm.system import json_text

Stream = Literal["stdout", "stderr"]

STDOUT, STDERR, SIZE, STDOUT_LOST, STDERR_LOST = 1, 2, 3, 4, 5  # kinds of records
HEADER = struct.Struct(">BI")  # kind, bytes of payload
WINSIZE = struct.Struct(">HH")  # rows, columns
COUNT = struct.Struct(">Q")  # bytes that were dropped because the monitor did not take them
MAX_LINE = 1024 * 1024  # bytes of one control message; a longer one is not from us

Record = tuple[int, bytes]  # kind, payload


class RecordReader:
    """Cuts the data socket's bytes into records, whatever pieces they come in. For one thread."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that are complete with `data`, in order."""
        self._unread += data
        at, end = 0, len(self._unread)
        while end - at >= HEADER.size:
            kind, size = HEADER.unpack_from(self._unread, at)
            start = at + HEADER.size
            if end - start < size:
                break
            at = start + size
            yield kind, bytes(self._unread[start:at])
        del self._unread[:at]


class LineReader:
    """Cuts the control socket's bytes into messages. For one thread."""

    def __init__(self) -> None:
        self._unread = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are complete with `data`, in order; what is no JSON object is left out."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        self._unread = self._unread[:MAX_LINE]
        messages = []
        for line in lines:
            try:
                message = json_text.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                messages.append(message)
        return messages


def line(message: dict[str, Any]) -> bytes:
    """A control message as it is sent."""
    return json_text.dumps(message) + b"\n"
