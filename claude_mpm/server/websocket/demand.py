"""Which of the events that cost something to make are wanted, and from where."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from claude_mpm.feed.selection import NOTHING, Selection


class Demand:
    """Tells the session which events made on demand have a subscriber, whenever that changes.

    Args:
        types: those that are made on demand.
        subscribed: returns what each client subscribes to. Called with a lock held, so it must take none.
        tell: SessionView.demand.
    """

    def __init__(
        self,
        types: frozenset[str],
        subscribed: Callable[[], Iterable[Selection]],
        tell: Callable[[Selection], None],
    ) -> None:
        self._types = types
        self._subscribed = subscribed
        self._tell = tell
        self._lock = threading.Lock()  # guards the next two
        self._told = NOTHING
        self._telling = False

    def update(self) -> None:
        """Tell the session if anything has changed. Any thread.

        One thread tells at a time, without the lock; before it returns it looks again, so the last word is the newest.
        """
        while True:
            with self._lock:
                demand = NOTHING
                for selection in self._subscribed():
                    demand |= selection.only(self._types)
                if self._telling or demand == self._told:
                    return
                self._told, self._telling = demand, True
            try:
                self._tell(demand)
            finally:
                with self._lock:
                    self._telling = False
