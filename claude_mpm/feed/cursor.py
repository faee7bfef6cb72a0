"""A reader's place in the event log: a Cursor reads on demand, a Follower also waits for what comes next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from claude_mpm.feed.entry import Batch, Entry, Gap
from claude_mpm.feed.patterns import expand


class EventLog(Protocol):
    """What a cursor needs of the log (see log.py)."""

    @property
    def seq(self) -> int: ...

    def step(
        self, after: int, limit: int, low: dict[str, int], high: Mapping[str, int]
    ) -> tuple[Gap | None, list[Entry], int]: ...

    def forget(self, follower: Follower) -> None: ...


class Cursor:
    """A place in the log and, for each type wanted, the range of numbers wanted. Belongs to one thread."""

    def __init__(
        self, log: EventLog, cursor: int, low: Mapping[str, int] | None = None, high: Mapping[str, int] | None = None
    ) -> None:
        """Start after number `cursor`; deliver each type in `low` after the number there, up to the one in `high`.

        A type that is not in `high` has no upper end.
        """
        self.cursor = cursor  # the number of the last event that was delivered or skipped
        self._log = log
        self._high = high or {}
        self.want(low or {})

    def want(self, low: Mapping[str, int], accepts: Callable[[Entry], bool] | None = None) -> None:
        """Deliver these types from now on, each starting after the given number, and none before the cursor.

        `accepts` leaves out further entries. They are counted all the same where they are lost.
        """
        self._low = dict(low)
        self._accepts = accepts
        self._strict_until = max(low.values(), default=0)  # past this number the type alone decides

    def wants(self, event_type: str) -> bool:
        return event_type in self._low

    @property
    def low(self) -> Mapping[str, int]:
        """The types wanted, each with the number up to which nothing more is due: delivered, declined or told as lost."""
        return self._low

    @property
    def end(self) -> int | None:
        """The number after which nothing is wanted; None when there is no end."""
        return max(self._high.values()) if self._high else None

    def next(self, limit: int) -> Batch:
        """The next entries, `limit` at most, and what was lost before them. Moves the cursor; does not block.

        An empty batch means that there is nothing more at the moment.
        """
        gap: Gap | None = None
        while True:
            lost, candidates = self._step(limit)
            if lost is not None:
                gap = lost if gap is None else gap | lost
            entries = self._wanted(candidates)
            if entries or not candidates:
                return Batch(entries, gap)

    def _step(self, limit: int) -> tuple[Gap | None, list[Entry]]:
        end = self.end
        if end is not None and self.cursor >= end:
            return None, []
        if not self._low:
            self.cursor = self._log.seq if end is None else self.cursor
            return None, []
        lost, candidates, newest_seq = self._log.step(self.cursor, limit, self._low, self._high)
        self.cursor = candidates[-1].seq if candidates else newest_seq
        return lost, candidates

    def _wanted(self, candidates: list[Entry]) -> list[Entry]:
        low, high, accepts = self._low, self._high, self._accepts
        if not high and candidates and candidates[0].seq > self._strict_until:
            wanted = [entry for entry in candidates if entry.type in low]
        else:
            wanted = [
                entry
                for entry in candidates
                if (kind := entry.type) in low and low[kind] < entry.seq <= high.get(kind, entry.seq)
            ]
        return wanted if accepts is None else [entry for entry in wanted if accepts(entry)]


class Follower(Cursor):
    """A live cursor. `wait` and `read` belong to one thread; any thread may call `wake` and `close`."""

    def __init__(self, log: EventLog, cursor: int) -> None:
        super().__init__(log, cursor)
        self._everything = True  # until the first want(), any append wakes it
        # Held while there is nothing new: a binary semaphore. A threading.Event costs three times as much.
        self._sleep = threading.Lock()
        if cursor >= log.seq:
            self._sleep.acquire()

    def want(self, low: Mapping[str, int], accepts: Callable[[Entry], bool] | None = None) -> None:
        super().want(low, accepts)
        self._everything = False

    def wants(self, event_type: str) -> bool:
        return self._everything or event_type in self._low

    def wake(self) -> None:
        """Let the current or the next wait() return at once."""
        if self._sleep.locked():
            try:
                self._sleep.release()
            except RuntimeError:
                pass  # another thread released it in between

    def wait(self, timeout: float | None = None) -> bool:
        """Block until a wanted event was appended or wake() was called since the last wait().

        Returns False when `timeout` seconds passed first.
        """
        return self._sleep.acquire(timeout=-1 if timeout is None else timeout)

    def read(self, patterns: Iterable[str], limit: int) -> Batch:
        """The next entries that match, `limit` at most, and what was lost before them. Moves the cursor; does not block.

        A type that is new in `patterns` starts at the cursor. An empty batch means that the cursor is at the end.
        """
        types = expand(patterns)
        if self._everything or types != self._low.keys():
            self.want({kind: self._low.get(kind, self.cursor) for kind in types})
        return self.next(limit)

    def close(self) -> None:
        """Leave the log, and wake whoever waits."""
        self._log.forget(self)
        self.wake()
