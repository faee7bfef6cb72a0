"""The event log: one order, bounded memory, any number of readers.

Every source of events appends here, and no append ever waits for a reader. Each reader has a cursor of its own, so live
delivery, history, resuming and slow clients are one mechanism. An event is encoded once, when it is appended; the log
keeps those bytes and nothing else.

Output, structured events and the newest-only types are kept apart, so that none of them evicts another.

Events are encoded, merged and filtered without the lock. While it is held, an append joins the parts of its message, and a
reader takes slices that it finds by binary search.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from typing import Any

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.cursor import Cursor, Follower
from claude_mpm.feed.entry import Batch, Entry, Gap, Producer
from claude_mpm.feed.event import Event
from claude_mpm.feed.patterns import expand
from claude_mpm.feed.retention import Evicted, Retention
from claude_mpm.feed.state import State
from claude_mpm.system import json_text

__all__ = ["NEWEST_ONLY", "Batch", "Cursor", "Entry", "Follower", "Gap", "Log", "Producer"]

NEWEST_ONLY = frozenset({ev.CLAUDE_SCREEN, ev.SYSTEM_STATUS})  # each replaces the one before, which is then no loss
BLOCK = 64  # entries taken under one lock while history is walked backwards
_OUTPUT = frozenset({ev.CLAUDE_OUTPUT})
_STRUCTURED = frozenset(ev.EVENT_TYPES) - NEWEST_ONLY - _OUTPUT
_seq = attrgetter("seq")
_quoted = lru_cache(maxsize=64)(json_text.dumps)  # of the few strings that every message repeats


class Log:
    """The event log of one instance. Any thread may call any method, and none blocks.

    A hub's log also holds the events of other instances, which relay() adds.

    Args:
        machine: the name of the host, for readers that select by it.
    """

    def __init__(
        self,
        instance_id: str,
        limits: Limits | None = None,
        wall_clock: Callable[[], float] = time.time,
        *,
        machine: str = "",
    ) -> None:
        limits = limits or Limits()
        self.instance_id = instance_id
        self._producer = Producer(instance_id, machine)
        self._instance_id_json = json_text.dumps(instance_id)
        self._clock = wall_clock
        self._lock = threading.Lock()  # guards everything below
        self._seq = 0
        self._state = State()
        self._structured = Retention(limits.structured_bytes, limits.structured_events)
        self._output = Retention(limits.output_bytes)
        self._newest: dict[tuple[str, str], Entry] = {}  # by type and instance_id
        self._evicted = Evicted()
        self._followers: list[Follower] = []  # replaced, never changed, so that append() can walk it without the lock

    # --- writing ---

    def append(self, event: Event) -> Entry:
        """Number, stamp, encode and keep an event, and wake the followers that want its type.

        What `event.data` holds is encoded here: changing it afterwards does not change the log.

        Raises:
            KeyError, TypeError, ValueError: the event's data is malformed. It then takes no number.
        """
        kind = event.type
        opening = b'{"type":%b,"timestamp":"' % _quoted(kind)
        closing = b',"source":%b,"data":' % _quoted(event.source)
        data = json_text.dumps(event.data)
        timestamp = None if event.time is None else _rfc3339(event.time)
        with self._lock:
            self._state.apply(event)
            seq = self._seq + 1
            stamp = timestamp or ev.rfc3339(self._clock())  # here, so that timestamps follow the order of the numbers
            middle = f'{stamp}","seq":{seq},"instance_id":'.encode()
            session = self._session_json(event)
            message = b"".join((opening, middle, self._instance_id_json, session, closing, data, b"}"))
            entry = self._keep(Entry(seq, kind, message, self._producer))
        self._wake(kind)
        return entry

    def relay(self, kind: str, message: Mapping[str, Any], producer: Producer) -> Entry:
        """Number and keep an event of another instance, and wake the followers that want its type.

        Args:
            message: the whole event without `seq`, which becomes its first member.

        Raises:
            TypeError, ValueError: it cannot be encoded. It then takes no number.
        """
        rest = json_text.dumps(message)
        with self._lock:
            seq = self._seq + 1
            entry = self._keep(Entry(seq, kind, b'{"seq":%d,%b' % (seq, rest[1:]), producer))
        self._wake(kind)
        return entry

    def _wake(self, kind: str) -> None:
        for follower in self._followers:
            if follower.wants(kind):
                follower.wake()

    def _session_json(self, event: Event) -> bytes:
        session_id = event.session_id or self._state.session_id
        return b"" if session_id is None else b',"session_id":' + _quoted(session_id)

    def _keep(self, entry: Entry) -> Entry:
        """Add the entry, whose seq is the next one."""
        assert self._lock.locked()
        if entry.type in NEWEST_ONLY:
            self._newest[entry.type, entry.producer.instance_id] = entry
        else:
            retention = self._output if entry.type == ev.CLAUDE_OUTPUT else self._structured
            for gone in retention.append(entry):
                self._evicted.add(gone.type, gone.seq)
        self._seq = entry.seq
        return entry

    def forget_instance(self, instance_id: str) -> None:
        """Drop the newest-only entries of an instance that has gone."""
        with self._lock:
            for kind in NEWEST_ONLY:
                self._newest.pop((kind, instance_id), None)

    # --- reading ---

    def snapshot(self) -> dict[str, Any]:
        """What all events so far add up to (see state.py), with `seq` and `oldest_seq` of the same moment."""
        with self._lock:
            return self._state.snapshot() | {"seq": self._seq, "oldest_seq": self._oldest_seq()}

    @property
    def seq(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._seq

    @property
    def session_id(self) -> str | None:
        """Claude's current session id, once it is known."""
        return self._state.session_id

    def oldest_seq(self) -> int:
        """The smallest number still kept, or the number of the next event when nothing is kept."""
        with self._lock:
            return self._oldest_seq()

    def _oldest_seq(self) -> int:
        numbers = [self._structured.oldest_seq(), self._output.oldest_seq()]
        return min((number for number in numbers if number is not None), default=self._seq + 1)

    def follow(self, since: int | None = None) -> Follower:
        """A live reader of what comes after `since`, or from now on when that is None. Close it when done."""
        with self._lock:
            follower = Follower(self, self._seq if since is None else since)
            self._followers = [*self._followers, follower]
        return follower

    def forget(self, follower: Follower) -> None:
        """Wake `follower` no more."""
        with self._lock:
            self._followers = [other for other in self._followers if other is not follower]

    def read(self, since: int, patterns: Iterable[str], limit: int, until: int | None = None) -> list[Entry]:
        """The oldest `limit` kept entries that match, with since < seq <= until, in order."""
        types = expand(patterns)
        end = self._seq if until is None else until
        cursor = Cursor(self, since, dict.fromkeys(types, since), dict.fromkeys(types, end))
        matching: list[Entry] = []
        while len(matching) < limit and (entries := cursor.next(limit - len(matching)).entries):
            matching += entries
        return matching

    def history(
        self,
        patterns: Iterable[str],
        limit: int,
        since: int = 0,
        before: int | None = None,
        max_bytes: int | None = None,
    ) -> tuple[list[Entry], bool]:
        """The newest kept entries that match, with since < seq < before, oldest first; and whether older ones match too.

        Looks at the entries it returns, at those of other types between them, and at one block beyond.

        Args:
            limit: the number of entries to return at most.
            max_bytes: the JSON they may add up to. One entry is returned even when it alone is larger.
        """
        newest: list[Entry] = []
        size = 0
        more = False
        for entry in self._backwards(expand(patterns), since, self._seq + 1 if before is None else before):
            size += len(entry.json)
            if len(newest) == limit or (newest and max_bytes is not None and size > max_bytes):
                more = True
                break
            newest.append(entry)
        newest.reverse()
        return newest, more

    def _backwards(self, types: frozenset[str], since: int, before: int) -> Iterator[Entry]:
        """The kept entries of these types with since < seq < before, newest first."""
        with self._lock:
            newest_only = [entry for (kind, _), entry in self._newest.items() if kind in types]
        newest_only = [entry for entry in sorted(newest_only, key=_seq, reverse=True) if since < entry.seq < before]
        walks = [self._walk_back(retention, types, since, before) for retention in self._retentions(types)]
        return heapq.merge(newest_only, *walks, key=_seq, reverse=True)

    def _walk_back(self, retention: Retention, types: frozenset[str], since: int, before: int) -> Iterator[Entry]:
        while True:
            with self._lock:
                block = retention.before(before, BLOCK)
            for entry in reversed(block):
                if entry.seq <= since:
                    return
                if entry.type in types:
                    yield entry
            if len(block) < BLOCK:
                return
            before = block[0].seq

    def _retentions(self, types: Iterable[str]) -> list[Retention]:
        """Where entries of these types may be."""
        kinds = frozenset(types)
        candidates = ((self._structured, _STRUCTURED), (self._output, _OUTPUT))
        return [retention for retention, held in candidates if kinds & held]

    def newest(self, event_type: str) -> Entry | None:
        """The last entry of a newest-only type, of this log's own instance."""
        with self._lock:
            return self._newest.get((event_type, self.instance_id))

    def gap(self, since: int, patterns: Iterable[str], until: int | None = None) -> Gap | None:
        """What matches with since < seq <= until, but is no longer kept."""
        types = expand(patterns)
        with self._lock:
            end = self._seq if until is None else until
            return self._lost(since, dict.fromkeys(types, since), dict.fromkeys(types, end))

    def step(
        self, after: int, limit: int, low: dict[str, int], high: Mapping[str, int]
    ) -> tuple[Gap | None, list[Entry], int]:
        """One step of a cursor: the loss to tell, the next `limit` candidates, and the newest number at that moment.

        Candidates are in order and include every kept entry of the types in `low`, but may be of other types too. `low`
        is raised past what is told as lost.
        """
        retentions = self._retentions(low)
        with self._lock:
            gap = self._lost(after, low, high) if after < self._evicted.last_seq else None
            runs = [run for retention in retentions if (run := retention.after(after, limit))]
            runs += [[entry] for (kind, _), entry in self._newest.items() if entry.seq > after and kind in low]
            newest_seq = self._seq
        if len(runs) > 1:
            return gap, sorted((entry for run in runs for entry in run), key=_seq)[:limit], newest_seq
        return gap, runs[0] if runs else [], newest_seq

    def _lost(self, after: int, low: dict[str, int], high: Mapping[str, int]) -> Gap | None:
        """What is no longer kept with after, low < seq <= high. Raises `low` past it, so that it is told only once."""
        assert self._lock.locked()
        gap = None
        for kind, start in low.items():
            lost = self._evicted.between(kind, max(after, start), high.get(kind, self._seq))
            if lost is not None:
                count, first, last = lost
                low[kind] = last
                one = Gap(first, last, {kind: count})
                gap = one if gap is None else gap | one
        return gap


def _rfc3339(seconds: float) -> str | None:
    """A timestamp, or None for a time no calendar has: it came from a file, and the time of the append is better."""
    with suppress(ValueError, OverflowError, OSError):
        return ev.rfc3339(seconds)
    return None
