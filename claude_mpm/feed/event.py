"""What an event is, and one constructor per event type.

Events are made only by these functions, so this module is the one place that has to agree with docs/protocol.md and
docs/asyncapi.yaml. The size of an event is bounded here, by the limits of feed/cutting.py, and `truncated` says that something was
cut. An event has no seq yet; the log assigns it.

Everything here is pure and may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from claude_mpm.feed.cutting import cut, cut_value, fitting

Source = Literal[
    "process", "pty", "hook", "transcript", "todo_file", "session_file", "stream_json", "sampler", "monitor"
]
QuestionState = Literal["asked", "delivered", "applied", "withdrawn"]
QUESTION_OVER: frozenset[QuestionState] = frozenset({"applied", "withdrawn"})
Decision = Literal["allow", "allow_session", "deny"]
GapReason = Literal["slow_client", "expired", "before_start"]
Data = Mapping[str, Any]  # the JSON edge: values are what json.dumps takes

MAX_TASK = 1_000  # characters of a delegation's task, which Claude is asked to say in 3 to 5 words

SESSION_START = "session.start"
SESSION_END = "session.end"
CLAUDE_STATUS = "claude.status"
CLAUDE_QUESTION = "claude.question"
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
    SESSION_START, SESSION_END, CLAUDE_STATUS, CLAUDE_QUESTION, CLAUDE_OUTPUT, CLAUDE_MESSAGE, TOOL_START, TOOL_END,
    AGENT_DELEGATION, AGENT_STATUS, TODO_UPDATE, CLAUDE_USAGE, CLAUDE_SCREEN, SYSTEM_STATUS, SYSTEM_ERROR, SYSTEM_GAP, SYSTEM_CONTROL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Who saw something, when it happened, and in which session.

    Attributes:
        source: who saw it.
        at: when it happened, seconds since the epoch; None means when the event is appended to the log.
        session_id: Claude's session; None means the current one.
    """

    source: Source
    at: float | None = None
    session_id: str | None = None

    @property
    def moment(self) -> float:
        """`at`, for code that only handles origins with a time, as the tracker does."""
        assert self.at is not None
        return self.at


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, before the log has given it a seq.

    Attributes:
        time: when it happened, seconds since the epoch; None means when it is appended.
        session_id: Claude's own session id; None means the current session.
    """

    type: str
    data: Data
    source: Source
    time: float | None = None
    session_id: str | None = None


def rfc3339(seconds: float) -> str:
    """Format seconds since the epoch as every `timestamp` of the protocol: UTC, milliseconds, `Z` (RFC 3339).

    Raises:
        ValueError, OverflowError, OSError: outside the years 1 to 9999.
    """
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(kind: str, data: Data, origin: Origin) -> Event:
    return Event(kind, data, origin.source, origin.at, origin.session_id)


def _known(**values: Any) -> dict[str, Any]:
    """The values that are not None: in the protocol an absent field is unknown, while null is a statement."""
    return {key: value for key, value in values.items() if value is not None}


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
    """Claude is about to be launched, or has begun another session in the same process.

    Args:
        session_id: Claude's own; None when Claude has not said it yet.
        instance_info: as in the greeting; `port`, `host` and `working_dir` at least.
        launch_method: `exec` or `subprocess`.
        start_time: seconds since the epoch; also the event's time.
    """
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
    """A session is over.

    Args:
        end_time: seconds since the epoch; also the event's time.
        exit_code, signal: how the process ended; both None when it goes on (`/clear`) or its end was not seen.
        reason: `exit`, `signal`, `clear`, `resume`, … or a sentence.
    """
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
    origin: Origin,
    pid: int | None = None,
    message: str | None = None,
    activity: Literal["working", "idle", "waiting"] | None = None,
    waiting_for: Data | None = None,
    exit_code: int | None = None,
    signal: str | None = None,
) -> Event:
    """What Claude's process and Claude itself are doing.

    Args:
        pid: Claude's process.
        message: one sentence about the process.
        activity: what Claude is doing while the process runs.
        waiting_for: {`kind`: `permission`, `question` or `input`, `tool`?, `input`?, `message`?}; with `tool` and
            `input`, the call that waits for the user's answer. With `answerable`, whether a client may give that
            answer: if true, the other fields of claude_question() are there too; if false, `reason` says why not.
        exit_code, signal: how the process ended.
    """
    data = {"status": status} | _known(
        pid=pid, message=message, activity=activity, waiting_for=waiting_for, exit_code=exit_code, signal=signal
    )
    return _event(CLAUDE_STATUS, data, origin)


def claude_question(
    request_id: str,
    state: QuestionState,
    *,
    origin: Origin,
    question: Data | None = None,
    tool_use_id: str | None = None,
    decision: Decision | None = None,
    client: str | None = None,
    reason: str | None = None,
) -> Event:
    """A question of Claude's that clients may answer was asked, or something became of it.

    Args:
        state: `asked`, `delivered` (Claude has the answer), `applied` (Claude's own record shows that it acted on it)
            or `withdrawn` (the answer of no client counts any more). The last two end the question.
        question: with `asked`, {`kind`, `tool`, `input`, `decisions`, `grants`?, `agent_id`?, `expires_at`?}. The
            caller bounds the size of `input`, which is never cut: a client must see all of what it allows.
        tool_use_id: the tool call that waits, once known.
        decision, client: the answer and who gave it, once there is one.
        reason: why the question was withdrawn; one sentence.
    """
    data = {"request_id": request_id, "state": state, **(question or {})} | _known(
        tool_use_id=tool_use_id, decision=decision, client=client, reason=reason
    )
    return _event(CLAUDE_QUESTION, data, origin)


def claude_output(
    content: str, offset: int, stream: Literal["stdout", "stderr"] = "stdout", source: Source = "pty"
) -> Event:
    """A piece of Claude's output, escape sequences included. `offset`: bytes of this stream before `content`."""
    return Event(CLAUDE_OUTPUT, {"content": content, "stream": stream, "offset": offset}, source)


# --- what Claude does ------------------------------------------------------------------------------


def claude_message(
    role: Literal["user", "assistant", "system"],
    text: str,
    *,
    origin: Origin,
    model: str | None = None,
    agent_id: str | None = None,
    message_id: str | None = None,
) -> Event:
    """A text of the user's, of Claude's, or (`system`) one that Claude Code puts in the place of an answer.

    Args:
        model: the model that wrote it.
        agent_id: the subagent it belongs to; None in the main conversation.
        message_id: the model API's id; the texts of one answer share it.
    """
    short, was_cut = cut(text)
    data = {"role": role, "text": short} | _known(
        model=model, agent_id=agent_id, message_id=message_id, truncated=was_cut or None
    )
    return _event(CLAUDE_MESSAGE, data, origin)


def tool_start(
    tool_use_id: str | None, tool: str, tool_input: Any, *, origin: Origin, agent_id: str | None = None
) -> Event:
    """A tool call has started. `tool_input`: any JSON value, cut as cut_value() does."""
    short, was_cut = cut_value(tool_input)
    data = {"tool_use_id": tool_use_id, "tool": tool, "input": short} | _known(
        agent_id=agent_id, truncated=was_cut or None
    )
    return _event(TOOL_START, data, origin)


def tool_end(
    tool_use_id: str | None,
    tool: str,
    ok: bool,
    *,
    origin: Origin,
    duration_ms: int | None = None,
    summary: str | None = None,
    agent_id: str | None = None,
) -> Event:
    """A tool call has ended. `summary`: the text of its result, or the reason why it failed."""
    short, was_cut = cut(summary) if summary is not None else (None, False)
    data = {"tool_use_id": tool_use_id, "tool": tool, "ok": ok} | _known(
        duration_ms=duration_ms, summary=short, agent_id=agent_id, truncated=was_cut or None
    )
    return _event(TOOL_END, data, origin)


def agent_delegation(
    agent: str,
    task: str,
    status: Literal["started", "completed", "failed"],
    *,
    origin: Origin,
    agent_id: str | None = None,
    tool_use_id: str | None = None,
    parent_agent_id: str | None = None,
    background: bool | None = None,
    duration_ms: int | None = None,
    tokens: int | None = None,
    tool_uses: int | None = None,
    reason: str | None = None,
) -> Event:
    """A subagent was given a task, or has ended.

    Args:
        agent: the type of agent, such as `general-purpose`.
        task: what it is asked to do, in few words; the event has at most MAX_TASK characters of it.
        agent_id: Claude's id of the agent, once known.
        tool_use_id: the tool call that started it.
        parent_agent_id: the agent that made this call; None for the main conversation.
        background: whether Claude goes on meanwhile; None until Claude says so.
        tokens: as Claude counts them at the agent's end: the size of its last request and answer, no sum over all.
        tool_uses: how many tool calls it made.
        reason: why it failed: `interrupted`, `session_cleared`, `process_ended`, or Claude's own words.
    """
    short, was_cut = cut(task, MAX_TASK)
    data = {"agent": agent, "task": short, "status": status} | _known(
        agent_id=agent_id,
        tool_use_id=tool_use_id,
        parent_agent_id=parent_agent_id,
        background=background,
        duration_ms=duration_ms,
        tokens=tokens,
        tool_uses=tool_uses,
        reason=reason,
        truncated=was_cut or None,
    )
    return _event(AGENT_DELEGATION, data, origin)


def agent_status(active_agents: Sequence[Data], agent_stats: Mapping[str, Data], *, origin: Origin) -> Event:
    """The agents at work, and how each type of agent has done so far.

    Args:
        active_agents: [{`agent_id`, `tool_use_id`, `agent`, `task`, `since`, `background`?, `totals`?}], the oldest
            first. What exceeds MAX_LIST bytes is left out at the end, and `truncated` says so.
        agent_stats: {type of agent: {`tasks`, `completed`, `failed`, `avg_duration_ms`, `totals`?}}. The caller limits
            the number of types.

    `totals` are the tokens of all answers so far: {`input`, `output`, `cache_read`, `cache_creation`}.
    """
    fitted, left_out = fitting(active_agents)
    data = {
        "active_agents": [dict(agent) for agent in fitted],
        "agent_stats": {name: dict(stats) for name, stats in agent_stats.items()},
    }
    return _event(AGENT_STATUS, data | _known(truncated=left_out or None), origin)


def todo_update(todos: Sequence[Data], *, origin: Origin, agent_id: str | None = None) -> Event:
    """The whole todo list of the session, or of the subagent `agent_id`.

    Args:
        todos: [{`id`, `content`, `status`, `active_form`?, `owner`?, `description`?, `truncated`?, …}]. What exceeds
            MAX_LIST bytes is left out at the end. The event's `truncated` says that todos or parts of them are missing;
            `stats` counts all of them.
    """
    by_status = [todo.get("status") for todo in todos]
    stats = {"total": len(todos)} | {name: by_status.count(name) for name in ("completed", "in_progress", "pending")}
    fitted, left_out = fitting(todos)
    truncated = left_out or any("truncated" in todo for todo in fitted)
    data = {"todos": [dict(todo) for todo in fitted], "stats": stats, "session_id": origin.session_id}
    return _event(TODO_UPDATE, data | _known(agent_id=agent_id, truncated=truncated or None), origin)


def claude_usage(
    *,
    origin: Origin,
    model: str | None,
    tokens: Data,
    totals: Data,
    agent_id: str | None = None,
    context_percent: float | None = None,
    cost_usd: float | None = None,
    cost_is_estimate: bool | None = None,
) -> Event:
    """One model answer that was billed, or a cost that Claude reported.

    Args:
        tokens: of this answer: {`input`, `output`, `cache_read`, `cache_creation`}.
        totals: of the session so far, in the same shape. Totals per agent are in `agent.status`.
        agent_id: the subagent that was answered; None for the main conversation.
        context_percent: how full the model's context is, 0 to 100.
        cost_usd: of the session so far.
        cost_is_estimate: False when the cost is Claude's own figure.
    """
    data = {"model": model, "tokens": dict(tokens), "totals": dict(totals)} | _known(
        agent_id=agent_id,
        context_percent=context_percent,
        cost_usd=cost_usd,
        cost_is_estimate=cost_is_estimate,
    )
    return _event(CLAUDE_USAGE, data, origin)


def claude_screen(
    cols: int, rows: int, cursor: Data, lines: Sequence[Any], title: str | None, *, frame: int, base: int
) -> Event:
    """Picture number `frame` of the terminal, as a difference to picture `base` or any later one.

    Args:
        cursor: {`row`, `col`, `visible`}, in cells from 0.
        lines: [[row, [[text, style], …]], …]: the rows that changed after `base`, each one whole; all rows when `base`
            is 0, and then `full` is true. The runs of a row begin at column 0; blank cells at its end are left out.
            `style` is {} or some of {`fg`, `bg` (`#rrggbb` or palette number), `b`, `i`, `u`, `s`, `r`, `d` (true),
            `w`}. A run with `w` is one grapheme in 1 or 2 cells; in a run without it every code point has one cell.
    """
    data = {"cols": cols, "rows": rows, "cursor": dict(cursor), "title": title, "frame": frame, "base": base}
    return Event(CLAUDE_SCREEN, data | {"full": base == 0, "lines": list(lines)}, "pty")


# --- the monitor itself ----------------------------------------------------------------------------


def system_status(status: Data) -> Event:
    """The whole state of the session, as `Session.status()` gives it."""
    return Event(SYSTEM_STATUS, status, "sampler")


def system_error(
    error: str, component: str, *, severity: Literal["warning", "error"] = "error", hint: str | None = None
) -> Event:
    """Something failed, in the monitor or in Claude. `error` and `hint` are each one sentence for the user."""
    data = {"error": error, "component": component, "severity": severity} | _known(hint=hint)
    return Event(SYSTEM_ERROR, data, "monitor")


def system_gap(from_seq: int, to_seq: int, counts: Mapping[str, int], reason: GapReason) -> Event:
    """Events that one client can no longer be sent. It is made for that client alone and has no seq of its own."""
    return Event(
        SYSTEM_GAP, {"from_seq": from_seq, "to_seq": to_seq, "counts": dict(counts), "reason": reason}, "monitor"
    )


def system_control(command: str, client: str, detail: Data | None = None) -> Event:
    """A client used a control command; this is the audit trail."""
    return Event(SYSTEM_CONTROL, {"command": command, "client": client} | _known(detail=detail), "monitor")
