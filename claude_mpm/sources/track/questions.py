"""Questions that clients may answer: which tool call each is about, and what becomes of it.

The hook that asks names no tool call, so a question is joined to one by tool, agent and input. An answer that reached
Claude is `applied` only when a record of Claude's shows it: the end of that call or, for an allowed one, Claude being
busy again. Pure; for one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut_value
from claude_mpm.feed.event import Decision, Event, Origin
from claude_mpm.sources.parse.observations import AnswerDelivered, Asked
from claude_mpm.sources.track.digests import InputDigest
from claude_mpm.sources.track.tool_calls import ToolCall

MAX_OPEN = 100  # questions; the asking side has fewer
IN_TERMINAL = "it was answered in the terminal"
# How the result of a call begins that the user refused in the terminal (1.0.128 to 2.1.331)
_REFUSED = ("The user doesn't want", "[Request interrupted", "interrupted")


@dataclass(eq=False, slots=True)
class OpenQuestion:
    """One question. `decision` and `client`: the answer that was delivered, if there is one."""

    request_id: str
    data: Mapping[str, Any]
    digest: InputDigest
    call: ToolCall | None = None
    decision: Decision | None = None
    client: str | None = None

    @property
    def agent_id(self) -> str | None:
        agent_id: str | None = self.data.get("agent_id")
        return agent_id

    def is_about(self, call: ToolCall) -> bool:
        """Whether this is the call that waits, as far as both are known."""
        if call.tool != self.data["tool"] or call.ended:
            return False
        if self.agent_id is not None and call.agent_id not in (None, self.agent_id):
            return False
        return self.digest.matches(InputDigest(call.input))

    def event(self, state: ev.QuestionState, origin: Origin, reason: str | None = None) -> Event:
        """`claude.question`; with `asked`, all that describes it."""
        return ev.claude_question(
            self.request_id,
            state,
            origin=origin,
            question=self.data if state == "asked" else None,
            tool_use_id=self.call.name if self.call else None,
            decision=self.decision,
            client=self.client,
            reason=reason,
        )


class Questions:
    """The open questions of a process, oldest first. Each method returns the events that follow."""

    def __init__(self) -> None:
        self._open: dict[str, OpenQuestion] = {}

    def newest(self) -> OpenQuestion | None:
        """The open question that was asked last."""
        return next(reversed(self._open.values()), None)

    def agent_asks(self) -> bool:
        """Whether a subagent's question is open, which the terminal does not show."""
        return any(question.agent_id for question in self._open.values())

    def asked(self, observed: Asked, calls: Iterable[ToolCall], origin: Origin) -> list[Event]:
        """A question was opened; it may be about one of these calls."""
        digest = InputDigest(cut_value(observed.question["input"])[0])
        question = OpenQuestion(observed.request_id, observed.question, digest)
        taken = {id(other.call) for other in self._open.values()}
        question.call = next((call for call in calls if id(call) not in taken and question.is_about(call)), None)
        self._open[question.request_id] = question
        events = [question.event("asked", origin)]
        if len(self._open) > MAX_OPEN:
            events += self._withdraw(next(iter(self._open.values())), origin, "too many questions are open")
        return events

    def call_started(self, call: ToolCall) -> OpenQuestion | None:
        """The question that turns out to be about this call."""
        for question in self._open.values():
            if question.call is None and question.is_about(call):
                question.call = call
                return question
        return None

    def delivered(self, observed: AnswerDelivered, origin: Origin) -> list[Event]:
        """Claude has an answer."""
        question = self._open.get(observed.request_id)
        if question is None:  # Claude's record was faster
            return []
        question.decision, question.client = observed.decision, observed.client
        return [question.event("delivered", origin)]

    def withdrawn(self, request_id: str | None, origin: Origin, reason: str) -> list[Event]:
        """Its hook has ended without an answer."""
        question = self._open.get(request_id or "")
        return self._withdraw(question, origin, reason) if question is not None else []

    def call_ended(self, call: ToolCall, ok: bool, summary: str | None, origin: Origin) -> list[Event]:
        """A call has ended, which shows what was answered."""
        for question in self._open.values():
            if question.call is call:
                is_as_answered = ok == (question.decision != "deny") or not ok  # an allowed tool may still fail
                by_user = not ok and (summary or "").startswith(_REFUSED)
                is_ours = question.decision is not None and is_as_answered and not by_user
                return self._end(question, origin) if is_ours else self._withdraw(question, origin)
        return []

    def main_goes_on(self, is_busy: bool, origin: Origin) -> list[Event]:
        """The main conversation waits no longer. `is_busy`: it works, so a call that was asked about may run."""
        events: list[Event] = []
        for question in [question for question in self._open.values() if not question.agent_id]:
            is_allowed = question.decision not in (None, "deny")
            if is_busy and is_allowed:
                events += self._end(question, origin)
            elif not is_busy or question.decision is None:
                events += self._withdraw(question, origin)
        return events

    def agent_ended(self, agent_id: str, origin: Origin) -> list[Event]:
        """A subagent has ended, and with it what it asked."""
        asked = [question for question in self._open.values() if question.agent_id == agent_id]
        return [event for one in asked for event in self._withdraw(one, origin, "the agent that asked has ended")]

    def close(self, reason: str, origin: Origin) -> list[Event]:
        """Nothing of the session goes on: withdraw all."""
        return [event for one in list(self._open.values()) for event in self._withdraw(one, origin, reason)]

    def _end(self, question: OpenQuestion, origin: Origin) -> list[Event]:
        del self._open[question.request_id]
        return [question.event("applied", origin)]

    def _withdraw(self, question: OpenQuestion, origin: Origin, reason: str = IN_TERMINAL) -> list[Event]:
        del self._open[question.request_id]
        return [question.event("withdrawn", origin, reason)]
