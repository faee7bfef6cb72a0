"""Asking threads that talk to Redis to end."""

from __future__ import annotations

import threading
import time

LAST_WORDS = 0.8  # seconds that are left for a request under way, and for what is still to be sent


class Stop:
    """Set once, by any thread; the threads that are to end look at it, or wait for it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._at = 0.0

    def set(self) -> None:
        if not self._event.is_set():
            self._at = time.monotonic()
            self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def is_overdue(self) -> bool:
        """Whether the time for last words is over."""
        return self._event.is_set() and time.monotonic() - self._at > LAST_WORDS

    def wait(self, seconds: float) -> bool:
        """Sleep, at most until it is set. Returns whether it is."""
        return self._event.wait(seconds)
