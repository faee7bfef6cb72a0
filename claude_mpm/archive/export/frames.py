"""A session that is over as frames: its events as a client would have received them. Any thread; blocks on the disk."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from claude_mpm.archive import reader, recording
from claude_mpm.archive.catalog import SessionFile
from claude_mpm.archive.export import exported
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event

Frame = dict[str, Any]  # one event as the protocol sends it (docs/protocol.md)


def of_file(file: SessionFile) -> Iterator[Frame]:
    """The frames of a transcript, a recording or an exported page, in order, as a stream.

    A recording's frames are those that were sent, and its own lines (recording.py). A transcript has no numbers of its own:
    its events are numbered from 1, and its `instance_id` is derived from the session's id.

    Raises:
        UsageError: the file is a page without a session inside.
    """
    if file.kind == "recording":
        return recording.lines(file.path)
    if file.kind == "export":
        return exported.lines(file.path)
    instance_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"claude-mpm:{file.session_id}"))
    return (_frame(event, seq, instance_id, file.session_id) for seq, event in enumerate(reader.events(file), 1))


def _frame(event: Event, seq: int, instance_id: str, session_id: str) -> Frame:
    stamp = ev.rfc3339(time.time() if event.time is None else event.time)
    frame = {"type": event.type, "timestamp": stamp, "seq": seq, "instance_id": instance_id}
    return {**frame, "session_id": event.session_id or session_id, "source": event.source, "data": dict(event.data)}
