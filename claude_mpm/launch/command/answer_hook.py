"""The PermissionRequest hook that waits for a client's answer: a program of its own, run by Claude.

    python -I -S answer_hook.py SPOOL < payload

It hands Claude's payload, preceded by its length, to the monitor over the local socket in the spool and waits. The
monitor first says how many seconds to wait, then sends the line to print: that line is the answer, and Claude acts on
it when this process ends. Once it is printed the monitor is told so.
Whatever else happens (no monitor, no answer in time, half an answer), it prints nothing and exits with 0: Claude then
goes on as if there were no such hook.

Python rather than sh, because the hook needs a deadline of its own and has to notice that Claude has died: Claude Code
2.1.331 leaves its hooks running after SIGKILL. It uses the standard library only, without `site`, to start quickly.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

SOCKET = "answers"  # in the spool; relative, because a socket's whole path has 107 bytes at most
GREETING_TIME = 2.0  # seconds until the monitor says how long to wait; a stopped one must not hold up a dialog
MAX_PAYLOAD = 1024 * 1024  # bytes; of a larger one the monitor is told the length only
MAX_ANSWER = 4 * 1024 * 1024  # bytes of a whole answer; it repeats the tool's input
TAKEN = b"taken\n"  # what the monitor is told once Claude has the answer


def main(spool: str) -> None:
    """Ask, wait, and print the answer if one comes. Blocks until then."""
    payload = sys.stdin.buffer.read()  # all of it: otherwise Claude would see a broken pipe
    os.chdir(spool)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
        monitor.settimeout(GREETING_TIME)
        monitor.connect(SOCKET)
        monitor.sendall(b"%d\n" % len(payload))
        if len(payload) > MAX_PAYLOAD:
            return
        monitor.sendall(payload)
        reader = _Lines(monitor)
        seconds = reader.line(time.monotonic() + GREETING_TIME)
        answer = reader.line(time.monotonic() + float(seconds)) if seconds else b""
        if answer:
            _print(answer)
            monitor.sendall(TAKEN)


class _Lines:
    """Lines from the monitor, for as long as both the monitor and Claude live."""

    def __init__(self, monitor: socket.socket) -> None:
        self._monitor = monitor
        self._unread = b""

    def line(self, deadline: float) -> bytes:
        """The next whole line, without its end; empty if the monitor or Claude is gone, or time has run out."""
        poll = select.poll()
        poll.register(self._monitor, select.POLLIN)
        poll.register(1, 0)  # POLLERR or POLLHUP: nobody reads our output any more
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            ready = dict(poll.poll(left * 1000)) if left > 0 else {}
            if 1 in ready or not ready:
                return b""
            data = self._monitor.recv(65536)
            if not data or len(self._unread) > MAX_ANSWER:
                return b""
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def _print(answer: bytes) -> None:
    view = memoryview(answer + b"\n")
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (OSError, ValueError):  # no monitor, or what is there is none
        pass
