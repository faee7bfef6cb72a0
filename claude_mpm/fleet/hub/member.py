"""One instance behind a hub: where it can be reached, how it stands, and up to where its events were relayed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from claude_mpm.feed.entry import Producer
from claude_mpm.feed.event import Event
from claude_mpm.feed.standing import Standing, standing
from claude_mpm.feed.state import State
from claude_mpm.fleet.hub.summary import summary
from claude_mpm.fleet.source import Frame, Source

MAX_NAME = 256  # characters of a machine's name

log = logging.getLogger(__name__)


class Member:
    """Built and changed by the roster, in any thread, with `lock` held where a method says so.

    Attributes:
        lock: keeps the events of this instance in order. The log's lock is taken inside it, never the other way round.
        offers: the sources that have the instance, with its `instance_info` there; the roster's lock guards it.
        seq: the newest of the instance's own numbers that was relayed, or told as lost.
    """

    def __init__(self, instance_id: str, machine: str) -> None:
        self.producer = Producer(instance_id, machine[:MAX_NAME])
        self.lock = threading.Lock()
        self.offers: dict[Source, Mapping[str, Any]] = {}
        self.seq = 0
        self._feeding: Source | None = None  # whose events are relayed
        self._state = State()
        self._told: tuple[Standing, dict[str, Any], int] | None = None  # what summary() returned; None once it is stale

    def way(self, reachable: Mapping[Source, bool]) -> Source | None:
        """The source through which the instance is followed: the first, in the user's order, that can be reached."""
        return next((source for source in self.offers if reachable[source]), None)

    def feeds(self, source: Source, reachable: Mapping[Source, bool]) -> bool:
        """Whether the frames of this source count: the instance is followed through it, or through none."""
        return source in self.offers and self.way(reachable) in (None, source)

    def changes_to(self, source: Source) -> bool:
        """Note whose events come now. Returns whether those before came from elsewhere. With the lock held."""
        assert self.lock.locked()
        before, self._feeding = self._feeding, source
        return before not in (None, source)

    def restore(self, status: Mapping[str, Any]) -> None:
        """The instance says how it stands. With the lock held."""
        assert self.lock.locked()
        self._told = None
        try:
            self._state.restore(status)
        except (KeyError, TypeError, AttributeError) as error:  # not made by a claude-mpm, or by a much newer one
            log.info("%s: the status cannot be used: %s", self.producer.instance_id, error)

    def apply(self, frame: Frame) -> None:
        """Fold in an event. With the lock held."""
        assert self.lock.locked()
        session_id = frame.get("session_id")
        event = Event(
            frame["type"], frame["data"], "monitor", None, session_id if isinstance(session_id, str) else None
        )
        try:
            if self._state.apply(event):
                self._told = None
        except (KeyError, TypeError, AttributeError) as error:
            log.info("%s: an event cannot be used: %s", self.producer.instance_id, error)

    def summary(self) -> tuple[Standing, dict[str, Any], int]:
        """How it stands, in a word and as a short `system.status`, and the bytes of that. Takes the lock."""
        with self.lock:
            if self._told is None:
                snapshot = self._state.snapshot()
                self._told = (standing(snapshot), *summary(snapshot))
            stands, short, size = self._told
            return stands, {**short, "seq": self.seq}, size
