"""How much the log keeps in memory: entries up to a bound, and a compact record of what was evicted."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from operator import attrgetter

from claude_mpm.feed.entry import Entry

# Bytes an entry takes beside its JSON: the tuple (80), its number (32), and a list slot with the list's spare room (up
# to 24). Measured with tracemalloc on CPython 3.11: 121 bytes; the rest covers what malloc rounds up.
ENTRY_OVERHEAD = 136
EXACT = 16_384  # evicted numbers remembered one by one for each type, so that a recent gap is exact; 128 KiB
SAMPLED = 8_192  # older evicted numbers remembered for each type: every 256th at first, fewer as they add up; 64 KiB
STRIDE = 256
_seq = attrgetter("seq")


def memory_size(entry: Entry) -> int:
    """The bytes of memory that keeping `entry` costs."""
    return sys.getsizeof(entry.json) + ENTRY_OVERHEAD


class Retention:
    """Entries in order of their numbers, the oldest evicted when they exceed a bound in bytes or in number.

    The newest entry always stays, whatever its size. Not thread-safe: the log's lock serialises all calls.
    """

    def __init__(self, max_bytes: int, max_entries: int | None = None) -> None:
        """`max_bytes` counts memory as memory_size() does."""
        self._max_bytes = max_bytes
        self._max_entries = sys.maxsize if max_entries is None else max_entries
        self._entries: list[Entry] = []
        self._head = 0  # the entries before this index are evicted; the list itself is trimmed only now and then
        self.size = 0  # bytes of memory that the entries take

    def append(self, entry: Entry) -> list[Entry]:
        """Keep `entry` and return the entries that were evicted for it."""
        entries, start = self._entries, self._head
        entries.append(entry)
        self.size += memory_size(entry)
        while (self.size > self._max_bytes or len(entries) - self._head > self._max_entries) and entry is not (
            oldest := entries[self._head]
        ):
            self.size -= memory_size(oldest)
            self._head += 1
        evicted = entries[start : self._head]
        if self._head > 64 and self._head * 2 > len(entries):
            del entries[: self._head]
            self._head = 0
        elif evicted:
            entries[start : self._head] = [entry] * len(evicted)  # free the evicted entries before the next trim
        return evicted

    def after(self, seq: int, limit: int) -> list[Entry]:
        """The first `limit` entries whose number is greater than `seq`, oldest first."""
        entries = self._entries
        if not entries or entries[-1].seq <= seq:
            return []
        start = bisect_right(entries, seq, lo=self._head, key=_seq)
        return entries[start : start + limit]

    def before(self, seq: int, limit: int) -> list[Entry]:
        """The last `limit` entries whose number is less than `seq`, oldest first."""
        entries = self._entries
        end = len(entries) if entries and entries[-1].seq < seq else bisect_left(entries, seq, lo=self._head, key=_seq)
        return entries[max(end - limit, self._head) : end]

    def oldest_seq(self) -> int | None:
        return self._entries[self._head].seq if self._entries else None


class Evicted:
    """The numbers of evicted events by type: enough to tell a reader how many it missed, in bounded memory.

    Not thread-safe: the log's lock serialises all calls.
    """

    def __init__(self) -> None:
        self.last_seq = 0  # the greatest of all
        self._numbers: dict[str, _Numbers] = {}

    def add(self, event_type: str, seq: int) -> None:
        """Record an evicted event. Within one type, numbers must come in ascending order."""
        self.last_seq = max(self.last_seq, seq)
        numbers = self._numbers.get(event_type)
        if numbers is None:
            numbers = self._numbers[event_type] = _Numbers(seq)
        numbers.add(seq)

    def between(self, event_type: str, low: int, high: int) -> tuple[int, int, int] | None:
        """Count the evicted events of a type with low < seq <= high; None if there are none.

        Returns (count, first seq, last seq). Exact for recent ranges and for low=0: when each end lies among the newest
        EXACT numbers or outside all of them. Further back only samples are remembered. Then the count may be too high, at
        each end by less than one sampling stride, and the seq given for that end is the limit of the range asked for.
        A loss is never missed.
        """
        numbers = self._numbers.get(event_type)
        return None if numbers is None else numbers.between(low, high)


class _Numbers:
    """A growing series of ascending numbers: its first, its newest one by one, and evenly spaced samples of the rest."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._newest: array[int] = array("Q")
        self._samples: array[int] = array("Q")  # the numbers with the ranks stride, 2 * stride, 3 * stride ...
        self._stride = STRIDE
        self._dropped = 0  # how many numbers came before the newest
        self._last_dropped = -1

    def add(self, number: int) -> None:
        self._newest.append(number)
        if len(self._newest) > EXACT:
            self._thin_out(EXACT // 2)

    def _thin_out(self, count: int) -> None:
        """Replace the oldest `count` of the newest numbers by samples."""
        first_sample = self._stride - 1 - self._dropped % self._stride
        self._samples.extend(self._newest[first_sample : count : self._stride])
        self._last_dropped = self._newest[count - 1]
        self._dropped += count
        del self._newest[:count]
        while len(self._samples) > SAMPLED:
            self._samples = self._samples[1::2]
            self._stride *= 2

    def between(self, low: int, high: int) -> tuple[int, int, int] | None:
        """See Evicted.between()."""
        if high < self._first:
            return None
        count = self._at_most(high) - self._at_least(low)
        if count <= 0:
            return None
        first, last = self._first_after(low), self._last_up_to(high)
        return min(count, last - first + 1), first, last

    def _at_least(self, number: int) -> int:
        """How many of the series are not greater than `number`, rounded down to a sample where only those are left."""
        if number >= self._last_dropped:
            return self._dropped + bisect_right(self._newest, number)
        return bisect_right(self._samples, number) * self._stride

    def _at_most(self, number: int) -> int:
        """The same count, rounded up."""
        if number >= self._last_dropped:
            return self._at_least(number)
        return min(self._at_least(number) + self._stride, self._dropped) - 1

    def _first_after(self, number: int) -> int:
        if number < self._last_dropped:
            return max(self._first, number + 1)
        return self._newest[bisect_right(self._newest, number)]

    def _last_up_to(self, number: int) -> int:
        index = bisect_right(self._newest, number)
        return self._newest[index - 1] if index else number
