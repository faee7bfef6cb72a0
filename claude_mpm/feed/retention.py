"""What the log has in memory, and the numbers of what it had to let go."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

EVICTED_KEPT = 16_384  # numbers of evicted events remembered singly per type, so that a gap is told exactly; 128 KiB
SPARSE = 256  # of the older ones every so many is remembered; divides half of EVICTED_KEPT
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
    """The numbers of the events that are gone, per type, in order: the newest singly, of the older every 256th."""

    def __init__(self) -> None:
        self.last = 0  # the greatest of all
        self._first: dict[str, int] = {}
        self._newest: dict[str, array[int]] = {}
        self._sparse: dict[str, array[int]] = {}  # the last of them is the one before the newest

    def add(self, kind: str, seq: int) -> None:
        self.last = max(self.last, seq)
        self._first.setdefault(kind, seq)
        newest = self._newest.setdefault(kind, array("Q"))
        newest.append(seq)
        if len(newest) > EVICTED_KEPT:
            old = EVICTED_KEPT // 2
            self._sparse.setdefault(kind, array("Q")).extend(newest[SPARSE - 1 : old : SPARSE])
            del newest[:old]

    def between(self, kind: str, low: int, high: int) -> tuple[int, int, int] | None:
        """How many of `kind` with low < seq ≤ high are gone, the first and the last of them; None when none.

        Exact while `low` is 0 or not before the newest; else up to 255 too many.
        """
        if kind not in self._newest:
            return None
        start, end = self._rank(kind, low), self._rank(kind, high)
        if end <= start:
            return None
        return end - start, self._after(kind, low), self._up_to(kind, high)

    def _rank(self, kind: str, seq: int) -> int:
        """How many are not after `seq`."""
        newest, sparse = self._newest[kind], self._sparse.get(kind, ())
        if seq < newest[0]:
            return bisect_right(sparse, seq) * SPARSE
        return len(sparse) * SPARSE + bisect_right(newest, seq)

    def _after(self, kind: str, seq: int) -> int:
        newest, sparse = self._newest[kind], self._sparse.get(kind)
        if sparse and seq < sparse[-1]:
            return max(self._first[kind], seq + 1)
        return newest[bisect_right(newest, seq)]

    def _up_to(self, kind: str, seq: int) -> int:
        newest = self._newest[kind]
        return newest[bisect_right(newest, seq) - 1] if seq >= newest[0] else seq
