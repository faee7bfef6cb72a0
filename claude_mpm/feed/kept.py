"""What the log has in memory, and the numbers of what it had to let go."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

EVICTED_KEPT = 65_536  # numbers of evicted events remembered per type, so that a gap can be told exactly; 512 KiB
_seq = attrgetter("seq")


class _Numbered(Protocol):
    seq: int


E = TypeVar("E", bound=_Numbered)


class Kept(Generic[E]):
    """Entries in order of seq; the oldest go when the cost of all passes the limit. The newest always stays."""

    def __init__(self, limit: int, cost: Callable[[E], int]) -> None:
        self._limit = limit
        self._cost = cost
        self._entries: list[E] = []
        self._head = 0  # entries before it are gone; the list is cut now and then, not each time
        self._total = 0

    def append(self, entry: E) -> list[E]:
        """Keep `entry`; returns what had to go."""
        self._entries.append(entry)
        self._total += self._cost(entry)
        start = self._head
        while self._total > self._limit and self._head < len(self._entries) - 1:
            self._total -= self._cost(self._entries[self._head])
            self._head += 1
        gone = self._entries[start : self._head]
        if self._head > 64 and self._head * 2 > len(self._entries):
            del self._entries[: self._head]
            self._head = 0
        elif gone:
            self._entries[start : self._head] = [entry] * len(gone)  # let the memory go before the next cut
        return gone

    def after(self, seq: int, limit: int) -> list[E]:
        """The first `limit` entries with a greater number."""
        entries = self._entries
        if not entries or entries[-1].seq <= seq:
            return []
        start = bisect_right(entries, seq, lo=self._head, key=_seq)
        return entries[start : start + limit]

    def oldest(self) -> int | None:
        return self._entries[self._head].seq if self._entries else None


class Evicted:
    """The numbers of the events that are gone, per type, in order."""

    def __init__(self) -> None:
        self.last = 0  # the greatest of all
        self._numbers: dict[str, array[int]] = {}
        self._forgotten: dict[str, tuple[int, int, int]] = {}  # how many are not remembered singly, the first, the last

    def add(self, kind: str, seq: int) -> None:
        self.last = max(self.last, seq)
        numbers = self._numbers.setdefault(kind, array("Q"))
        numbers.append(seq)
        if len(numbers) > EVICTED_KEPT:
            half = len(numbers) // 2
            count, first, _ = self._forgotten.get(kind, (0, numbers[0], 0))
            self._forgotten[kind] = (count + half, first, numbers[half - 1])
            del numbers[:half]

    def between(self, kind: str, low: int, high: int) -> tuple[int, int, int] | None:
        """How many of `kind` with low < seq ≤ high are gone, the first and the last of them; None when none.

        Exact while `low` is among the numbers remembered, or 0; before that at most so many.
        """
        numbers = self._numbers.get(kind)
        if not numbers:
            return None
        start, end = bisect_right(numbers, low), bisect_right(numbers, high)
        count, first, last = self._forgotten.get(kind, (0, 0, 0))
        if low < last and first <= high:
            return count + end, max(first, low + 1), numbers[end - 1] if end else min(last, high)
        return (end - start, numbers[start], numbers[end - 1]) if end > start else None
