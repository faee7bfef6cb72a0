"""How each type of subagent has done: tasks, their ends, their time and their tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from claude_mpm.sources.track.usage import Tokens

MAX_TYPES = 100  # every `agent.status` lists all types; types beyond these are not counted


@dataclass(slots=True)
class _Count:
    tasks: int = 0
    completed: int = 0
    failed: int = 0
    duration_ms: int = 0  # of the completed tasks
    tokens: Tokens = field(default_factory=Tokens)


class AgentStats:
    """Counts per type of agent."""

    def __init__(self) -> None:
        self._by_type: dict[str, _Count] = {}

    def started(self, agent: str) -> None:
        """An agent of this type was given a task."""
        if agent in self._by_type or len(self._by_type) < MAX_TYPES:
            self._by_type.setdefault(agent, _Count()).tasks += 1

    def ended(self, agent: str, ok: bool, duration_ms: int) -> None:
        """An agent of this type has ended, after so many milliseconds."""
        count = self._by_type.get(agent, _Count())
        if ok:
            count.completed += 1
            count.duration_ms += duration_ms
        else:
            count.failed += 1

    def used(self, agent: str, tokens: Tokens) -> None:
        """An agent of this type was answered."""
        count = self._by_type.get(agent, _Count())
        count.tokens = count.tokens.plus(tokens)

    def as_data(self) -> dict[str, dict[str, Any]]:
        """`agent_stats` of `agent.status`."""
        return {agent: _as_data(count) for agent, count in self._by_type.items()}


def _as_data(count: _Count) -> dict[str, Any]:
    average = count.duration_ms // count.completed if count.completed else None
    data = {"tasks": count.tasks, "completed": count.completed, "failed": count.failed, "avg_duration_ms": average}
    return data | ({"totals": count.tokens._asdict()} if any(count.tokens) else {})
