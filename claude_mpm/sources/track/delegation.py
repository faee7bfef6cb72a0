"""One piece of work given to a subagent, and the count of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claude_mpm.feed.event import Source
from claude_mpm.sources.parse.observations import AgentEnded
from claude_mpm.sources.track.tool_calls import Call


@dataclass(eq=False, slots=True)
class Delegation:
    call: Call
    agent: str
    task: str
    prompt: str | None
    session_id: str | None
    started: float
    background: bool | None
    agent_id: str | None = None
    chained: bool = False  # 1.x: its sidechain has been found
    stopped: AgentEnded | None = None  # the agent has ended; its result is awaited, or its numbers
    stopped_at: float = 0.0
    stopped_by: Source = "monitor"  # who saw that
    ended: bool = False
    tool_uses: int = 0
    tokens: int | None = None

    @property
    def public_id(self) -> str:
        """What `agent_id` is in events: Claude's id of the agent, else the delegation's own."""
        return self.agent_id or self.call.name


class Statistics:
    """Per type of agent: how many tasks, and how they went."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}

    def started(self, agent: str) -> None:
        self._of(agent)["tasks"] += 1

    def ended(self, agent: str, ok: bool, duration_ms: int) -> None:
        count = self._of(agent)
        count["completed" if ok else "failed"] += 1
        count["duration_ms"] += duration_ms if ok else 0

    def told(self) -> dict[str, dict[str, Any]]:
        return {
            agent: {name: count[name] for name in ("tasks", "completed", "failed")}
            | {"avg_duration_ms": count["duration_ms"] // count["completed"] if count["completed"] else None}
            for agent, count in self._counts.items()
        }

    def _of(self, agent: str) -> dict[str, int]:
        return self._counts.setdefault(agent, dict.fromkeys(("tasks", "completed", "failed", "duration_ms"), 0))
