"""sessions/<pid>.json, in which 2.1 in a terminal says which session it is in and what it is doing. Pure; any thread.

It is the only record of "idle again" after Esc, and the quickest of "waiting for permission". Claude Code rewrites it in
place, so it may be half written. It is undocumented; what is unexpected in it is ignored. The `.key` file beside it is
secret and never opened. Shape (seen in 2.1.330): {`pid`, `sessionId`, `cwd`, `status`: `busy`, `idle` or `waiting`,
`statusUpdatedAt`: milliseconds since the epoch, …}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from claude_mpm.sources.parse.json_values import name, record, seconds, text
from claude_mpm.sources.parse.observations import Busy, Observation, SessionStarted, Who

_STATUSES: Mapping[str, Literal["busy", "idle", "waiting"]] = {"busy": "busy", "idle": "idle", "waiting": "waiting"}


def parse(content: bytes) -> list[Observation]:
    """The session that the process is in, and its status; nothing for a half-written file."""
    entry = record(content)
    who = Who(name(entry.get("sessionId")))
    if who.session_id is None:
        return []
    at = seconds(entry.get("statusUpdatedAt"))
    started = SessionStarted(who, None, None)
    status = _STATUSES.get(text(entry.get("status")) or "")
    return [started, Busy(who, at, status)] if status else [started]
