"""What the sources saw, in one vocabulary: parsers make observations, and the tracker joins them into events.

An observation says what one source saw, not what is true: most facts are observed two to five times. Ids and names are
at most json_values.MAX_NAME characters long; texts, inputs and results are as long as their record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from claude_mpm.feed.event import Decision
from claude_mpm.sources.parse.todos import Todo

MAX_REASON = 500  # characters of the reason why an agent failed


@dataclass(frozen=True, slots=True)
class Who:
    """The conversation in which something was seen.

    Attributes:
        session_id: Claude's session; None when the record does not say.
        agent_id: Claude's id of the subagent; None in the main conversation and when the record does not say.
        delegated_by: the tool_use_id of the delegation it is part of (stream-json).
        chain: (uuid of the parent line, own uuid) of a sidechain line of 1.x, which says nothing else about its agent.
        unsure: the record may belong to any subagent (hooks of 1.x).
    """

    session_id: str | None = None
    agent_id: str | None = None
    delegated_by: str | None = None
    chain: tuple[str | None, str] | None = None
    unsure: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this is the main conversation, as far as the record says."""
        return not (self.agent_id or self.delegated_by or self.chain)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one source saw.

    Attributes:
        at: when it happened, in seconds since the epoch, as the source recorded it; None when the source does not say.
    """

    who: Who
    at: float | None


@dataclass(frozen=True, slots=True)
class Prompt(Observation):
    """The user entered a prompt."""

    text: str


@dataclass(frozen=True, slots=True)
class Said(Observation):
    """Claude, or one of its agents, wrote a text."""

    text: str
    message_id: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class ToolStarted(Observation):
    """A tool call has started. `tool_use_id` is None in the hooks of 1.x; `input` is any JSON value."""

    tool_use_id: str | None
    tool: str
    input: Any


@dataclass(frozen=True, slots=True)
class ToolEnded(Observation):
    """A tool call has ended.

    Attributes:
        tool, input: None when the record only has the id.
        summary: the text of the result.
        result: Claude Code's structured result; empty when there is none.
        duration_ms: as Claude Code measured it; None when it does not say.
    """

    tool_use_id: str | None
    tool: str | None
    input: Any
    ok: bool
    summary: str | None
    result: Mapping[str, Any]
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AgentSeen(Observation):
    """A subagent (`who`) exists. The rest helps to find its delegation: the call, or else the prompt it was given."""

    tool_use_id: str | None = None
    prompt: str | None = None
    background: bool | None = None


@dataclass(frozen=True, slots=True)
class AgentEnded(Observation):
    """A subagent has ended. `ok` is None when the source does not say; `reason` has at most MAX_REASON characters."""

    tool_use_id: str | None = None
    ok: bool | None = None
    reason: str | None = None
    duration_ms: int | None = None
    tokens: int | None = None
    tool_uses: int | None = None


@dataclass(frozen=True, slots=True)
class TodoFile(Observation):
    """The whole list, as a todo file or all task files together have it."""

    todos: tuple[Todo, ...]


@dataclass(frozen=True, slots=True)
class Used(Observation):
    """The tokens of one model answer so far. `final`: the record says that the answer is complete."""

    message_id: str
    model: str | None
    input: int
    output: int
    cache_read: int
    cache_creation: int
    final: bool


@dataclass(frozen=True, slots=True)
class Cost(Observation):
    """What the session has cost so far, in US dollars, as Claude Code reports it."""

    usd: float


@dataclass(frozen=True, slots=True)
class ContextWindow(Observation):
    """How many tokens the context of a model holds, as Claude Code reports it."""

    model: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Interrupted(Observation):
    """The user has stopped the turn of the main conversation."""


@dataclass(frozen=True, slots=True)
class SessionStarted(Observation):
    """Claude now works in the session of `who`. `reason` is None when the source does not know it."""

    reason: Literal["startup", "clear", "resume", "compact"] | None


@dataclass(frozen=True, slots=True)
class SessionEnded(Observation):
    """A session has ended; the process may go on with another. `reason`: `clear`, `prompt_input_exit`, `other`, …"""

    reason: str


@dataclass(frozen=True, slots=True)
class TurnEnded(Observation):
    """Claude has finished its answer. `background_agents`: how many are still running; None when not known."""

    background_agents: int | None


@dataclass(frozen=True, slots=True)
class Notified(Observation):
    """Claude wants the user's attention: for a permission, for an answer, or only for the next prompt.

    `asks_hooks`: Claude asks its hooks at the same time, one of which may let clients answer (Asked).
    """

    kind: Literal["permission", "question", "input"]
    message: str
    asks_hooks: bool = False


@dataclass(frozen=True, slots=True)
class Asked(Observation):
    """A hook of Claude's waits for a client's answer.

    Attributes:
        request_id: our own name of the question.
        question: the fields of `claude.question` that describe it: `kind`, `tool`, `input`, `decisions`, …
    """

    request_id: str
    question: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerDelivered(Observation):
    """Claude's hook has printed a client's answer."""

    request_id: str
    decision: Decision
    client: str


@dataclass(frozen=True, slots=True)
class HookEnded(Observation):
    """Claude's hook waits no longer, without an answer. `request_id` is None when the question was never opened."""

    request_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Busy(Observation):
    """What Claude says about itself in sessions/<pid>.json."""

    status: Literal["busy", "idle", "waiting"]


@dataclass(frozen=True, slots=True)
class ApiFailed(Observation):
    """The model could not be reached. `final`: Claude Code has given up; otherwise it tries again."""

    text: str
    message_id: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class ProcessStarted(Observation):
    """Claude's process has started. What a transcript says about the time before `at` is history."""

    pid: int | None


@dataclass(frozen=True, slots=True)
class ProcessEnded(Observation):
    """Claude's process has ended."""

    exit_code: int | None
    signal: str | None
