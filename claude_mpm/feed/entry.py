"""An event with its number, and what a reader of the log is handed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claude_mpm.feed.event import Event
from claude_mpm.system import json_text


@dataclass(slots=True)
class Entry:
    """An event in the log. Shared by all followers and never changed, but for the cache."""

    seq: int
    event: Event
    timestamp: str
    instance_id: str
    session_id: str | None
    frame: bytes | None = None  # the server's: the WebSocket frame, made on first need (racing threads make the same)

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
        """UTF-8 JSON of message(). Made anew each time: only the frame is kept, or memory would hold everything thrice."""
        return json_text.dumps(self.message())


@dataclass(frozen=True, slots=True)
class Gap:
    """What a follower was to get and cannot any more."""

    from_seq: int
    to_seq: int
    counts: dict[str, int]

    def __or__(self, other: Gap) -> Gap:
        """Both as one."""
        kinds = self.counts.keys() | other.counts.keys()
        counts = {kind: self.counts.get(kind, 0) + other.counts.get(kind, 0) for kind in sorted(kinds)}
        return Gap(min(self.from_seq, other.from_seq), max(self.to_seq, other.to_seq), counts)


@dataclass(frozen=True, slots=True)
class Batch:
    entries: list[Entry]
    gap: Gap | None
