"""Decides what one client receives: new events of its types and, where it asked for them, stored ones before those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from claude_mpm.feed.log import Batch, Cursor, Entry, Gap, Log
from claude_mpm.feed.patterns import expand


class Due(NamedTuple):
    """What a client receives next. Neither entries nor a gap: nothing at the moment."""

    entries: list[Entry]
    gap: Gap | None
    reason: Literal["slow_client", "expired"]


class Subscription:
    """The channels of one client. Belongs to its sender thread, except for `cursor`; nothing here blocks.

    For each type it remembers the seq after which the client receives everything. Subscribing again with an earlier
    `since` replays only the events in between; a second cursor reads them to the end before the live one continues.
    Unsubscribing from a type forgets what was received of it.
    """

    def __init__(self, log: Log) -> None:
        self.patterns: list[str] = []
        self._log = log
        self._covered: dict[str, int] = {}
        self._stored: Cursor | None = None
        self._stored_reason: Literal["slow_client", "expired"] = "expired"
        self._live = Cursor(log, log.seq)
        self._newest_start = 0  # after this seq, the client receives every event of all its types

    def add(self, patterns: Iterable[str], since: int | None = None) -> int:
        """Subscribe, and return the seq of the newest event.

        Args:
            patterns: well-formed patterns of event types.
            since: also replay the events stored after this seq. A seq above the newest comes from an earlier run of the
                program, and is treated as the newest.
        """
        assert self._stored is None, "commands are not executed during a replay"
        now = self._log.seq
        wanted = list(patterns)
        self.patterns += [pattern for pattern in dict.fromkeys(wanted) if pattern not in self.patterns]
        if not self._covered:
            self._live.cursor = now  # nothing was subscribed to, so there is nothing to skip
        start = now if since is None else min(since, now)
        live = dict(self._live.low)
        replay: dict[str, int] = {}  # per type, the last seq to replay
        for kind in expand(wanted):
            live.setdefault(kind, now)
            covered = self._covered.get(kind, now)
            if start < covered:
                replay[kind] = covered
            self._covered[kind] = min(start, covered)
        self._live.want(live)
        self._newest_start = now
        if replay:
            self._stored = Cursor(self._log, start, dict.fromkeys(replay, start), replay)
            self._stored_reason = "expired"
        return now

    def remove(self, patterns: Iterable[str]) -> None:
        """Unsubscribe from exactly these patterns. Types that a remaining pattern covers stay subscribed."""
        gone = set(patterns)
        self.patterns = [pattern for pattern in self.patterns if pattern not in gone]
        wanted = expand(self.patterns)
        self._covered = {kind: seq for kind, seq in self._covered.items() if kind in wanted}
        self._live.want({kind: seq for kind, seq in self._live.low.items() if kind in wanted})

    @property
    def types(self) -> frozenset[str]:
        """The event types subscribed to."""
        return frozenset(self._covered)

    @property
    def replaying(self) -> bool:
        """Whether stored events remain to be sent, which come before everything else."""
        return self._stored is not None

    def next(self, limit: int) -> Due:
        """Return the next events for the client, `limit` at most, and count them as received."""
        if self._stored is not None:
            batch, reason = self._stored.next(limit), self._stored_reason
            self._stored_reason = "slow_client"  # what is evicted from now on is lost because the client takes its time
            if not batch.entries:
                self._stored = None
            if batch.entries or batch.gap:
                return Due(batch.entries, batch.gap, reason)
        batch = self._live.next(limit) if self._covered else Batch([], None)
        return Due(batch.entries, batch.gap, "slow_client")

    @property
    def cursor(self) -> int:
        """The seq up to which the client has been sent all live events. Any thread may read it."""
        return self._live.cursor

    @property
    def level(self) -> bool:
        """Whether all the client still has to receive are the events after `cursor` of its types."""
        return self._stored is None and self._live.cursor >= self._newest_start

    def received(self, seq: int) -> None:
        """Record that the broadcaster has sent the client its events up to `seq`. Call it only while `level`."""
        self._live.cursor = seq

    def behind(self, seq: int) -> bool:
        """Whether any event up to `seq` may remain to be sent."""
        return self._stored is not None or (bool(self._covered) and self._live.cursor < seq)
