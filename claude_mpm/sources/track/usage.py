"""The tokens of the model's answers, each answer once.

An answer is written as several records that repeat its usage, and the output count of the first ones is only a
beginning. So an answer is held until something else happens in its conversation. When it turns out to be larger still,
the difference is reported: the sum of all events is always the total.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.sources.parse.observations import Used
from claude_mpm.sources.track.digests import Recent

MAX_ANSWERS = 10_000  # answers whose tokens are remembered, so that a record read again is not counted again
MAX_MODELS = 50  # models whose context windows are remembered
MAX_HELD = 1_000  # answers held at a time: one per conversation that goes on


class Tokens(NamedTuple):
    """Counts as the model API bills them. The field names are those of the protocol."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_creation: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """The sum, field by field."""
        return Tokens(*(mine + its for mine, its in zip(self, other, strict=True)))

    def beyond(self, other: Tokens) -> Tokens:
        """What each field has more than in `other`, zero where it has less."""
        return Tokens(*(max(mine - its, 0) for mine, its in zip(self, other, strict=True)))


@dataclass(slots=True)
class _Answer:
    used: Used
    agent_id: str | None
    origin: Origin


class Usage:
    """The tokens of one session.

    Args:
        on_agent_tokens: gets (public agent id, tokens) for every answer to a subagent, each token once.
    """

    def __init__(self, on_agent_tokens: Callable[[str, Tokens], None]) -> None:
        self._on_agent_tokens = on_agent_tokens
        self._counted: Recent[str, Tokens] = Recent(MAX_ANSWERS)  # by message id
        self._held: dict[str, _Answer] = {}
        # stdout's counts are only a beginning, so they serve when no transcript has better ones.
        self._from_stdout: dict[str, _Answer] = {}
        self._has_transcript = False
        self._totals = Tokens()
        self._cost: float | None = None
        self._model: str | None = None
        self._windows: Recent[str, int] = Recent(MAX_MODELS)  # tokens that a model's context holds, by model
        self._context = 0  # tokens the last answer of the main conversation was based on

    def answer(self, used: Used, agent_id: str | None, origin: Origin, *, at_once: bool) -> list[Event]:
        """A record of an answer. `at_once`: nothing more is to be expected in this conversation."""
        answer = _Answer(used, agent_id, origin)
        if origin.source == "stream_json":
            self._from_stdout[used.message_id] = answer
            return self._overflow(self._from_stdout)
        self._has_transcript = True
        self._from_stdout.pop(used.message_id, None)
        events = self.answers_complete(agent_id, but=used.message_id)
        if used.final or at_once:
            self._held.pop(used.message_id, None)
            return events + self._report(answer)
        self._held[used.message_id] = answer
        return events + self._overflow(self._held)

    def answers_complete(self, agent_id: str | None, but: str | None = None) -> list[Event]:
        """Something else happened in this conversation: report what is held of it, except for one message."""
        done = [key for key, answer in self._held.items() if answer.agent_id == agent_id and key != but]
        return [event for key in done for event in self._report(self._held.pop(key))]

    def turn_ended(self) -> list[Event]:
        """The main conversation's turn is over."""
        return self.answers_complete(None) + ([] if self._has_transcript else self._report_all(self._from_stdout))

    def close(self) -> list[Event]:
        """Report everything that is held."""
        return self._report_all(self._held) + self._report_all(self._from_stdout)

    def cost(self, usd: float, origin: Origin) -> list[Event]:
        """What the session has cost so far, as Claude reports it."""
        if usd == self._cost:
            return []
        self._cost = usd
        return [self._event(self._model, Tokens(), None, origin)]

    def context_window(self, model: str, tokens: int) -> list[Event]:
        """How much the context of a model holds, as Claude reports it. The events that follow carry the percentage."""
        self._windows[model] = tokens
        return []

    def history(self, used: Used, agent_id: str | None) -> None:
        """An answer from before the process started: it counts, but is not reported."""
        self._count(used, agent_id)

    def _overflow(self, answers: dict[str, _Answer]) -> list[Event]:
        return self._report(answers.pop(next(iter(answers)))) if len(answers) > MAX_HELD else []

    def _report_all(self, answers: dict[str, _Answer]) -> list[Event]:
        return [event for key in list(answers) for event in self._report(answers.pop(key))]

    def _report(self, answer: _Answer) -> list[Event]:
        new = self._count(answer.used, answer.agent_id)
        if not any(new):
            return []
        self._model = answer.used.model or self._model
        if answer.agent_id is None:
            self._context = answer.used.input + answer.used.cache_read + answer.used.cache_creation
        return [self._event(self._model, new, answer.agent_id, answer.origin)]

    def _count(self, used: Used, agent_id: str | None) -> Tokens:
        """Count what is new of an answer, and return it."""
        now = Tokens(used.input, used.output, used.cache_read, used.cache_creation)
        before = self._counted.get(used.message_id, Tokens())
        new = now.beyond(before)
        self._counted[used.message_id] = before.plus(new)
        self._totals = self._totals.plus(new)
        if agent_id is not None:
            self._on_agent_tokens(agent_id, new)
        return new

    def _context_percent(self) -> float | None:
        """How full the main conversation's context is; None while it is unknown how much it holds.

        Computed as Claude Code 2.1 computes `used_percentage` for a status line: input, cached or not, without output.
        """
        window = self._windows.get(self._model, 0) if self._model is not None else 0
        return min(100.0, round(100 * self._context / window, 1)) if window and self._context else None

    def _event(self, model: str | None, tokens: Tokens, agent_id: str | None, origin: Origin) -> Event:
        return ev.claude_usage(
            origin=origin,
            model=model,
            tokens=tokens._asdict(),
            totals=self._totals._asdict(),
            agent_id=agent_id,
            context_percent=None if agent_id is not None else self._context_percent(),
            cost_usd=self._cost,
            cost_is_estimate=None if self._cost is None else False,
        )
