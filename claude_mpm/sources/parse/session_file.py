"""sessions/<pid>.json, where 2.1's terminal interface says what it is doing. Pure.

The only record of "idle again" after Esc, and the quickest of "waiting for permission". Undocumented: anything
unexpected is no observation. The `.key` beside it is secret and never opened.
"""

from __future__ import annotations

from typing import Literal

from claude_mpm.sources.parse.json_values import record, seconds, text
from claude_mpm.sources.parse.observations import Busy, Observation, SessionStarted, Who

_STATUSES: dict[str, Literal["busy", "idle", "waiting"]] = {"busy": "busy", "idle": "idle", "waiting": "waiting"}


def parse(content: bytes) -> list[Observation]:
    """The session the process is in, and its status. A half-written file is none."""
    entry = record(content)
    who = Who(text(entry.get("sessionId")))
    if who.session_id is None:
        return []
    at = seconds(entry.get("statusUpdatedAt"))
    found: list[Observation] = [SessionStarted(who, None, None)]
    status = _STATUSES.get(text(entry.get("status")) or "")
    return [*found, Busy(who, at, status)] if status else found
