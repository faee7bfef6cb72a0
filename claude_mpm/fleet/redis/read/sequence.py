"""Whether an instance's events are all there: which are new, which came before, and which are missing. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Missing(NamedTuple):
    """Numbers that were published and did not come. Not all between are events: some types are not published."""

    from_seq: int
    to_seq: int


class Sequence:
    """The place one reader has reached in one instance's events.

    Each entry names the one before it, so a hole shows exactly, whatever made it: a stream that was trimmed or deleted,
    a Redis that came back without its data. An entry that is repeated is known by its number.
    """

    def __init__(self, first: int = 0) -> None:
        """`first`: the smallest number to take of what was published before we looked."""
        self.last: int | None = None  # the number up to which everything has come or was told; None: nothing yet
        self._first = first

    def take(self, seq: int, previous: int) -> tuple[bool, Missing | None]:
        """Note entry `seq`, published after `previous`. Returns whether it is new, and what is missing before it."""
        if self.last is None:
            if seq < self._first:
                return False, None
            self.last = 0
        if seq <= self.last:
            return False, None
        missing = Missing(self.last + 1, previous) if previous > self.last else None
        self.last = seq
        return True, missing

    def published(self, seq: int) -> Missing | None:
        """Note that everything up to `seq` was published, and that none of it is still to come. Returns what is missing."""
        last = self.last or 0
        self.last = max(last, seq)
        return Missing(last + 1, seq) if seq > last else None
