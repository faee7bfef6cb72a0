"""The event log: one order, one bounded memory, any number of followers.

Every source appends and nothing waits: an append numbers, stamps, keeps and wakes. A follower reads
with a cursor of its own, so history, resume and slow clients are one mechanism. Three kinds are kept
apart so that one never evicts another: structured events (a number of them), output (bytes of
content), and newest-only (one of each type).
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.feed.patterns import any_matches, matches
from claude_mpm.feed.state import State

NEWEST_ONLY = frozenset({ev.CLAUDE_SCREEN, ev.SYSTEM_STATUS})
EVICTED_KEPT = 65_536  # numbers of evicted events remembered per type, so that a gap can be told exactly; 512 KiB
_seq = attrgetter("seq")


@dataclass(slots=True)
class Entry:
    """An event in the log. Shared by all followers and never changed, but for the two caches."""

    seq: int
    event: Event
    timestamp: str
    instance_id: str
    session_id: str | None
    frame: bytes | None = (
        None  # the server's cache: the WebSocket frame, made on first need (racing threads make the same)
    )
    _json: bytes | None = None

    def message(self) -> dict[str, Any]:
        """The event as the protocol shows it."""
        message: dict[str, Any] = {
            "type": self.event.type,
            "timestamp": self.timestamp,
            "seq": self.seq,
            "instance_id": self.instance_id,
        }
        if self.session_id is not None:
            message["session_id"] = self.session_id
        message["source"] = self.event.source
        message["data"] = self.event.data
        return message

    def json(self) -> bytes:
        """UTF-8 JSON of message(), made once."""
        if self._json is None:
            self._json = ev.dumps(self.message())
        return self._json


@dataclass(frozen=True, slots=True)
class Gap:
    """What a follower was to get and cannot any more."""

    from_seq: int
    to_seq: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Batch:
    entries: list[Entry]
    gap: Gap | None


@dataclass
class _Kept:
    """Entries in order of seq; the oldest are dropped when their cost passes the limit."""

    limit: int
    cost: Callable[[Entry], int]
    entries: list[Entry] = field(default_factory=list)
    head: int = 0  # entries before it are dropped; the list is cut now and then, not each time
    total: int = 0

    def append(self, entry: Entry) -> list[Entry]:
        """Keep `entry`; returns what had to go."""
        self.entries.append(entry)
        self.total += self.cost(entry)
        start = self.head
        while self.total > self.limit and self.head < len(self.entries) - 1:
            self.total -= self.cost(self.entries[self.head])
            self.head += 1
        gone = self.entries[start : self.head]
        if self.head > 64 and self.head * 2 > len(self.entries):
            del self.entries[: self.head]
            self.head = 0
        elif gone:
            self.entries[start : self.head] = [entry] * len(gone)  # let the memory go before the next cut
        return gone

    def after(self, seq: int, limit: int) -> list[Entry]:
        start = bisect_right(self.entries, seq, lo=self.head, key=_seq)
        return self.entries[start : start + limit]

    def oldest(self) -> int | None:
        return self.entries[self.head].seq if self.head < len(self.entries) else None


class Log:
    """The event log of one instance. Every method may be called from any thread; none blocks.

    `state` is what the events add up to; it changes under the log's lock, read it with snapshot().
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
        self._structured = _Kept(limits.structured_events, lambda entry: 1)
        self._output = _Kept(limits.output_bytes, lambda entry: max(len(entry.event.data["content"]), 64))
        self._newest: dict[str, Entry] = {}
        self._evicted: dict[str, array[int]] = {}
        self._evicted_before: dict[str, int] = {}  # evictions no longer remembered one by one, per type
        self._followers: list[Follower] = []

    # --- writing ---

    def append(self, event: Event) -> Entry:
        """Number, stamp and keep an event, and wake the followers. Returns its entry."""
        with self._lock:
            self._seq += 1
            self._state.apply(event)
            stamp = ev.rfc3339(self._clock() if event.time is None else event.time)
            session_id = event.session_id or self._state.session_id
            entry = Entry(self._seq, event, stamp, self.instance_id, session_id)
            if event.type in NEWEST_ONLY:
                self._newest[event.type] = entry
            else:
                kept = self._output if event.type == ev.CLAUDE_OUTPUT else self._structured
                for gone in kept.append(entry):
                    self._remember_evicted(gone)
            followers = self._followers
        for follower in followers:
            follower.wake()
        return entry

    def _remember_evicted(self, entry: Entry) -> None:
        assert self._lock.locked()
        kind = entry.event.type
        numbers = self._evicted.setdefault(kind, array("Q"))
        numbers.append(entry.seq)
        if len(numbers) > EVICTED_KEPT:
            half = len(numbers) // 2
            self._evicted_before[kind] = self._evicted_before.get(kind, 0) + half
            del numbers[:half]

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
        follower = Follower(self, self._seq if since is None else since)
        with self._lock:
            self._followers = [*self._followers, follower]
        return follower

    def read(self, since: int, patterns: Iterable[str], limit: int, until: int | None = None) -> list[Entry]:
        """The first `limit` kept entries with since < seq (≤ until) that match, in order."""
        wanted = list(patterns)
        found: list[Entry] = []
        while len(found) < limit:
            with self._lock:
                chunk = self._after(since, limit)
            if not chunk:
                break
            found += [e for e in chunk if any_matches(wanted, e.event.type) and (until is None or e.seq <= until)]
            since = chunk[-1].seq
            if until is not None and since >= until:
                break
        return found[:limit]

    def history(
        self, patterns: Iterable[str], limit: int, since: int = 0, before: int | None = None
    ) -> tuple[list[Entry], bool]:
        """The newest `limit` kept entries with since < seq < before that match, oldest first; and whether older ones match."""
        wanted = list(patterns)
        with self._lock:
            entries = self._after(since, self._seq)
        found = [e for e in entries if (before is None or e.seq < before) and any_matches(wanted, e.event.type)]
        return (found[-limit:] if limit else []), len(found) > limit

    def newest(self, event_type: str) -> Entry | None:
        """The last entry of a newest-only type."""
        with self._lock:
            return self._newest.get(event_type)

    def gap(self, since: int, patterns: Iterable[str], until: int | None = None) -> Gap | None:
        """What matched, had since < seq (≤ until), and is gone from memory."""
        with self._lock:
            return self._gap(since, list(patterns), self._seq if until is None else until, {})

    def _gap(self, since: int, patterns: list[str], until: int, told: dict[str, int]) -> Gap | None:
        """`told`: the last evicted number the reader knows of, per type; brought up to date here."""
        assert self._lock.locked()
        counts: dict[str, int] = {}
        first, last = until, since
        for kind, numbers in self._evicted.items():
            if not any(matches(pattern, kind) for pattern in patterns):
                continue
            start, end = bisect_right(numbers, max(since, told.get(kind, 0))), bisect_right(numbers, until)
            forgotten = self._evicted_before.get(kind, 0) if start == 0 and kind not in told else 0  # at most this many
            if end - start + forgotten:
                counts[kind] = end - start + forgotten
                told[kind] = numbers[end - 1] if end else since
                first = min(first, numbers[start] if not forgotten else since + 1)
                last = max(last, numbers[end - 1] if end else since + 1)
        return Gap(first, last, counts) if counts else None

    def _after(self, seq: int, limit: int) -> list[Entry]:
        assert self._lock.locked()
        parts = [part for kind in (self._structured, self._output) if (part := kind.after(seq, limit))]
        parts += [[entry] for entry in self._newest.values() if entry.seq > seq]
        merged = parts[0] if len(parts) == 1 else sorted((e for part in parts for e in part), key=_seq)
        return merged[:limit]

    def _forget(self, follower: Follower) -> None:
        with self._lock:
            self._followers = [f for f in self._followers if f is not follower]


class Follower:
    """One reader's place in the log. `wait` and `read` belong to one thread; `wake` and `close` to any."""

    def __init__(self, log: Log, cursor: int) -> None:
        self.cursor = cursor  # the number of the last event read
        self._log = log
        self._told: dict[str, int] = {}
        self._wake = threading.Event()

    def wake(self) -> None:
        """Let wait() return now."""
        if not self._wake.is_set():
            self._wake.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until something was appended, or wake() was called, since the last wait(). False when time ran out."""
        woken = self._wake.wait(timeout)
        self._wake.clear()
        return woken

    def read(self, patterns: Iterable[str], limit: int) -> Batch:
        """What came after the cursor, at most `limit` entries, and what was lost before them. Moves the cursor.

        Entries that do not match are passed over. An empty batch means the cursor is at the end.
        """
        wanted = list(patterns)
        log = self._log
        with log._lock:
            gap = log._gap(self.cursor, wanted, log._seq, self._told) if wanted else None
            while True:
                chunk = log._after(self.cursor, limit) if wanted else []
                entries = [entry for entry in chunk if any_matches(wanted, entry.event.type)]
                self.cursor = chunk[-1].seq if chunk else log._seq
                if entries or not chunk:
                    return Batch(entries, gap)

    def close(self) -> None:
        self._log._forget(self)
        self.wake()
