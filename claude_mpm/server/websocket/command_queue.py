"""The commands of one client that wait for their replies. Bounded, so that a flood is pushed back over TCP."""

from __future__ import annotations

import threading
from collections import deque


class CommandQueue:
    """A first-in, first-out queue between a client's receiver thread and its sender thread.

    The bound is not enforced by put(): the receiver looks at `full` after each command and stops reading. So the
    queue exceeds `max_bytes` by one command at most, and a single command of any size can always be queued.

    Args:
        max_commands: the number of commands at which the queue is full.
        max_bytes: the total size of their texts at which it is full.
    """

    def __init__(self, max_commands: int, max_bytes: int) -> None:
        self._max_commands = max_commands
        self._max_bytes = max_bytes
        self._texts: deque[bytes] = deque()
        self._size = 0  # bytes
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def full(self) -> bool:
        """Whether the receiver is to stop reading. False once the queue is closed."""
        return len(self._texts) >= self._max_commands or self._size >= self._max_bytes

    def put(self, text: bytes) -> None:
        """Append a command. A closed queue discards it. Does not block."""
        with self._changed:
            if not self._closed:
                self._texts.append(text)
                self._size += len(text)

    def get(self) -> bytes:
        """Remove and return the oldest command. Does not block.

        Raises:
            IndexError: the queue is empty.
        """
        with self._changed:
            text = self._texts.popleft()
            self._size -= len(text)
            if not self._texts or len(self._texts) == self._max_commands // 2:
                self._changed.notify()  # not after each one: the receiver then refills many at once
            return text

    def wait_for_room(self, timeout: float) -> None:
        """Block until the queue is no longer full, for at most `timeout` seconds."""
        with self._changed:
            if self.full:
                self._changed.wait(timeout)

    def close(self) -> None:
        """Discard what waits and whatever comes later: nobody is left to answer it. Any thread."""
        with self._changed:
            self._closed = True
            self._texts.clear()
            self._size = 0
            self._changed.notify()
