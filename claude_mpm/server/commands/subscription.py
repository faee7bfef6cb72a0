"""Decides what one client receives: new events it selected and, where it asked for them, stored ones before those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from claude_mpm.feed.log import Batch, Cursor, Entry, Gap, Log
from claude_mpm.feed.patterns import expand
from claude_mpm.feed.selection import EVERYWHERE, NOTHING, Coverage, Scope, Selection


class Due(NamedTuple):
    """What a client receives next. Neither entries nor a gap: nothing at the moment."""

    entries: list[Entry]
    gap: Gap | None
    reason: Literal["slow_client", "expired"]


class Subscription:
    """The channels of one client. Belongs to its sender thread, except for `cursor`; nothing here blocks.

    For each type and scope it remembers the seq after which the client receives everything. Subscribing again with an
    earlier `since` replays only the events in between; a second cursor reads them to the end before the live one
    continues. Unsubscribing from a type forgets what was received of it.
    """

    def __init__(self, log: Log) -> None:
        self.selection = NOTHING
        self._log = log
        self._rules: dict[tuple[str, Scope], None] = {}  # what was subscribed to, in that order
        self._covered = Coverage()
        self._covered_live = Coverage()
        self._stored: Cursor | None = None
        self._stored_reason: Literal["slow_client", "expired"] = "expired"
        self._live = Cursor(log, log.seq)
        self._newest_start = 0  # after this seq, the client receives every event of all its types

    @property
    def patterns(self) -> list[str]:
        """The patterns subscribed to, wherever the events come from."""
        return list(dict.fromkeys(pattern for pattern, _ in self._rules))

    @property
    def rules(self) -> frozenset[tuple[str, Scope]]:
        """The patterns subscribed to, each with where the events come from."""
        return frozenset(self._rules)

    def add(self, patterns: Iterable[str], since: int | None = None, scopes: Iterable[Scope] = (EVERYWHERE,)) -> int:
        """Subscribe, and return the seq of the newest event.

        Args:
            patterns: well-formed patterns of event types.
            since: also replay the events stored after this seq. A seq above the newest comes from an earlier run of the
                program, and is treated as the newest.
            scopes: where the events come from.
        """
        assert self._stored is None, "commands are not executed during a replay"
        now = self._log.seq
        wanted, scopes = list(patterns), list(scopes)
        if not self._covered:
            self._live.cursor = now  # nothing was subscribed to, so there is nothing to skip
        start = now if since is None else min(since, now)
        before = self._covered.copy()
        replay: dict[str, int] = {}  # per type, the last seq to replay
        for kind in expand(wanted):
            for scope in scopes:
                covered = before.get(kind, scope, now)
                if start < covered:
                    replay[kind] = max(covered, replay.get(kind, 0))
                self._covered_live.put(kind, scope, self._covered_live.get(kind, scope, now))
                self._covered.put(kind, scope, min(start, covered))
        self._rules |= dict.fromkeys((pattern, scope) for pattern in wanted for scope in scopes)
        self._changed()
        self._newest_start = now
        if replay:
            self._replay(start, replay, before)
        return now

    def _replay(self, start: int, until: dict[str, int], before: Coverage) -> None:
        """Deliver next, from `start`, what is covered now and was not covered `before`."""
        self._stored = Cursor(self._log, start, high=until)
        after, low = self._covered.copy(), dict.fromkeys(until, start)
        scoped = after.scoped or before.scoped
        self._stored.want(low, (lambda entry: after.covers(entry) and not before.covers(entry)) if scoped else None)
        self._stored_reason = "expired"

    def remove(self, patterns: Iterable[str], scopes: Iterable[Scope] | None = None) -> None:
        """Unsubscribe from exactly these patterns, in these scopes or in all of them.

        Types that a remaining pattern covers stay subscribed.
        """
        gone, where = set(patterns), None if scopes is None else set(scopes)
        self._rules = {
            (pattern, scope): None
            for pattern, scope in self._rules
            if pattern not in gone or (where is not None and scope not in where)
        }
        wanted = {(kind, scope) for pattern, scope in self._rules for kind in expand([pattern])}
        self._covered.keep(wanted)
        self._covered_live.keep(wanted)
        self._changed()

    def _changed(self) -> None:
        live = self._covered_live
        self._live.want(live.lowest(), live.copy().covers if live.scoped else None)
        self.selection = Selection(self._covered)

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
