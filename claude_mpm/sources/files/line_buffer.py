"""Lines on their way from the thread that has them to the one that reads them, bounded in bytes."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

OVERHEAD = 48  # bytes a line takes in memory besides its content


@dataclass(frozen=True)
class Batch:
    """The oldest lines of a buffer, and what was lost directly after them.

    Attributes:
        lines: without line endings.
        lost_lines: how many lines found no room after the last of `lines`; 0 unless `more` is False.
        lost_bytes: the size of their content.
        more: whether further lines wait.
    """

    lines: list[bytes]
    lost_lines: int
    lost_bytes: int
    more: bool


class LineBuffer:
    """A queue of lines. put() and take() never block; any threads.

    Args:
        max_bytes: what the waiting lines may take in memory. A line that finds no room is lost and counted: whoever
            puts lines here must not wait.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._lock = threading.Lock()  # guards everything below
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._lost_lines = 0
        self._lost_bytes = 0

    def put(self, line: bytes) -> bool:
        """Add a line. Returns False if it is lost; until that is told, all later lines are lost as well."""
        with self._lock:
            if self._lost_lines or self._size + _size(line) > self._max:
                self._lost_lines += 1
                self._lost_bytes += len(line)
                return False
            self._lines.append(line)
            self._size += _size(line)
            return True

    def take(self, max_bytes: int) -> Batch:
        """Remove up to `max_bytes` of lines, at least one if there is one, and the count of what was lost after them."""
        lines: list[bytes] = []
        size = 0
        with self._lock:
            while self._lines and (not lines or size + _size(self._lines[0]) <= max_bytes):
                line = self._lines.popleft()
                lines.append(line)
                size += _size(line)
            self._size -= size
            if self._lines:
                return Batch(lines, 0, 0, more=True)
            lost, self._lost_lines, self._lost_bytes = (self._lost_lines, self._lost_bytes), 0, 0
            return Batch(lines, *lost, more=False)


def _size(line: bytes) -> int:
    """Return the bytes a line takes in memory, here and in a list."""
    return len(line) + OVERHEAD
