"""How fast connections are accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BURST = 64  # connections accepted without a pause
INTERVAL = 0.006  # seconds between two accepts after that; a connection costs about 1 ms of CPU time


class AcceptPace:
    """Spaces accepts, so that clients that connect in a loop take a sixth of a core at most.

    Those that wait are kept by the kernel in the listening socket's queue. Any thread may call next(); it never blocks.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the next
        # When the next accept would be due if all were INTERVAL apart; in the past after a lull. The time before the
        # start was one: with --open, a browser asks for the 77 files of the page at once.
        self._due = clock() - BURST * INTERVAL

    def next(self) -> float:
        """Plan one accept, and return the seconds to wait before it."""
        with self._lock:
            now = self._clock()
            self._due = max(self._due, now - BURST * INTERVAL) + INTERVAL
            return max(self._due - now, 0.0)
