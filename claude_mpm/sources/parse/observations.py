"""What the sources saw, in one vocabulary: parsers make observations, the tracker joins them into events.

An observation says what one source saw, not what is true: the same fact is usually observed two to five times.
`at` is when it happened (seconds since the epoch), as the source recorded it; None when the source does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Who:
    """In whose work something was seen.

    Attributes:
        session_id: Claude's session, when the record says it.
        agent_id: Claude's id of the subagent; None in the main conversation and wherever the record does not say.
        delegated_by: tool_use_id of the delegation it is part of (stream-json).
        chain: (parent's uuid, own uuid) of a sidechain line of 1.x, which says no more about its agent.
        unsure: the record may be of any subagent (1.x hooks).
    """

    session_id: str | None = None
    agent_id: str | None = None
    delegated_by: str | None = None
    chain: tuple[str | None, str] | None = None
    unsure: bool = False

    @property
    def is_main(self) -> bool:
        return not (self.agent_id or self.delegated_by or self.chain)


@dataclass(frozen=True, slots=True)
class Observation:
    who: Who
    at: float | None


@dataclass(frozen=True, slots=True)
class Prompt(Observation):
    """The user said something."""

    text: str


@dataclass(frozen=True, slots=True)
class Said(Observation):
    """A text of Claude's."""

    text: str
    message_id: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class ToolStarted(Observation):
    """`tool_use_id` is None in the hooks of 1.x."""

    tool_use_id: str | None
    tool: str
    input: Any


@dataclass(frozen=True, slots=True)
class ToolEnded(Observation):
    """`tool` and `input` are None where the record has only the id. `result`: Claude's structured result."""

    tool_use_id: str | None
    tool: str | None
    input: Any
    ok: bool
    summary: str | None
    result: Mapping[str, Any]
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AgentSeen(Observation):
    """A subagent is there (`who`), and what is known of it: enough to find its delegation."""

    tool_use_id: str | None = None
    prompt: str | None = None
    background: bool | None = None


@dataclass(frozen=True, slots=True)
class AgentEnded(Observation):
    """A subagent's own end. `ok` None: the source does not say."""

    tool_use_id: str | None = None
    ok: bool | None = None
    reason: str | None = None
    duration_ms: int | None = None
    tokens: int | None = None
    tool_uses: int | None = None


@dataclass(frozen=True, slots=True)
class TodoFile(Observation):
    """The whole list as a todo or task file has it, in the shape of `todo.update`."""

    todos: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Used(Observation):
    """Tokens of one model answer, so far; `final` when the record says that the answer is complete."""

    message_id: str
    model: str | None
    input: int
    output: int
    cache_read: int
    cache_creation: int
    final: bool


@dataclass(frozen=True, slots=True)
class Cost(Observation):
    """What Claude says the session has cost."""

    usd: float


@dataclass(frozen=True, slots=True)
class Interrupted(Observation):
    """The user stopped the main conversation's turn."""


@dataclass(frozen=True, slots=True)
class SessionStarted(Observation):
    """Claude works in the session of `who` now."""

    reason: Literal["startup", "clear", "resume", "compact"] | None


@dataclass(frozen=True, slots=True)
class SessionEnded(Observation):
    reason: str


@dataclass(frozen=True, slots=True)
class TurnEnded(Observation):
    """Claude has answered. `background_agents`: how many go on; None where the record does not say."""

    background_agents: int | None


@dataclass(frozen=True, slots=True)
class Notified(Observation):
    """Claude wants the user: for a permission, for an answer, or just for the next prompt."""

    kind: Literal["permission", "question", "input"]
    message: str


@dataclass(frozen=True, slots=True)
class Busy(Observation):
    """What Claude says of itself (sessions/<pid>.json)."""

    status: Literal["busy", "idle", "waiting"]


@dataclass(frozen=True, slots=True)
class ApiFailed(Observation):
    """The model could not be asked. `final`: Claude gave up; otherwise it tries again."""

    text: str
    message_id: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class ProcessStarted(Observation):
    """`at` is when: what a transcript says of earlier times is history."""

    pid: int | None


@dataclass(frozen=True, slots=True)
class ProcessEnded(Observation):
    exit_code: int | None
    signal: str | None
