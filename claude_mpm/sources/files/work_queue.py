"""What waits for the file-reader: names that changed, calls, calls at a time. Bounded, and one wake for all."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], None]
Names = dict[str, "set[str] | None"]  # per directory; None: too many to name

MAX_WORK = 10_000  # calls, timed ones included
MAX_NAMES = 1_000  # names for one directory


@dataclass(frozen=True)
class Taken:
    work: list[Work]
    names: Names
    hint: bool  # hint() was called


class Inbox:
    """Filled by any thread, emptied by one."""

    def __init__(self) -> None:
        self._wake = threading.Condition(threading.Lock())  # guards all below
        self._names: Names = {}
        self._work: deque[Work] = deque()
        self._timed: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._hint = False
        self._closed = False

    def note(self, directory: str, name: str) -> None:
        """Add a name; one that waits already is added once. Never raises."""
        with self._wake:
            names = self._names.setdefault(directory, set())
            if names is not None:
                names.add(name)
                if len(names) > MAX_NAMES:
                    self._names[directory] = None
            self._wake.notify()

    def post(self, work: Work, seconds: float = 0.0) -> bool:
        """Add a call, to be taken when `seconds` have passed. False: full or closed."""
        with self._wake:
            if self._closed or len(self._work) + len(self._timed) >= MAX_WORK:
                return False
            if seconds > 0:
                heapq.heappush(self._timed, (time.monotonic() + seconds, next(self._order), work))
            else:
                self._work.append(work)
            self._wake.notify()
        return True

    def hint(self) -> None:
        """Wake the taker with nothing but the fact."""
        with self._wake:
            self._hint = True
            self._wake.notify()

    def close(self) -> None:
        """Nothing is added or taken any more."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def take(self, until: float) -> Taken | None:
        """Block until there is something, or time.monotonic() is `until`; then take all of it. None: closed."""
        with self._wake:
            while not (self._closed or self._work or self._names or self._hint):
                due = min(until, self._timed[0][0]) if self._timed else until
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
            if self._closed:
                return None
            work, names, hint = list(self._work), self._names, self._hint
            self._work.clear()
            self._names, self._hint = {}, False
            now = time.monotonic()
            while self._timed and self._timed[0][0] <= now:
                work.append(heapq.heappop(self._timed)[2])
            return Taken(work, names, hint)
