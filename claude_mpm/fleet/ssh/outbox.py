"""Lines for a child's stdin: put by any thread, written by the one that also reads from the child."""

from __future__ import annotations

import os
import threading
from collections import deque

OUTBOX_BYTES = 1024 * 1024  # a command has at most 64 KiB; more than this waits only when a connection stalls


class Outbox:
    """A bounded queue with a descriptor that becomes readable when there is something to do.

    Args:
        max_bytes: of all lines that wait; one more is refused.
    """

    def __init__(self, max_bytes: int = OUTBOX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lines: deque[bytes] = deque()
        self._size = 0  # bytes
        self._lock = threading.Lock()
        self.wake_fd, self._wake_write = os.pipe()
        self._is_closed = False
        for fd in (self.wake_fd, self._wake_write):
            os.set_blocking(fd, False)

    @property
    def is_empty(self) -> bool:
        return not self._lines

    def put(self, line: bytes) -> bool:
        """Append a line. Returns False when there is no room. Does not block."""
        with self._lock:
            if self._size + len(line) > self._max_bytes:
                return False
            self._lines.append(line)
            self._size += len(line)
        self.wake()
        return True

    def wake(self) -> None:
        """Make `wake_fd` readable. Does not block."""
        with self._lock:  # so that close() does not come between
            if not self._is_closed:
                try:
                    os.write(self._wake_write, b"x")
                except BlockingIOError:
                    pass  # it is readable already

    # --- the one thread that writes ---

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._lines.clear()
            self._size = 0

    def awake(self) -> None:
        """Make `wake_fd` unreadable again, before looking at what there is to do."""
        try:
            while os.read(self.wake_fd, 4096):
                pass
        except BlockingIOError:
            pass

    def write_to(self, fd: int) -> None:
        """Write as much as `fd`, which does not block, takes. OSError."""
        while self._lines:
            line = self._lines[0]
            try:
                sent = os.write(fd, line)
            except BlockingIOError:
                return
            with self._lock:
                self._size -= sent
                if sent == len(line):
                    self._lines.popleft()
                else:
                    self._lines[0] = line[sent:]

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            os.close(self.wake_fd)
            os.close(self._wake_write)
