"""Which of the events that cost something to make are wanted by anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from claude_mpm.server.commands.session_view import ON_DEMAND


class Demand:
    """Tells the session which of ON_DEMAND have a subscriber, whenever that changes.

    Args:
        subscribed: returns the types that each client subscribes to. Called with a lock held, so it must take none.
        tell: SessionView.demand.
    """

    def __init__(
        self, subscribed: Callable[[], Iterable[frozenset[str]]], tell: Callable[[frozenset[str]], None]
    ) -> None:
        self._subscribed = subscribed
        self._tell = tell
        self._lock = threading.Lock()  # guards the next two
        self._told: frozenset[str] = frozenset()
        self._telling = False

    def update(self) -> None:
        """Tell the session if anything has changed. Any thread.

        One thread tells at a time, without the lock; before it returns it looks again, so the last word is the newest.
        """
        while True:
            with self._lock:
                demand = ON_DEMAND & frozenset().union(*self._subscribed())
                if self._telling or demand == self._told:
                    return
                self._told, self._telling = demand, True
            try:
                self._tell(demand)
            finally:
                with self._lock:
                    self._telling = False
