"""What the clients make worth doing: events that cost something to make, and waiting for answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from claude_mpm.feed.selection import NOTHING, Selection


class Demand:
    """Tells the session which events made on demand have a subscriber, and whether anybody may act, when that changes.

    Args:
        types: those that are made on demand.
        subscribed: returns what each client subscribes to. Called with a lock held, so it must take none.
        attended: returns whether a client is connected that may act on Claude. The same holds.
        tell: gets both.
    """

    def __init__(
        self,
        types: frozenset[str],
        subscribed: Callable[[], Iterable[Selection]],
        attended: Callable[[], bool],
        tell: Callable[[Selection, bool], None],
    ) -> None:
        self._types = types
        self._subscribed = subscribed
        self._attended = attended
        self._tell = tell
        self._lock = threading.Lock()  # guards the next two
        self._told = (NOTHING, False)
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
                told = (demand, self._attended())
                if self._telling or told == self._told:
                    return
                self._told, self._telling = told, True
            try:
                self._tell(*told)
            finally:
                with self._lock:
                    self._telling = False
