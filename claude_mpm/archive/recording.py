"""Recordings: JSON Lines of the protocol's own events, one file per recorded run.

Each line is one object. Most are events exactly as the protocol sends them. Where the log dropped events before they were
written, a `system.gap` without a seq says which. Three kinds are the recording's own:

- `recording.start` {`version`: 1, `claude_mpm_version`}: the first line;
- `recording.size` {`rows`, `cols`}: Claude's terminal has this size for the output that follows;
- `recording.end` {`reason`: `ended` or `full`}: the last line. It is missing where the monitor was killed, or the disk
  was full.

The recorder appends whole lines; what a crash leaves of a torn one is passed over. Any thread; reading blocks on the disk.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, get_args

from claude_mpm.config import Limits
from claude_mpm.feed.event import EVENT_TYPES, Event, Source
from claude_mpm.sources.files.tail import Tail
from claude_mpm.sources.parse.json_values import name, record, seconds

START, SIZE, END = "recording.start", "recording.size", "recording.end"

_TYPES = frozenset(EVENT_TYPES)
_SOURCES: dict[str, Source] = {source: source for source in get_args(Source)}


def of_session(directory: Path, session_id: str) -> Path | None:
    """The newest recording of the session; None if there is none. Names begin with the time: 20261124T214036Z-ID.jsonl."""
    try:
        found = [path for path in directory.iterdir() if path.stem.partition("-")[2] == session_id]
    except OSError:
        return None
    return max((path for path in found if path.suffix == ".jsonl"), default=None)


def lines(path: Path) -> Generator[dict[str, Any], None, None]:
    """Every line of a recording that is an object with a type, a timestamp and data; anything else is passed over."""
    for batch in Tail(path, Limits().line_bytes).read():
        for line in batch:
            entry = record(line)
            is_named = isinstance(entry.get("type"), str) and isinstance(entry.get("data"), dict)
            if is_named and seconds(entry.get("timestamp")) is not None:
                yield dict(entry)


def events(path: Path) -> Generator[Event, None, None]:
    """The events of a recording, as they were recorded. Lines that hold no event are passed over."""
    for entry in lines(path):
        kind, source = entry["type"], _SOURCES.get(str(entry.get("source")))
        if kind in _TYPES and source is not None:
            yield Event(kind, entry["data"], source, seconds(entry["timestamp"]), name(entry.get("session_id")))
