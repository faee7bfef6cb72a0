"""Values out of JSON somebody else wrote: the right type or None, never an exception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from claude_mpm.system.json_text import loads

NOTHING: Mapping[str, Any] = {}


def record(line: bytes | str) -> Mapping[str, Any]:
    """A line's JSON object; an empty one when the line is anything else."""
    try:
        return mapping(loads(line))
    except ValueError:  # json's and Unicode's errors are ValueErrors
        return NOTHING


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else NOTHING


def sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def text(value: Any) -> str | None:
    """A string that says something."""
    return value if isinstance(value, str) and value else None


def whole(value: Any) -> int | None:
    """A count: an int (or a float that is one) of zero or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 2**63 else None


def seconds(value: Any) -> float | None:
    """Seconds since the epoch, from RFC 3339 text or from milliseconds."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
    milliseconds = whole(value)
    # datetime, which every event's timestamp becomes, ends with the year 9999
    return milliseconds / 1000 if milliseconds is not None and milliseconds < 250_000_000_000_000 else None


def plain(content: Any) -> str:
    """The text of a message's or tool result's content: a string, or the text blocks of a list."""
    if isinstance(content, str):
        return content
    parts = [text(mapping(block).get("text")) for block in sequence(content) if mapping(block).get("type") == "text"]
    return "\n".join(part for part in parts if part)
