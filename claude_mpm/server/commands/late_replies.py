"""Replies that come from other instances, after the commands behind them may have been answered already."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MAX_OPEN = 32  # commands of one client that are passed on and not answered; further commands of it wait meanwhile
MAX_BYTES = 8 * 1024 * 1024  # of replies that wait to be sent; exceeded by those that are open then


class LateReplies:
    """Between the threads that bring replies and the sender of the client they are for. Bounded by `full`.

    Args:
        wake: tells the sender that there is something to send. Any thread; does not block.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self._lock = threading.Lock()  # guards all below
        self._replies: deque[bytes] = deque()
        self._size = 0  # bytes of `_replies`
        self._open = 0
        self._closed = False

    def __bool__(self) -> bool:
        """Whether there is a reply to send."""
        return bool(self._replies)

    @property
    def full(self) -> bool:
        """Whether the client has to take replies before its next command is executed."""
        return self._open >= MAX_OPEN or self._size >= MAX_BYTES

    def expect(self) -> Callable[[bytes], None]:
        """Count one more open command. The returned function takes its reply: call it once, from any thread."""
        with self._lock:
            self._open += 1
        return self._put

    def cancel(self) -> None:
        """The command could not be passed on, so there will be no reply."""
        with self._lock:
            self._open -= 1

    def _put(self, reply: bytes) -> None:
        with self._lock:
            self._open -= 1
            if not self._closed:
                self._replies.append(reply)
                self._size += len(reply)
        self.wake()

    def get(self) -> bytes:
        """Remove and return the oldest reply.

        Raises:
            IndexError: there is none.
        """
        with self._lock:
            reply = self._replies.popleft()
            self._size -= len(reply)
            return reply

    def close(self) -> None:
        """Discard what waits and what comes later: the client has gone."""
        with self._lock:
            self._closed = True
            self._replies.clear()
            self._size = 0
