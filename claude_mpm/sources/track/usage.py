"""What the model's answers cost in tokens, each answer once.

An answer is written as several records that repeat its usage; the output count of the early ones is a beginning. So
an answer is held until something else happens in its conversation. One that turns out larger still is told as the
difference: the sum of what is told is always the total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse.observations import Used

MAX_ANSWERS = 20_000
FIELDS = ("input", "output", "cache_read", "cache_creation")
Tokens = dict[str, int]


@dataclass(slots=True)
class _Held:
    used: Used
    agent_id: str | None
    source: Source
    at: float


class Bill:
    """Pure; one thread."""

    def __init__(self) -> None:
        self._told: dict[str, Tokens] = {}
        self._held: dict[str, _Held] = {}
        self._streamed: dict[
            str, _Held
        ] = {}  # stream-json's counts are a beginning only: for when nothing else has them
        self._has_transcript = False
        self._session_id: str | None = None
        self._totals: Tokens = dict.fromkeys(FIELDS, 0)
        self._agents: dict[str, Tokens] = {}
        self._cost: float | None = None
        self._model: str | None = None

    def used(self, used: Used, agent_id: str | None, source: Source, at: float, *, at_once: bool) -> list[Event]:
        """Tokens of an answer. `at_once`: nothing more is to be expected in this conversation."""
        held = _Held(used, agent_id, source, at)
        if source == "stream_json":
            self._streamed[used.message_id] = held
            return []
        self._has_transcript = True
        self._streamed.pop(used.message_id, None)
        events = self.others(agent_id, except_for=used.message_id)
        if used.final or at_once:
            self._held.pop(used.message_id, None)
            return events + self._tell(held)
        self._held[used.message_id] = held
        return events

    def others(self, agent_id: str | None, except_for: str | None = None) -> list[Event]:
        """Something else happened in the conversation of `agent_id`: what is held of it is complete."""
        done = [key for key, held in self._held.items() if held.agent_id == agent_id and key != except_for]
        return [event for key in done for event in self._tell(self._held.pop(key))]

    def turn_ended(self) -> list[Event]:
        """Of the main conversation."""
        return self.others(None) + ([] if self._has_transcript else self._from_stream())

    def close(self) -> list[Event]:
        """Tell all that is held."""
        return [event for key in list(self._held) for event in self._tell(self._held.pop(key))] + self._from_stream()

    def cost(self, usd: float, session_id: str | None, source: Source, at: float) -> list[Event]:
        """What Claude says it cost."""
        if usd == self._cost:
            return []
        self._cost = usd
        return [self._event(None, dict.fromkeys(FIELDS, 0), None, source, at, session_id)]

    def history(self, used: Used, agent_id: str | None) -> None:
        """An answer of before: counted, not told."""
        self._add(used, agent_id)

    def new_session(self) -> None:
        self.__init__()  # type: ignore[misc]

    def _from_stream(self) -> list[Event]:
        return [event for key in list(self._streamed) for event in self._tell(self._streamed.pop(key))]

    def _tell(self, held: _Held) -> list[Event]:
        more = self._add(held.used, held.agent_id)
        if not any(more.values()):
            return []
        self._model = held.used.model or self._model
        return [self._event(held.used.model, more, held.agent_id, held.source, held.at, held.used.who.session_id)]

    def _add(self, used: Used, agent_id: str | None) -> Tokens:
        """Counts what is new, and returns it."""
        now = {field: getattr(used, field) for field in FIELDS}
        before = self._told.get(used.message_id, dict.fromkeys(FIELDS, 0))
        more = {field: max(now[field] - before[field], 0) for field in FIELDS}
        self._told[used.message_id] = {field: max(now[field], before[field]) for field in FIELDS}
        if len(self._told) > MAX_ANSWERS:
            self._told.pop(next(iter(self._told)))
        for total in (
            self._totals,
            *([self._agents.setdefault(agent_id, dict.fromkeys(FIELDS, 0))] if agent_id else ()),
        ):
            for field in FIELDS:
                total[field] += more[field]
        return more

    def _event(
        self, model: str | None, tokens: Tokens, agent_id: str | None, source: Source, at: float, session_id: str | None
    ) -> Event:
        agents: dict[str, Any] = {agent: dict(total) for agent, total in self._agents.items()}
        return ev.claude_usage(
            source=source,
            model=model or self._model,
            tokens=tokens,
            totals=self._totals,
            agent_id=agent_id,
            agents=agents,
            cost_usd=self._cost,
            cost_is_estimate=None if self._cost is None else False,
            time=at,
            session_id=session_id,
        )
