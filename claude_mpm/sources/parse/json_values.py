"""Readers for JSON that somebody else wrote: each returns the type it promises, or says that the value is not that.

None of them raises, whatever the value: Claude Code's records are undocumented and change between versions. Pure; any
thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from claude_mpm.system.json_text import loads

NOTHING: Mapping[str, Any] = {}
MAX_NAME = 500  # characters of an id, a tool's or a model's name; Claude's have less than 100
END_OF_TIME = 250_000_000_000.0  # seconds; datetime, which formats every timestamp, ends with the year 9999


def record(line: bytes | str) -> Mapping[str, Any]:
    """The JSON object of one line; an empty one when the line is anything else."""
    try:
        return mapping(loads(line))
    except ValueError:  # json's errors and UnicodeDecodeError are ValueErrors
        return NOTHING


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; an empty one for any other value."""
    return value if isinstance(value, dict) else NOTHING


def sequence(value: Any) -> Sequence[Any]:
    """An array; an empty one for any other value."""
    return value if isinstance(value, list) else ()


def text(value: Any) -> str | None:
    """A string that is not empty."""
    return value if isinstance(value, str) and value else None


def name(value: Any) -> str | None:
    """An id or a name: a string of 1 to MAX_NAME characters, so that whoever remembers it need not measure it."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME else None


def whole(value: Any) -> int | None:
    """A count: a number from 0 up to 2**63 - 1, without its fraction."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 2**63 else None


def amount(value: Any) -> float | None:
    """A finite number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) and number >= 0 else None


def boolean(value: Any) -> bool | None:
    """true or false, and no number that could pass for one."""
    return value if isinstance(value, bool) else None


def seconds(value: Any) -> float | None:
    """Seconds since the epoch, from RFC 3339 text (UTC where no zone is given) or from a number of milliseconds.

    None before 1970 and at the end of time.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            at = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
            return at if 0 <= at < END_OF_TIME else None
    except (ValueError, OverflowError):
        return None
    milliseconds = whole(value)
    return milliseconds / 1000 if milliseconds is not None and milliseconds / 1000 < END_OF_TIME else None


def plain(content: Any) -> str:
    """The text of a message's or a tool result's content: a string, or the text blocks of an array, one per line."""
    if isinstance(content, str):
        return content
    parts = [text(mapping(block).get("text")) for block in sequence(content) if mapping(block).get("type") == "text"]
    return "\n".join(part for part in parts if part)
