"""The shape of every event's `data`, for type checkers: one TypedDict per event type, in EVENT_DATA.

They say what docs/asyncapi.yaml and the tables of docs/protocol.md say, and a test holds the three equal. Where some
fields are optional, the required ones are in a base class of their own, because NotRequired came with Python 3.11. An
absent field is unknown; None says "none". Timestamps are RFC 3339 in UTC with milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from claude_mpm.feed import event as ev

Activity = Literal["working", "idle", "waiting"]
ProcessStatus = Literal["starting", "running", "stopped", "error"]
Role = Literal["user", "assistant", "system"]


# --- parts ------------------------------------------------------------------------------------------


class Tokens(TypedDict, total=False):
    """Counts as the model API bills them."""

    input: int
    output: int
    cache_read: int
    cache_creation: int


class _WaitingFor(TypedDict):
    kind: Literal["permission", "question", "input"]


class WaitingFor(_WaitingFor, total=False):
    """What Claude waits for; with `tool` and `input`, the call that it asks about.

    With `answerable` true, `request_id` names the question for the `answer` command and the remaining fields are those
    of ClaudeQuestion; with false, `reason` says why it can only be answered in the terminal.
    """

    tool: str
    input: Any
    message: str
    answerable: bool
    reason: str
    request_id: str
    decisions: list[ev.Decision]
    grants: list[str]
    agent_id: str
    expires_at: str


class _InstanceInfo(TypedDict):
    port: int
    host: str
    working_dir: str


class InstanceInfo(_InstanceInfo, total=False):
    """One running claude-mpm."""

    name: str | None
    instance_id: str
    pid: int | None
    hostname: str
    user: str | None
    git_branch: str | None
    started_at: str
    claude_mpm_version: str
    claude_version: str | None
    kind: Literal["replay", "overview"]
    capabilities: list[str]


class _Todo(TypedDict):
    id: str
    content: str
    status: Literal["pending", "in_progress", "completed"]


class Todo(_Todo, total=False):
    """One todo. `blocks` and `blocked_by` are ids of others; `truncated`: something of it was cut."""

    active_form: str
    owner: str
    description: str
    blocks: list[str]
    blocked_by: list[str]
    truncated: bool


class TodoStats(TypedDict):
    """How many todos a list has, of any status and of each."""

    total: int
    completed: int
    in_progress: int
    pending: int


class _ActiveAgent(TypedDict):
    agent_id: str | None
    agent: str
    task: str
    since: str


class ActiveAgent(_ActiveAgent, total=False):
    """An agent at work; `totals`: the tokens of its answers so far."""

    tool_use_id: str | None
    background: bool | None
    totals: Tokens


class _AgentCounts(TypedDict):
    tasks: int
    failed: int


class AgentCounts(_AgentCounts, total=False):
    """How the agents of one type have done; `avg_duration_ms` is that of the completed tasks."""

    completed: int
    avg_duration_ms: float | None
    totals: Tokens


# --- events -----------------------------------------------------------------------------------------


class SessionStart(TypedDict):
    """`session.start`."""

    session_id: str | None
    websocket_port: int
    instance_info: InstanceInfo
    start_time: str
    launch_method: Literal["exec", "subprocess", "unknown"]
    reason: Literal["startup", "clear", "resume", "compact", "attach"]


class SessionEnd(TypedDict):
    """`session.end`."""

    session_id: str | None
    end_time: str
    duration_seconds: float
    exit_code: int | None
    signal: str | None
    reason: str


class _ClaudeStatus(TypedDict):
    status: ProcessStatus


class ClaudeStatus(_ClaudeStatus, total=False):
    """`claude.status`."""

    pid: int
    message: str
    activity: Activity
    waiting_for: WaitingFor
    exit_code: int
    signal: str


class _ClaudeQuestion(TypedDict):
    request_id: str
    state: ev.QuestionState


class ClaudeQuestion(_ClaudeQuestion, total=False):
    """`claude.question`. With `asked`, `kind`, `tool`, `input` (whole) and `decisions` are always there.

    `grants` says, one entry a line, what `allow_session` would permit from then on. After `expires_at` the question is
    withdrawn and Claude asks in the terminal; without it the question stays open for as long as the dialog does.
    """

    kind: Literal["permission", "question"]
    tool: str
    input: Any
    decisions: list[ev.Decision]
    grants: list[str]
    agent_id: str
    expires_at: str
    tool_use_id: str
    decision: ev.Decision
    client: str
    reason: str


class ClaudeOutput(TypedDict):
    """`claude.output`. `offset`: bytes of this stream before `content`."""

    content: str
    stream: Literal["stdout", "stderr"]
    offset: int


class _ClaudeMessage(TypedDict):
    role: Role
    text: str


class ClaudeMessage(_ClaudeMessage, total=False):
    """`claude.message`."""

    model: str
    agent_id: str
    message_id: str
    truncated: bool


class _ToolStart(TypedDict):
    tool_use_id: str | None
    tool: str
    input: Any


class ToolStart(_ToolStart, total=False):
    """`tool.start`."""

    agent_id: str
    truncated: bool


class _ToolEnd(TypedDict):
    tool_use_id: str | None
    tool: str
    ok: bool


class ToolEnd(_ToolEnd, total=False):
    """`tool.end`."""

    duration_ms: int
    summary: str
    agent_id: str
    truncated: bool


class _AgentDelegation(TypedDict):
    agent: str
    task: str
    status: Literal["started", "completed", "failed"]


class AgentDelegation(_AgentDelegation, total=False):
    """`agent.delegation`."""

    agent_id: str
    tool_use_id: str
    parent_agent_id: str
    background: bool
    duration_ms: int
    tokens: int
    tool_uses: int
    reason: str
    truncated: bool


class _AgentStatus(TypedDict):
    active_agents: list[ActiveAgent]
    agent_stats: dict[str, AgentCounts]


class AgentStatus(_AgentStatus, total=False):
    """`agent.status`. The keys of `agent_stats` are types of agent."""

    truncated: bool


class _TodoUpdate(TypedDict):
    todos: list[Todo]
    stats: TodoStats
    session_id: str | None


class TodoUpdate(_TodoUpdate, total=False):
    """`todo.update`."""

    agent_id: str
    truncated: bool


class _ClaudeUsage(TypedDict):
    model: str | None
    tokens: Tokens
    totals: Tokens


class ClaudeUsage(_ClaudeUsage, total=False):
    """`claude.usage`."""

    agent_id: str
    context_percent: float
    cost_usd: float
    cost_is_estimate: bool


class ClaudeScreen(TypedDict):
    """`claude.screen`. `cursor`: {`row`, `col`, `visible`}; `lines`: [[row, [[text, style], …]], …]."""

    cols: int
    rows: int
    cursor: dict[str, Any]
    lines: list[Any]
    title: str | None
    frame: int
    base: int
    full: bool


class _SystemStatus(TypedDict):
    session_id: str | None
    session_start: str | None
    claude_status: ProcessStatus
    claude_pid: int | None
    connected_clients: int
    websocket_port: int
    instance_info: InstanceInfo


class SystemStatus(_SystemStatus, total=False):
    """`system.status`, which is also the greeting and the reply to `get_status`."""

    launch_method: Literal["exec", "subprocess", "unknown"]
    activity: Activity | None
    waiting_for: WaitingFor | None
    questions: list[ClaudeQuestion]
    ended: dict[str, Any] | None
    seq: int
    oldest_seq: int | None
    uptime_seconds: float
    process: dict[str, Any] | None
    monitor: dict[str, Any] | None
    agents: AgentStatus
    todos: dict[str, Any]
    usage: dict[str, Any] | None
    last_message: dict[str, str] | None


class _SystemError(TypedDict):
    error: str
    component: str
    severity: Literal["warning", "error"]


class SystemError(_SystemError, total=False):
    """`system.error`."""

    hint: str


class SystemGap(TypedDict):
    """`system.gap`."""

    from_seq: int
    to_seq: int
    counts: dict[str, int]
    reason: Literal["slow_client", "expired", "before_start"]


class _SystemControl(TypedDict):
    command: Literal["send_input", "interrupt", "stop", "resize", "answer", "send_prompt"]
    client: str


class SystemControl(_SystemControl, total=False):
    """`system.control`."""

    detail: dict[str, Any]


EVENT_DATA: Mapping[str, type] = {
    ev.SESSION_START: SessionStart,
    ev.SESSION_END: SessionEnd,
    ev.CLAUDE_STATUS: ClaudeStatus,
    ev.CLAUDE_QUESTION: ClaudeQuestion,
    ev.CLAUDE_OUTPUT: ClaudeOutput,
    ev.CLAUDE_MESSAGE: ClaudeMessage,
    ev.TOOL_START: ToolStart,
    ev.TOOL_END: ToolEnd,
    ev.AGENT_DELEGATION: AgentDelegation,
    ev.AGENT_STATUS: AgentStatus,
    ev.TODO_UPDATE: TodoUpdate,
    ev.CLAUDE_USAGE: ClaudeUsage,
    ev.CLAUDE_SCREEN: ClaudeScreen,
    ev.SYSTEM_STATUS: SystemStatus,
    ev.SYSTEM_ERROR: SystemError,
    ev.SYSTEM_GAP: SystemGap,
    ev.SYSTEM_CONTROL: SystemControl,
}
