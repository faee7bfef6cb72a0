"""The monitor's end of one hook that waits for an answer (launch/command/answer_hook.py), and the socket they come to."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from claude_mpm.feed.event import Decision
from claude_mpm.launch.command.answer_hook import MAX_PAYLOAD, SOCKET, TAKEN
from claude_mpm.monitor.answers.question import Question

MAX_HOOKS = 32  # connections; Claude asks about one call at a time, and once per background agent
MAX_SOCKET_PATH = 100  # bytes; sun_path has 108 on Linux and 104 on macOS
READ_SIZE = 65536
HEADER_BYTES = 10  # digits of a payload's length, and more than that


class PayloadTooLarge(Exception):
    """The hook has more than MAX_PAYLOAD bytes to tell."""


class WaitingHook:
    """One connection. All of it belongs to the desk's thread, except what the desk's lock guards.

    Attributes:
        deadline: when it is let go, by time.monotonic().
        size: bytes of its payload; 0 until that has been read.
        request_id, question: None until then, too.
        decision, client: the answer it was given. Guarded by the desk's lock.
        outgoing: bytes it has not taken yet. Guarded by the desk's lock.
        has_taken: it has printed the answer.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming = b""
        self.deadline = deadline
        self.size = 0
        self.request_id: str | None = None
        self.question: Question | None = None
        self.decision: Decision | None = None
        self.client: str | None = None
        self.outgoing = b""
        self.has_taken = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        """Without a whole answer the hook then ends in silence."""
        self._sock.close()

    def send(self, lock: threading.Lock) -> None:
        """Send what it takes now. Raises OSError."""
        try:
            sent = self._sock.send(self.outgoing)
        except BlockingIOError:
            return
        with lock:
            self.outgoing = self.outgoing[sent:]

    def receive(self) -> bytes | None:
        """Read what has come. Returns the payload when it is complete, which happens once.

        Raises:
            PayloadTooLarge: it announces more than MAX_PAYLOAD bytes.
            ValueError: it does not speak as our hook does.
            OSError: it is gone.
        """
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError
        self._incoming += data
        if self.size:
            self.has_taken = self._incoming == TAKEN
            if not TAKEN.startswith(self._incoming):
                raise ValueError
            return None
        header, separator, payload = self._incoming.partition(b"\n")
        if len(header) > HEADER_BYTES or not (header.isdigit() or not header):
            raise ValueError
        if separator and int(header) > MAX_PAYLOAD:
            raise PayloadTooLarge
        if not separator or len(payload) < int(header):
            return None
        self.size, self._incoming = int(header), b""
        return payload[: self.size]


def listen(spool: Path) -> socket.socket:
    """A listening socket in the spool, which only its owner may enter. Raises OSError."""
    path = str(spool / SOCKET)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            sock.bind(path)
        else:  # the same directory under a name that is short enough (Linux)
            directory = os.open(spool, os.O_RDONLY | os.O_DIRECTORY)
            try:
                sock.bind(f"/proc/self/fd/{directory}/{SOCKET}")
            finally:
                os.close(directory)
        sock.listen(MAX_HOOKS)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
