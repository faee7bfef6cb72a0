"""The file-reader's queue: names that changed, calls to make now, and calls to make later.

Everything in it is bounded, and one condition wakes the reader for any of it.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], None]
Names = dict[str, "set[str] | None"]  # changed names per directory; None: too many to name

MAX_WORK = 10_000  # posted calls, timed ones included
MAX_NAMES = 1_000  # names per directory


@dataclass(frozen=True)
class Taken:
    """What take() removed from the queue.

    Attributes:
        work: the calls to make, in the order they were posted; timed ones that are due come last.
        names: what changed, per directory.
        scan: request_scan() was called.
        refused: how many calls the full queue has refused since the previous take().
    """

    work: list[Work]
    names: Names
    scan: bool
    refused: int


class WorkQueue:
    """Filled by any thread, emptied by one. Nothing but take() blocks."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())  # guards everything below
        self._names: Names = {}
        self._work: deque[Work] = deque()
        self._once: set[Work] = set()  # those of `_work` that post_once() added
        self._timed: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._scan = False
        self._refused = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def note(self, directory: str, name: str) -> None:
        """Add the name of a changed file; a name that already waits is not added twice. Never raises."""
        with self._changed:
            names = self._names.setdefault(directory, set())
            if names is not None:
                names.add(name)
                if len(names) > MAX_NAMES:
                    self._names[directory] = None
            self._changed.notify()

    def post(self, work: Work, seconds: float = 0.0) -> bool:
        """Add a call, to be taken once `seconds` have passed. Returns False if the queue is full or closed."""
        with self._changed:
            if self._closed:
                return False
            if len(self._work) - len(self._once) + len(self._timed) >= MAX_WORK:
                self._refused += 1
                return False
            if seconds > 0:
                heapq.heappush(self._timed, (time.monotonic() + seconds, next(self._order), work))
            else:
                self._work.append(work)
            self._changed.notify()
        return True

    def post_once(self, work: Work) -> bool:
        """Add a call unless the same one, also posted here, still waits. Returns False if the queue is closed.

        It is never refused for want of room: there are only as many of these calls as there are functions that use
        this method. For work whose data waits elsewhere, in a buffer with a bound of its own.
        """
        with self._changed:
            if self._closed:
                return False
            if work not in self._once:
                self._once.add(work)
                self._work.append(work)
                self._changed.notify()
        return True

    def request_scan(self) -> None:
        """Wake the reader so that it looks at its directories again."""
        with self._changed:
            self._scan = True
            self._changed.notify()

    def close(self) -> None:
        """Accept nothing any more and end the reader; what still waits is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, until: float) -> Taken | None:
        """Block until something waits or time.monotonic() reaches `until`, then take everything. None: closed."""
        with self._changed:
            while not (self._closed or self._work or self._names or self._scan):
                due = min(until, self._timed[0][0]) if self._timed else until
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._closed:
                return None
            taken = Taken([*self._work, *self._due()], self._names, self._scan, self._refused)
            self._work.clear()
            self._once.clear()
            self._names, self._scan, self._refused = {}, False, 0
            return taken

    def _due(self) -> list[Work]:
        """Remove and return the timed calls whose time has come. Needs the lock."""
        now, due = time.monotonic(), []
        while self._timed and self._timed[0][0] <= now:
            due.append(heapq.heappop(self._timed)[2])
        return due
