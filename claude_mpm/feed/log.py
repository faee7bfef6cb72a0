"""The event log: one order, one bounded memory, any number of followers.

Every source appends and nothing waits: an append numbers, stamps, keeps and wakes. A follower reads
with a cursor of its own, so history, resume and slow clients are one mechanism. Three kinds are kept
apart so that one never evicts another: structured events (a number of them), output (bytes of
content), and newest-only (one of each type).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.entry import Batch, Entry, Gap
from claude_mpm.feed.event import Event
from claude_mpm.feed.patterns import expand
from claude_mpm.feed.retention import Evicted, Kept
from claude_mpm.feed.state import State

__all__ = ["NEWEST_ONLY", "Batch", "Cursor", "Entry", "Follower", "Gap", "Log"]

NEWEST_ONLY = frozenset({ev.CLAUDE_SCREEN, ev.SYSTEM_STATUS})
_seq = attrgetter("seq")


class Log:
    """The event log of one instance. Every method may be called from any thread; none blocks.

    What the events add up to (state.py) changes under the log's lock; read it with snapshot().
    """

    def __init__(
        self, instance_id: str, limits: Limits | None = None, wall_clock: Callable[[], float] = time.time
    ) -> None:
        limits = limits or Limits()
        self.instance_id = instance_id
        self._clock = wall_clock
        self._lock = threading.Lock()
        self._seq = 0
        self._state = State()
        self._structured: Kept[Entry] = Kept(limits.structured_events, lambda entry: 1)
        self._output: Kept[Entry] = Kept(limits.output_bytes, lambda entry: max(len(entry.event.data["content"]), 64))
        self._newest: dict[str, Entry] = {}
        self._evicted = Evicted()
        self._followers: list[Follower] = []

    # --- writing ---

    def append(self, event: Event) -> Entry:
        """Number, stamp and keep an event, and wake who follows its type. Returns its entry."""
        kind = event.type
        with self._lock:
            stamp = self._stamp(event.time)
            self._state.apply(event)
            entry = Entry(self._seq + 1, event, stamp, self.instance_id, event.session_id or self._state.session_id)
            if kind in NEWEST_ONLY:
                self._newest[kind] = entry
            else:
                for gone in (self._output if kind == ev.CLAUDE_OUTPUT else self._structured).append(entry):
                    self._evicted.add(gone.event.type, gone.seq)
            self._seq += 1
            followers = self._followers
        for follower in followers:
            if follower.wants(kind):
                follower.wake()
        return entry

    def _stamp(self, seconds: float | None) -> str:
        if seconds is not None:
            try:
                return ev.rfc3339(seconds)
            except (ValueError, OverflowError, OSError):
                pass  # a file's idea of time; ours is better
        return ev.rfc3339(self._clock())

    # --- reading ---

    def snapshot(self) -> dict[str, Any]:
        """State plus `seq` and `oldest_seq`, all of one moment."""
        with self._lock:
            return self._state.snapshot() | {"seq": self._seq, "oldest_seq": self._oldest()}

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def session_id(self) -> str | None:
        return self._state.session_id

    def oldest_seq(self) -> int:
        """The smallest number still kept; the next one when nothing is."""
        with self._lock:
            return self._oldest()

    def _oldest(self) -> int:
        kept = [oldest for kind in (self._structured, self._output) if (oldest := kind.oldest()) is not None]
        return min(kept, default=self._seq + 1)

    def follow(self, since: int | None = None) -> Follower:
        """A cursor that reads what comes after `since` (None: from now on). Close it when done."""
        with self._lock:
            follower = Follower(self, self._seq if since is None else since)
            self._followers = [*self._followers, follower]
        return follower

    def read(self, since: int, patterns: Iterable[str], limit: int, until: int | None = None) -> list[Entry]:
        """The first `limit` kept entries with since < seq (≤ until) that match, in order."""
        kinds = expand(patterns)
        end = self._seq if until is None else until
        cursor = Cursor(self, since, dict.fromkeys(kinds, since), dict.fromkeys(kinds, end))
        found: list[Entry] = []
        while len(found) < limit and (entries := cursor.next(limit - len(found)).entries):
            found += entries
        return found

    def history(
        self, patterns: Iterable[str], limit: int, since: int = 0, before: int | None = None
    ) -> tuple[list[Entry], bool]:
        """The newest `limit` kept entries with since < seq < before that match, oldest first; and whether older ones match."""
        kinds = expand(patterns)
        with self._lock:
            entries = self._after(since, self._seq)
        found = [e for e in entries if e.event.type in kinds and (before is None or e.seq < before)]
        return (found[-limit:] if limit else []), len(found) > limit

    def newest(self, event_type: str) -> Entry | None:
        """The last entry of a newest-only type."""
        with self._lock:
            return self._newest.get(event_type)

    def gap(self, since: int, patterns: Iterable[str], until: int | None = None) -> Gap | None:
        """What matched, had since < seq (≤ until), and is gone from memory."""
        kinds = expand(patterns)
        with self._lock:
            end = self._seq if until is None else until
            return self._lost(since, dict.fromkeys(kinds, since), dict.fromkeys(kinds, end))

    def _lost(self, cursor: int, low: dict[str, int], high: Mapping[str, int]) -> Gap | None:
        """What is gone with cursor, low < seq ≤ high; `low` is raised to the last of each type, so it is told once."""
        assert self._lock.locked()
        gap = None
        for kind, told in low.items():
            lost = self._evicted.between(kind, max(cursor, told), high.get(kind, self._seq))
            if lost is not None:
                count, first, last = lost
                low[kind] = last
                one = Gap(first, last, {kind: count})
                gap = one if gap is None else gap | one
        return gap

    def _after(self, seq: int, limit: int) -> list[Entry]:
        assert self._lock.locked()
        parts = [part for kind in (self._structured, self._output) if (part := kind.after(seq, limit))]
        parts += [[entry] for entry in self._newest.values() if entry.seq > seq]
        if len(parts) == 1:
            return parts[0]
        return sorted((entry for part in parts for entry in part), key=_seq)[:limit]

    def _forget(self, follower: Follower) -> None:
        with self._lock:
            self._followers = [f for f in self._followers if f is not follower]


class Cursor:
    """A place in the log, and of each type wanted the range of numbers wanted. Belongs to one thread."""

    def __init__(
        self, log: Log, cursor: int, low: Mapping[str, int] | None = None, high: Mapping[str, int] | None = None
    ) -> None:
        """`low`: of these types what comes after these numbers. `high`: up to these numbers; absent: without end."""
        self.cursor = cursor  # the number of the last event read, or passed over
        self._log = log
        self._high = high or {}
        self.want(low or {})

    def want(self, low: Mapping[str, int]) -> None:
        """From now on of these types what comes after these numbers (and after the cursor)."""
        self._low = dict(low)
        self._strict_until = max(low.values(), default=0)  # behind it the type alone decides

    def wants(self, kind: str) -> bool:
        return kind in self._low

    @property
    def low(self) -> Mapping[str, int]:
        """The types wanted, each with the number up to which nothing more is due (read, refused, or told as lost)."""
        return self._low

    @property
    def end(self) -> int | None:
        """The number after which nothing is wanted; None when there is no end."""
        return max(self._high.values()) if self._high else None

    def next(self, limit: int) -> Batch:
        """What comes next, at most `limit` entries, and what was lost before them. Moves the cursor.

        An empty batch means that there is nothing more at the moment.
        """
        gap = None
        while True:
            lost, chunk = self._chunk(limit)
            if lost is not None:
                gap = lost if gap is None else gap | lost
            entries = self._wanted(chunk)
            if entries or not chunk:
                return Batch(entries, gap)

    def _chunk(self, limit: int) -> tuple[Gap | None, list[Entry]]:
        log, low, before = self._log, self._low, self.cursor
        with log._lock:
            end = self.end
            if not low or (end is not None and before >= end):
                self.cursor = log._seq if end is None else before
                return None, []
            lost = log._lost(before, low, self._high) if before < log._evicted.last else None
            chunk = log._after(before, limit)
            self.cursor = chunk[-1].seq if chunk else log._seq
        return lost, chunk

    def _wanted(self, chunk: list[Entry]) -> list[Entry]:
        low, high = self._low, self._high
        if not high and chunk and chunk[0].seq > self._strict_until:
            return [entry for entry in chunk if entry.event.type in low]
        return [
            entry
            for entry in chunk
            if (kind := entry.event.type) in low and low[kind] < entry.seq <= high.get(kind, entry.seq)
        ]


class Follower(Cursor):
    """One reader's live place in the log. `wait` and `read` belong to one thread; `wake` and `close` to any."""

    def __init__(self, log: Log, cursor: int) -> None:
        super().__init__(log, cursor)
        self._everything = True  # until it is known what is wanted
        self._sleep = (
            threading.Lock()
        )  # a binary semaphore, held while there is nothing new; an Event costs three times as much
        if cursor >= log.seq:
            self._sleep.acquire()

    def want(self, low: Mapping[str, int]) -> None:
        super().want(low)
        self._everything = False

    def wants(self, kind: str) -> bool:
        return self._everything or kind in self._low

    def wake(self) -> None:
        """Let wait() return now."""
        if self._sleep.locked():
            try:
                self._sleep.release()
            except RuntimeError:
                pass  # another thread was faster

    def wait(self, timeout: float | None = None) -> bool:
        """Block until something wanted was appended, or wake() was called, since the last wait(). False when time ran out."""
        return self._sleep.acquire(timeout=-1 if timeout is None else timeout)

    def read(self, patterns: Iterable[str], limit: int) -> Batch:
        """What came after the cursor, at most `limit` entries, and what was lost before them. Moves the cursor.

        Entries that do not match are passed over. An empty batch means the cursor is at the end.
        """
        kinds = expand(patterns)
        if self._everything or kinds != self._low.keys():
            self.want({kind: self._low.get(kind, self.cursor) for kind in kinds})
        return self.next(limit)

    def close(self) -> None:
        self._log._forget(self)
        self.wake()
