"""Keeps one client from occupying a processor core."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.25  # of one core; Claude and the other clients need the rest
ALLOWANCE = 0.1  # seconds of rest that may be owed; short bursts, such as a page that loads its history, never wait
MAX_DEBT = 1.0  # seconds of rest; no client waits longer than that for having been expensive


class FairShare:
    """Says how long a client's next command has to wait, given the CPU time its earlier ones have taken.

    Without a limit, a client that requests one large history after another keeps a core busy for as long as it likes.
    Belongs to one thread; nothing here blocks.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_at = clock()  # when the CPU time used so far will amount to no more than SHARE

    def charge(self, seconds: float) -> None:
        """Count `seconds` of CPU time that have just been used."""
        now = self._clock()
        self._paid_at = min(max(self._paid_at, now - seconds) + seconds / SHARE, now + MAX_DEBT)

    def rest(self) -> float:
        """Seconds to wait before the next command; 0 when it may be executed now."""
        return max(self._paid_at - ALLOWANCE - self._clock(), 0.0)
