"""What the log stores and what it hands to its readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from claude_mpm.system import json_text


class Producer(NamedTuple):
    """Whose events these are. A hub's log has those of many instances, any other log those of one."""

    instance_id: str
    machine: str = ""  # the name of the host the instance runs on


class Entry(NamedTuple):
    """One event in the log. Immutable, and shared by every reader."""

    seq: int
    type: str
    json: bytes  # the whole message of docs/protocol.md, UTF-8, ready to be sent, written or joined
    producer: Producer

    def message(self) -> dict[str, Any]:
        """Decode the message. Costs as much as parsing its JSON; for readers that need a value from it."""
        decoded: dict[str, Any] = json_text.loads(self.json)
        return decoded


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a reader should have received and that the log no longer holds."""

    from_seq: int  # of the first one
    to_seq: int  # of the last one
    counts: dict[str, int]  # per event type

    def __or__(self, other: Gap) -> Gap:
        """Combine two gaps into one that covers both."""
        types = self.counts.keys() | other.counts.keys()
        counts = {kind: self.counts.get(kind, 0) + other.counts.get(kind, 0) for kind in sorted(types)}
        return Gap(min(self.from_seq, other.from_seq), max(self.to_seq, other.to_seq), counts)


@dataclass(frozen=True, slots=True)
class Batch:
    """The next entries for a reader, and what was lost before them."""

    entries: list[Entry]
    gap: Gap | None
