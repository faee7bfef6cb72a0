"""What one client is to get: live from where it subscribed, and once what is kept from before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from claude_mpm.feed.log import Batch, Cursor, Entry, Gap, Log
from claude_mpm.feed.patterns import expand


class Due(NamedTuple):
    """What comes next for a client; all empty: nothing at the moment."""

    entries: list[Entry]
    gap: Gap | None
    reason: Literal["slow_client", "expired"]


class Subscription:
    """The channels of one client. Belongs to its sender thread; only `wake` may be called by others.

    Of each type it is remembered from which number on the client has got, or will get, everything.
    A `since` before that number adds only what lies between, as a second cursor that is read to its
    end before the live one goes on. Unsubscribing forgets.
    """

    def __init__(self, log: Log) -> None:
        self.patterns: list[str] = []
        self._log = log
        self._covered: dict[str, int] = {}
        self._kept: Cursor | None = None
        self._kept_reason: Literal["slow_client", "expired"] = "expired"
        self._live = log.follow()
        self._live.want({})

    def add(self, patterns: Iterable[str], since: int | None = None) -> int:
        """Subscribe; returns the number of the newest event. Only when not `replaying`."""
        assert self._kept is None
        now = self._log.seq
        wanted = list(patterns)
        self.patterns += [pattern for pattern in dict.fromkeys(wanted) if pattern not in self.patterns]
        start = now if since is None else min(since, now)  # a number from another run means nothing here
        live = dict(self._live.low)
        replay: dict[str, int] = {}  # of each type what lies after `start`, up to this number
        for kind in expand(wanted):
            live.setdefault(kind, now)
            covered = self._covered.get(kind, now)
            if start < covered:
                replay[kind] = covered
            self._covered[kind] = min(start, covered)
        self._live.want(live)
        if replay:
            self._kept = Cursor(self._log, start, dict.fromkeys(replay, start), replay)
            self._kept_reason = "expired"
        return now

    def remove(self, patterns: Iterable[str]) -> None:
        """Unsubscribe from exactly these patterns; what another one covers stays. Only when not `replaying`."""
        gone = set(patterns)
        self.patterns = [pattern for pattern in self.patterns if pattern not in gone]
        wanted = expand(self.patterns)
        self._covered = {kind: seq for kind, seq in self._covered.items() if kind in wanted}
        self._live.want({kind: seq for kind, seq in self._live.low.items() if kind in wanted})

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self._covered)

    @property
    def replaying(self) -> bool:
        """Whether kept events are still to come, before anything else."""
        return self._kept is not None

    def next(self, limit: int) -> Due:
        """What the client is to get next, at most `limit` events."""
        if self._kept is not None:
            batch, reason = self._kept.next(limit), self._kept_reason
            self._kept_reason = "slow_client"  # what goes from now on goes because the client takes its time
            if not batch.entries:
                self._kept = None
            if batch.entries or batch.gap:
                return Due(batch.entries, batch.gap, reason)
        batch = self._live.next(limit) if self._covered else Batch([], None)
        return Due(batch.entries, batch.gap, "slow_client")

    def behind(self, seq: int) -> bool:
        """Whether something up to `seq` may still be due."""
        return self._kept is not None or (bool(self._covered) and self._live.cursor < seq)

    def wake(self) -> None:
        """Let wait() return. Any thread."""
        self._live.wake()

    def wait(self) -> None:
        """Block until something is due, or wake()."""
        self._live.wait()

    def close(self) -> None:
        self._live.close()
