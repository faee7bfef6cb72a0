"""Recordings: JSON Lines of the protocol's own events, one file per recorded run.

The recorder appends whole lines; what a crash leaves at the end of the last one is passed over.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import get_args

from claude_mpm.config import Limits
from claude_mpm.feed.event import EVENT_TYPES, Event, Source
from claude_mpm.sources.files.tail import Tail
from claude_mpm.sources.parse.json_values import name, record, seconds

_TYPES = frozenset(EVENT_TYPES)
_SOURCES: dict[str, Source] = {source: source for source in get_args(Source)}


def events(path: Path) -> Generator[Event, None, None]:
    """The events of a recording, as they were recorded. Lines that hold no event are passed over. Blocks on the disk."""
    for lines in Tail(path, Limits().line_bytes).read():
        for line in lines:
            entry = record(line)
            kind, data, source = entry.get("type"), entry.get("data"), _SOURCES.get(str(entry.get("source")))
            if kind in _TYPES and isinstance(data, dict) and source is not None:
                yield Event(str(kind), data, source, seconds(entry.get("timestamp")), name(entry.get("session_id")))
