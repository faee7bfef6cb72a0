"""Claude's output on its way to the monitor: handed on at once, kept while the monitor is busy, never waited for."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable

from claude_mpm.system.channel_format import COUNT, HEADER, SIZE, STDERR, STDERR_LOST, STDOUT, STDOUT_LOST, WINSIZE

MAX_WAITING = 16 * 1024 * 1024  # bytes; as much as the monitor's log would keep of it
_LOST = {STDOUT: STDOUT_LOST, STDERR: STDERR_LOST}


class OutputQueue:
    """The front's end of the data socket. Any thread may call anything; nothing blocks.

    What the monitor does not take is kept, up to MAX_WAITING bytes. Then the oldest goes, and in its place the monitor
    is told how many bytes are missing.

    Args:
        sock: connected to the monitor; None where nobody watches.
        wake: called when something begins to wait, so that whoever sleeps sends it once `sock` is writable.
    """

    def __init__(self, sock: socket.socket | None, wake: Callable[[], None]) -> None:
        self._sock = sock
        self._wake = wake
        self._lock = threading.Lock()  # guards everything below
        self._gone = False  # the monitor takes nothing any more
        self._counts = {STDOUT: 0, STDERR: 0}
        self._unsent = b""  # the rest of a record the monitor has the beginning of
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._lost: dict[int, int] = {}  # bytes that came before what waits, per kind of record
        self._lost_size: bytes | None = None  # the terminal's size at that place, if it had changed
        if sock is not None:
            sock.setblocking(False)

    def counts(self) -> tuple[int, int]:
        """How many bytes of stdout and of stderr were put here so far."""
        with self._lock:
            return self._counts[STDOUT], self._counts[STDERR]

    def put(self, kind: int, data: bytes) -> None:
        """Hand `data` of a stream (STDOUT or STDERR) to the monitor."""
        with self._lock:
            self._counts[kind] += len(data)
            self._add(kind, data)

    def put_size(self, rows: int, cols: int) -> None:
        """Claude's terminal has this size from here on."""
        with self._lock:
            self._add(SIZE, WINSIZE.pack(rows, cols))

    def fileno(self) -> int | None:
        """The descriptor to wait for until send() is worthwhile; None: nothing waits."""
        with self._lock:
            return self._sock.fileno() if self._sock is not None and self._is_behind() else None

    def send(self) -> bool:
        """Send what waits, as far as the monitor takes it. Returns whether nothing waits any more."""
        with self._lock:
            self._send()
            return not self._is_behind()

    def close(self) -> None:
        """End the stream. What still waits is gone, which the monitor sees by the counts it was told.

        Only where no other thread waits for fileno().
        """
        with self._lock:
            self._give_up()
            if self._sock is not None:
                self._sock.close()
                self._sock = None

    def _is_behind(self) -> bool:
        return bool(self._unsent or self._waiting)

    def _add(self, kind: int, data: bytes) -> None:
        assert self._lock.locked()
        if self._sock is None or self._gone:
            return
        was_behind = self._is_behind()
        self._waiting.append((kind, data))
        self._waiting_bytes += len(data) + HEADER.size
        if not was_behind:
            self._send()
            if self._is_behind():
                self._wake()
        while self._waiting_bytes > MAX_WAITING and self._waiting:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        kind, data = self._waiting.popleft()
        self._waiting_bytes -= len(data) + HEADER.size
        if kind == SIZE:
            self._lost_size = data
        else:
            self._lost[kind] = self._lost.get(kind, 0) + len(data)

    def _send(self) -> None:
        assert self._lock.locked()
        while self._sock is not None and not self._gone:
            if not self._unsent and not self._next_record():
                return
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:  # the monitor is gone
                self._give_up()
                return
            self._unsent = self._unsent[sent:]

    def _next_record(self) -> bool:
        """Make the next record the one that is sent. False: there is none."""
        if self._lost:
            kind, count = self._lost.popitem()
            self._unsent = _record(_LOST[kind], COUNT.pack(count))
        elif self._lost_size is not None:
            self._unsent, self._lost_size = _record(SIZE, self._lost_size), None
        elif self._waiting:
            kind, data = self._waiting.popleft()
            self._waiting_bytes -= len(data) + HEADER.size
            self._unsent = _record(kind, data)
        else:
            return False
        return True

    def _give_up(self) -> None:
        self._unsent = b""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._gone = True


def _record(kind: int, payload: bytes) -> bytes:
    return HEADER.pack(kind, len(payload)) + payload
