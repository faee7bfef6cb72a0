"""What one entry of a stream holds, and how it is written and read. Pure.

| field | in | what |
|---|---|---|
| i | all | the instance |
| n | all | `seq` of the event; of a gap, its last number |
| p | all | n of the entry that this instance wrote before it, 0 if there is none: so a hole shows, whatever made it |
| e | events | the event's JSON, as the instance's own clients get it |
| g | gaps | `from_seq`, `to_seq` and `counts` of what the instance could not publish, as JSON |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from claude_mpm.feed.entry import Gap
from claude_mpm.system import json_text

MAX_EVENT = 2 * 1024 * 1024  # bytes; the limits of an event's own texts and lists keep it well below
MAX_ID = 64  # characters of an instance's id, as everywhere
MAX_NUMBER = 2**53  # JavaScript counts exactly no further
Argument = str | bytes | int
Command = tuple[Argument, ...]
Fields = Mapping[bytes, bytes]


class BadEntry(Exception):
    """An entry that no claude-mpm wrote. `kind` is a fixed sentence; `number` is there when the entry told it."""

    def __init__(self, kind: str, number: Numbered | None = None) -> None:
        super().__init__(kind)
        self.kind, self.number = kind, number


class Numbered(NamedTuple):
    """Where an entry stands among those of its instance."""

    instance_id: str
    seq: int
    previous: int


def event_command(stream: str, max_entries: int, instance_id: str, seq: int, previous: int, event: bytes) -> Command:
    """The XADD of an event."""
    return _xadd(stream, max_entries, instance_id, seq, previous, "e", event)


def gap_command(stream: str, max_entries: int, instance_id: str, gap: Gap, previous: int) -> Command:
    """The XADD that tells what the instance could not publish, because its log no longer had it."""
    data = json_text.dumps({"from_seq": gap.from_seq, "to_seq": gap.to_seq, "counts": gap.counts})
    return _xadd(stream, max_entries, instance_id, gap.to_seq, previous, "g", data)


def _xadd(
    stream: str, max_entries: int, instance_id: str, seq: int, previous: int, field: str, value: bytes
) -> Command:
    head = ("XADD", stream, "MAXLEN", "~", max_entries, "*")
    return (*head, "i", instance_id, "n", seq, "p", previous, field, value)


def fields_of(flat: Sequence[bytes]) -> Fields:
    """The fields of an entry as Redis returns them: names and values in turns."""
    return dict(zip(flat[::2], flat[1::2], strict=False))


def numbered(fields: Fields) -> Numbered:
    """Read where an entry stands.

    Raises:
        BadEntry: it does not say so.
    """
    try:
        found = Numbered(fields[b"i"].decode("ascii"), int(fields[b"n"]), int(fields[b"p"]))
    except (KeyError, ValueError):
        raise BadEntry("an entry without an instance or a number") from None
    if not found.instance_id or len(found.instance_id) > MAX_ID:
        raise BadEntry("an entry without an instance or a number")
    if not 0 <= found.previous < found.seq <= MAX_NUMBER:
        raise BadEntry("an entry whose numbers do not ascend")
    return found


def event_of(fields: Fields, place: Numbered, types: frozenset[str]) -> dict[str, Any]:
    """The event in an entry, one of `types`.

    Raises:
        BadEntry: it is none, or not of the instance and number that the entry names.
    """
    text = fields[b"e"]
    if len(text) > MAX_EVENT:
        raise BadEntry("an event that is too large", place)
    try:
        frame = json_text.loads(text)
    except ValueError:
        raise BadEntry("an event that is not JSON", place) from None
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), dict):
        raise BadEntry("an event that is not a frame of the protocol", place)
    if frame.get("instance_id") != place.instance_id or frame.get("seq") != place.seq:
        raise BadEntry("an event of another instance or number than its entry", place)
    kind = frame.get("type")
    if not isinstance(kind, str) or kind not in types:
        raise BadEntry("an event of a type that does not belong here", place)
    return frame


def gap_of(fields: Fields, place: Numbered) -> Gap:
    """The gap in an entry.

    Raises:
        BadEntry: it is none.
    """
    try:
        data = json_text.loads(fields[b"g"][:MAX_EVENT])
        first, counts = data["from_seq"], data["counts"]
        if 1 <= first <= place.seq and all(isinstance(n, int) and n > 0 for n in counts.values()):
            return Gap(int(first), place.seq, counts)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise BadEntry("a gap that cannot be read", place)
