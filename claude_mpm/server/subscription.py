"""What one client is to receive: events as they happen and, once, those that were stored before it subscribed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from claude_mpm.feed.log import Batch, Cursor, Entry, Gap, Log
from claude_mpm.feed.patterns import expand


class Due(NamedTuple):
    """What comes next for a client. Without entries and gap: nothing at the moment."""

    entries: list[Entry]
    gap: Gap | None
    reason: Literal["slow_client", "expired"]


class Subscription:
    """The channels of one client. Belongs to its sender thread, but for `cursor`; nothing here blocks.

    For each type, remember the seq after which the client receives everything. A `since` before that seq adds only
    the events between the two, read to the end by a second cursor before the live one goes on. Unsubscribing forgets.
    """

    def __init__(self, log: Log) -> None:
        self.patterns: list[str] = []
        self._log = log
        self._covered: dict[str, int] = {}
        self._stored: Cursor | None = None
        self._stored_reason: Literal["slow_client", "expired"] = "expired"
        self._live = Cursor(log, log.seq)
        self._newest_start = 0  # from this seq on, all types are received

    def add(self, patterns: Iterable[str], since: int | None = None) -> int:
        """Subscribe, and return the seq of the newest event.

        Args:
            patterns: of channels, well-formed.
            since: also replay what is stored after this seq. One greater than the newest is from another run of the
                program, and means nothing here.
        """
        assert self._stored is None, "commands wait for the end of a replay"
        now = self._log.seq
        wanted = list(patterns)
        self.patterns += [pattern for pattern in dict.fromkeys(wanted) if pattern not in self.patterns]
        if not self._covered:
            self._live.cursor = now  # nothing before was wanted, so nothing has to be passed over
        start = now if since is None else min(since, now)
        live = dict(self._live.low)
        replay: dict[str, int] = {}  # per type: the last seq to be replayed
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
        """Unsubscribe from exactly these patterns. Types that another pattern covers stay."""
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
        """Whether stored events are still to be sent, before anything else."""
        return self._stored is not None

    def next(self, limit: int) -> Due:
        """Return what the client is to receive next, at most `limit` events, and count it as received."""
        if self._stored is not None:
            batch, reason = self._stored.next(limit), self._stored_reason
            self._stored_reason = (
                "slow_client"  # an event evicted from now on is lost because the client takes its time
            )
            if not batch.entries:
                self._stored = None
            if batch.entries or batch.gap:
                return Due(batch.entries, batch.gap, reason)
        batch = self._live.next(limit) if self._covered else Batch([], None)
        return Due(batch.entries, batch.gap, "slow_client")

    @property
    def cursor(self) -> int:
        """The seq up to which the client has received all live events. Any thread may read it."""
        return self._live.cursor

    @property
    def level(self) -> bool:
        """Whether the client is to receive every event after `cursor` of all its types, and nothing else."""
        return self._stored is None and self._live.cursor >= self._newest_start

    def received(self, seq: int) -> None:
        """Somebody else has sent the client its events up to `seq`. Only when `level`."""
        self._live.cursor = seq

    def behind(self, seq: int) -> bool:
        """Whether an event up to `seq` may still have to be sent."""
        return self._stored is not None or (bool(self._covered) and self._live.cursor < seq)
