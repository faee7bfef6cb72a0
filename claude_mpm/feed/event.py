"""The one vocabulary: what an event is, and a constructor for every kind.

Parsers and watchers make events only through these functions, so the shapes promised in
docs/protocol.md and docs/asyncapi.yaml live in one place. An event has no number yet: the log
numbers and stamps it (see log.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

Source = Literal[
    "process", "pty", "hook", "transcript", "todo_file", "session_file", "stream_json", "sampler", "monitor"
]
Data = Mapping[str, Any]  # the JSON edge: values are what json.dumps takes

MAX_TEXT = 16 * 1024  # characters of one text or tool value kept in an event; more is cut, `truncated` says so

SESSION_START = "session.start"
SESSION_END = "session.end"
CLAUDE_STATUS = "claude.status"
CLAUDE_OUTPUT = "claude.output"
CLAUDE_MESSAGE = "claude.message"
TOOL_START = "tool.start"
TOOL_END = "tool.end"
AGENT_DELEGATION = "agent.delegation"
AGENT_STATUS = "agent.status"
TODO_UPDATE = "todo.update"
CLAUDE_USAGE = "claude.usage"
CLAUDE_SCREEN = "claude.screen"
SYSTEM_STATUS = "system.status"
SYSTEM_ERROR = "system.error"
SYSTEM_GAP = "system.gap"
SYSTEM_CONTROL = "system.control"

EVENT_TYPES = (
    SESSION_START, SESSION_END, CLAUDE_STATUS, CLAUDE_OUTPUT, CLAUDE_MESSAGE, TOOL_START, TOOL_END, AGENT_DELEGATION,
    AGENT_STATUS, TODO_UPDATE, CLAUDE_USAGE, CLAUDE_SCREEN, SYSTEM_STATUS, SYSTEM_ERROR, SYSTEM_GAP, SYSTEM_CONTROL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, before it has a number.

    `time` is seconds since the epoch when it happened, None for "when it is appended".
    `session_id` is Claude's own session id when the source knows it, None for the current one.
    """

    type: str
    data: Data
    source: Source
    time: float | None = None
    session_id: str | None = None


def rfc3339(seconds: float) -> str:
    """UTC with milliseconds and `Z`, as every `timestamp` of the protocol."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _some(**values: Any) -> dict[str, Any]:
    """The values that are not None: absent means unknown in the protocol, null is a statement."""
    return {key: value for key, value in values.items() if value is not None}


def cut(text: str, limit: int = MAX_TEXT) -> tuple[str, bool]:
    """`text` no longer than `limit` characters, and whether anything was cut."""
    return (text, False) if len(text) <= limit else (text[:limit], True)


def cut_value(value: Any, limit: int = MAX_TEXT) -> tuple[Any, bool]:
    """A JSON value whose strings share a budget of `limit` characters, and whether anything was cut."""
    left = limit
    was_cut = False

    def walk(item: Any, depth: int) -> Any:
        nonlocal left, was_cut
        if isinstance(item, str):
            kept, over = cut(item, max(left, 0))
            left -= len(kept)
            was_cut |= over
            return kept
        if isinstance(item, (dict, list)) and (depth > 20 or left <= 0):
            was_cut = True
            return None
        left -= 1
        if isinstance(item, dict):
            return {cut(str(key), 200)[0]: walk(inner, depth + 1) for key, inner in list(item.items())[:500]}
        if isinstance(item, list):
            was_cut |= len(item) > 500
            return [walk(inner, depth + 1) for inner in item[:500]]
        return item

    return walk(value, 0), was_cut


# --- session and process ---------------------------------------------------------------------------


def session_start(
    session_id: str | None,
    instance_info: Data,
    launch_method: str,
    start_time: float,
    *,
    reason: Literal["startup", "clear", "resume", "compact", "attach"] = "startup",
    source: Source = "process",
) -> Event:
    data = {
        "session_id": session_id,
        "websocket_port": instance_info["port"],
        "instance_info": dict(instance_info),
        "start_time": rfc3339(start_time),
        "launch_method": launch_method,
        "reason": reason,
    }
    return Event(SESSION_START, data, source, start_time, session_id)


def session_end(
    session_id: str | None,
    end_time: float,
    duration_seconds: float,
    *,
    exit_code: int | None,
    signal: str | None,
    reason: str,
    source: Source = "process",
) -> Event:
    data = {
        "session_id": session_id,
        "end_time": rfc3339(end_time),
        "duration_seconds": round(max(duration_seconds, 0.0), 3),
        "exit_code": exit_code,
        "signal": signal,
        "reason": reason,
    }
    return Event(SESSION_END, data, source, end_time, session_id)


def claude_status(
    status: Literal["starting", "running", "stopped", "error"],
    *,
    source: Source,
    pid: int | None = None,
    message: str | None = None,
    activity: Literal["working", "idle", "waiting"] | None = None,
    waiting_for: Data | None = None,
    exit_code: int | None = None,
    signal: str | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    """`waiting_for`: {`kind`: `permission`|`question`|`input`, `tool`?, `input`?, `message`?}."""
    data = {"status": status} | _some(
        pid=pid, message=message, activity=activity, waiting_for=waiting_for, exit_code=exit_code, signal=signal
    )
    return Event(CLAUDE_STATUS, data, source, time, session_id)


def claude_output(
    content: str, offset: int, stream: Literal["stdout", "stderr"] = "stdout", source: Source = "pty"
) -> Event:
    """`offset` is the number of bytes of this stream before `content`."""
    return Event(CLAUDE_OUTPUT, {"content": content, "stream": stream, "offset": offset}, source)


# --- what Claude does ------------------------------------------------------------------------------


def claude_message(
    role: Literal["user", "assistant", "system"],
    text: str,
    *,
    source: Source,
    model: str | None = None,
    agent_id: str | None = None,
    message_id: str | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    kept, was_cut = cut(text)
    data = {"role": role, "text": kept} | _some(
        model=model, agent_id=agent_id, message_id=message_id, truncated=was_cut or None
    )
    return Event(CLAUDE_MESSAGE, data, source, time, session_id)


def tool_start(
    tool_use_id: str | None,
    tool: str,
    tool_input: Any,
    *,
    source: Source,
    agent_id: str | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    kept, was_cut = cut_value(tool_input)
    data = {"tool_use_id": tool_use_id, "tool": tool, "input": kept} | _some(
        agent_id=agent_id, truncated=was_cut or None
    )
    return Event(TOOL_START, data, source, time, session_id)


def tool_end(
    tool_use_id: str | None,
    tool: str,
    ok: bool,
    *,
    source: Source,
    duration_ms: int | None = None,
    summary: str | None = None,
    agent_id: str | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    kept, was_cut = cut(summary) if summary is not None else (None, False)
    data = {"tool_use_id": tool_use_id, "tool": tool, "ok": ok} | _some(
        duration_ms=duration_ms, summary=kept, agent_id=agent_id, truncated=was_cut or None
    )
    return Event(TOOL_END, data, source, time, session_id)


def agent_delegation(
    agent: str,
    task: str,
    status: Literal["started", "completed", "failed"],
    *,
    source: Source,
    agent_id: str | None = None,
    tool_use_id: str | None = None,
    parent_agent_id: str | None = None,
    background: bool | None = None,
    duration_ms: int | None = None,
    tokens: int | None = None,
    tool_uses: int | None = None,
    reason: str | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    """`reason` says why a delegation failed (`interrupted`, `session_cleared`, `process_ended`, or Claude's own text)."""
    data = {"agent": agent, "task": cut(task)[0], "status": status} | _some(
        agent_id=agent_id,
        tool_use_id=tool_use_id,
        parent_agent_id=parent_agent_id,
        background=background,
        duration_ms=duration_ms,
        tokens=tokens,
        tool_uses=tool_uses,
        reason=reason,
    )
    return Event(AGENT_DELEGATION, data, source, time, session_id)


def agent_status(
    active_agents: Sequence[Data],
    agent_stats: Mapping[str, Data],
    *,
    source: Source,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    """`active_agents`: [{`agent_id`, `agent`, `task`, `since`}]; `agent_stats`: {agent: {`tasks`, `failed`, `avg_duration_ms`}}."""
    data = {
        "active_agents": [dict(a) for a in active_agents],
        "agent_stats": {k: dict(v) for k, v in agent_stats.items()},
    }
    return Event(AGENT_STATUS, data, source, time, session_id)


def todo_update(
    todos: Sequence[Data],
    *,
    source: Source,
    agent_id: str | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    """`todos`: the whole list, [{`id`, `content`, `status`, `active_form`?, …}]."""
    by_status = [todo.get("status") for todo in todos]
    stats = {"total": len(todos)} | {s: by_status.count(s) for s in ("completed", "in_progress", "pending")}
    data = {"todos": [dict(t) for t in todos], "stats": stats, "session_id": session_id} | _some(agent_id=agent_id)
    return Event(TODO_UPDATE, data, source, time, session_id)


def claude_usage(
    *,
    source: Source,
    model: str | None,
    tokens: Data,
    totals: Data,
    agent_id: str | None = None,
    agents: Mapping[str, Data] | None = None,
    context_percent: float | None = None,
    cost_usd: float | None = None,
    cost_is_estimate: bool | None = None,
    time: float | None = None,
    session_id: str | None = None,
) -> Event:
    """One billed model answer.

    `tokens` (this answer) and `totals` (the session): {`input`, `output`, `cache_read`, `cache_creation`}.
    `agents`: totals per agent id.
    """
    data = {"model": model, "tokens": dict(tokens), "totals": dict(totals)} | _some(
        agent_id=agent_id,
        agents={k: dict(v) for k, v in agents.items()} if agents else None,
        context_percent=context_percent,
        cost_usd=cost_usd,
        cost_is_estimate=cost_is_estimate,
    )
    return Event(CLAUDE_USAGE, data, source, time, session_id)


def claude_screen(
    cols: int, rows: int, cursor: Data, lines: Sequence[Any], title: str | None, *, frame: int, base: int
) -> Event:
    """What the terminal shows: picture number `frame`, told to who has picture `base` or a later one.

    `cursor`: {`row`, `col`, `visible`}. `lines`: [[row, [[text, style], …]], …], the rows that changed after `base`; all
    rows when it is 0 (then `full` is true). The runs of a row begin at column 0; blank cells at its end are left out.
    `style` is {} or some of {`fg`, `bg` (`#rrggbb` or palette number), `b`, `i`, `u`, `s`, `r`, `d` (true), `w`}. A run
    with `w` is one grapheme in 1 or 2 cells; in a run without it every code point has one cell.
    """
    data = {"cols": cols, "rows": rows, "cursor": dict(cursor), "title": title, "frame": frame, "base": base}
    return Event(CLAUDE_SCREEN, data | {"full": base == 0, "lines": list(lines)}, "pty")


# --- the monitor itself ----------------------------------------------------------------------------


def system_status(status: Data) -> Event:
    """`status`: as session.Session.status() puts it together."""
    return Event(SYSTEM_STATUS, status, "sampler")


def system_error(
    error: str, component: str, *, severity: Literal["warning", "error"] = "error", hint: str | None = None
) -> Event:
    data = {"error": error, "component": component, "severity": severity} | _some(hint=hint)
    return Event(SYSTEM_ERROR, data, "monitor")


def system_gap(
    from_seq: int, to_seq: int, counts: Mapping[str, int], reason: Literal["slow_client", "expired"]
) -> Event:
    """What one client was to get and cannot: made for that client alone, so it has no number of its own."""
    return Event(
        SYSTEM_GAP, {"from_seq": from_seq, "to_seq": to_seq, "counts": dict(counts), "reason": reason}, "monitor"
    )


def system_control(command: str, client: str, detail: Data | None = None) -> Event:
    """The audit trail: a client used a control command."""
    return Event(SYSTEM_CONTROL, {"command": command, "client": client} | _some(detail=detail), "monitor")
