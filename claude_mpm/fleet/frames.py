"""The frames that a hub, its sources and publishers make themselves; all others are an instance's own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.fleet.source import Frame


def frame(kind: str, data: Mapping[str, Any], **fields: Any) -> Frame:
    """A message without a number. `fields` are further members beside `data`."""
    return {"type": kind, "timestamp": ev.rfc3339(time.time()), "data": dict(data), **fields}


def event_frame(event: Event, **fields: Any) -> Frame:
    """An event that is in no log."""
    return frame(event.type, event.data, source=event.source, **fields)


def error_reply(message: Mapping[str, Any], code: str, sentence: str) -> Frame:
    """The reply to a command that is not carried out."""
    command = message.get("command")
    data = {"code": code, "message": sentence, "command": command if isinstance(command, str) else None}
    return frame("error", data, request_id=message.get("request_id"))
