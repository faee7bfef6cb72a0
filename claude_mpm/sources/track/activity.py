"""What Claude is doing: working, idle, or waiting for the user, and for what.

Records arrive late and by several ways. Each reports its own moment, so a record that is older than the last change
changes nothing. After a turn with background agents at work Claude is still `working`: it goes on by itself when they
end.
"""

from __future__ import annotations

from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut
from claude_mpm.feed.event import Event, Origin
from claude_mpm.sources.parse.observations import AnswerDelivered, Asked, Busy, HookEnded, Notified, ToolEnded
from claude_mpm.sources.track.questions import OpenQuestion, Questions
from claude_mpm.sources.track.tool_calls import ToolCall, ToolCalls

State = Literal["working", "idle", "waiting"]
QUESTIONS = {"AskUserQuestion": "question", "ExitPlanMode": "permission"}  # tools that always wait for the user
NO_HOOK_ASKED = "Claude shows this dialog without asking its hooks"


class Activity:
    """The state of one Claude.

    Args:
        calls: a dialog is about one of the open ones.
        delegating: tools that start a subagent; a dialog is rarely about those.
        unanswerable: why no client can answer Claude's dialogs; None where that is not to be told.
        has_answer_hook: whether a hook of Claude's waits for the answers of clients.
    """

    def __init__(
        self,
        calls: ToolCalls,
        delegating: tuple[str, ...],
        unanswerable: str | None = None,
        has_answer_hook: bool = False,
    ) -> None:
        self._calls = calls
        self._delegating = delegating
        self._unanswerable = unanswerable
        self._has_answer_hook = has_answer_hook
        self._questions = Questions()
        self.state: State | None = None
        self._waiting_call: str | None = None  # the name of the call that waits for the user
        self._waiting_for: dict[str, Any] | None = None
        self._changed = 0.0  # seconds since the epoch
        self._early_reason: str | None = None  # why a dialog cannot be answered that has not been reported yet

    def working(self, origin: Origin) -> list[Event]:
        """Claude works."""
        return self._change("working", None, None, origin.moment, origin)

    def idle(self, origin: Origin, waiting_for: dict[str, Any] | None = None) -> list[Event]:
        """Claude waits for the next prompt."""
        return self._change("idle", waiting_for, None, origin.moment, origin)

    def tool_started(self, call: ToolCall, origin: Origin) -> list[Event]:
        """A tool call has started."""
        question = self._questions.call_started(call)
        if question is not None and question is self._shown():
            self._waiting_call = call.name
            return []
        kind, at = QUESTIONS.get(call.tool), origin.moment
        if kind is None and self.state == "waiting":
            if self._waiting_call is not None or self._shown() is not None:
                return []  # another agent goes on; the question stays
            kind = "permission"  # the dialog was seen before the call that it is about
            at = max(at, self._changed)
        if kind is None:
            return self.working(origin)
        return self._wait(kind, call, None, at, origin)

    def tool_ended(self, call: ToolCall, observed: ToolEnded, origin: Origin) -> list[Event]:
        """A tool call has ended, so the user is not asked about it any more."""
        was_shown = self.state == "waiting" and self._waiting_call in (None, call.name) and self._shown() is None
        ended = self._questions.call_ended(call, observed.ok, observed.summary, origin)
        if ended:
            return ended + self._next_question(origin)
        return self.working(origin) if was_shown and observed.ok else []

    def agent_ended(self, agent_id: str | None, origin: Origin) -> list[Event]:
        """A subagent has ended."""
        ended = self._questions.agent_ended(agent_id, origin) if agent_id else []
        return ended + self._next_question(origin) if ended else []

    def close(self, reason: str, origin: Origin) -> list[Event]:
        """The session or the process has ended; what Claude does then is told elsewhere."""
        return self._questions.close(reason, origin)

    # --- clients may answer ---

    def asked(self, observed: Asked, origin: Origin) -> list[Event]:
        """A hook waits for a client's answer."""
        self._early_reason = None
        events = self._questions.asked(observed, self._calls.open(), origin)
        question = self._questions.newest()
        assert question is not None
        return events + self._show(question, origin)

    def answer_delivered(self, observed: AnswerDelivered, origin: Origin) -> list[Event]:
        """Claude has a client's answer; whether it acts on it is told by later records."""
        return self._questions.delivered(observed, origin)

    def hook_ended(self, observed: HookEnded, origin: Origin) -> list[Event]:
        """No client can answer any more, but Claude may still ask in the terminal."""
        was_shown = self._shown()
        events = self._questions.withdrawn(observed.request_id, origin, observed.reason)
        if self._questions.newest() is not None:
            return events + (self._next_question(origin) if events else [])
        if self.state != "waiting" or (observed.request_id is not None and was_shown is None):
            self._early_reason = observed.reason if observed.request_id is None else None
            return events
        return events + self._say_unanswerable(observed.reason, origin)

    def _shown(self) -> OpenQuestion | None:
        """The open question that `waiting_for` is about."""
        question = self._questions.newest()
        shown = (self._waiting_for or {}).get("request_id")
        return question if question is not None and question.request_id == shown else None

    def _show(self, question: OpenQuestion, origin: Origin) -> list[Event]:
        waiting_for = {**question.data, "request_id": question.request_id, "answerable": True}
        call_name = question.call.name if question.call else None
        if self.state == "waiting":
            return self._describe(waiting_for, call_name, origin)
        return self._change("waiting", waiting_for, call_name, max(origin.moment, self._changed), origin)

    def _next_question(self, origin: Origin) -> list[Event]:
        """One question is over: show another one that is open, or go on."""
        question = self._questions.newest()
        if question is not None:
            return [] if self._shown() is question else self._show(question, origin)
        return self._change("working", None, None, max(origin.moment, self._changed), origin)

    def _say_unanswerable(self, reason: str, origin: Origin) -> list[Event]:
        described = {key: value for key, value in (self._waiting_for or {}).items() if key in _ALWAYS}
        described |= {"answerable": False, "reason": reason}
        return self._describe(described, self._waiting_call, origin)

    def _describe(self, waiting_for: dict[str, Any], call_name: str | None, origin: Origin) -> list[Event]:
        """Say more of what Claude waits for already.

        This is no change of state: our report may come a moment after Claude has recorded that it goes on, and that
        record must still count.
        """
        if waiting_for == self._waiting_for:
            return []
        self._waiting_for, self._waiting_call = waiting_for, call_name
        return [ev.claude_status("running", origin=origin, activity="waiting", waiting_for=waiting_for)]

    # --- what Claude says about itself ---

    def session_file(self, observed: Busy, origin: Origin) -> list[Event]:
        """What Claude says about itself."""
        if observed.status == "busy":
            return self.working(origin)
        if observed.status == "idle":
            return self.idle(origin)
        if self.state == "waiting":
            return []
        return self._wait("permission", self._asked_about(""), None, origin.moment, origin)

    def notified(self, observed: Notified, origin: Origin) -> list[Event]:
        """Claude wants the user's attention."""
        message = cut(observed.message)[0]
        if observed.kind == "input":
            if self.state not in (None, "idle"):
                return []
            return self.idle(origin, {"kind": "input", "message": message})
        if self._shown() is not None:
            return []
        call = self._asked_about(message)
        is_told = self.state == "waiting" and (call is None or call.name == self._waiting_call)
        events = [] if is_told else self._wait(observed.kind, call, message, origin.moment, origin)
        reason = self._early_reason or (None if observed.asks_hooks else NO_HOOK_ASKED)
        is_open = self._has_answer_hook and self.state == "waiting" and "answerable" not in (self._waiting_for or {})
        if is_open and reason is not None:
            self._early_reason = None
            events += self._say_unanswerable(reason, origin)
        return events

    def _asked_about(self, message: str) -> ToolCall | None:
        """The open call that a dialog is about: one the message names, else the newest, delegations last."""
        calls = self._calls.open()
        words = set(message.split())
        named = [call for call in calls if call.tool in words]
        return next(reversed(named or [call for call in calls if call.tool not in self._delegating] or calls), None)

    def _wait(self, kind: str, call: ToolCall | None, message: str | None, at: float, origin: Origin) -> list[Event]:
        waiting_for: dict[str, Any] = {"kind": QUESTIONS.get(call.tool, kind) if call else kind}
        if call is not None:
            waiting_for |= {"tool": call.tool, "input": call.input}
        if message:
            waiting_for["message"] = message
        if self._unanswerable is not None:
            waiting_for |= {"answerable": False, "reason": self._unanswerable}
        return self._change("waiting", waiting_for, call.name if call else None, at, origin)

    def _change(
        self, state: State, waiting_for: dict[str, Any] | None, call_name: str | None, at: float, origin: Origin
    ) -> list[Event]:
        if at < self._changed or (state, waiting_for) == (self.state, self._waiting_for):
            return []
        origin = Origin(origin.source, at, origin.session_id)
        events: list[Event] = []
        if state != "waiting":
            events = self._questions.main_goes_on(state == "working", origin)
            if self._questions.agent_asks():  # the main conversation goes on, but the user is still asked
                question = self._questions.newest()
                return events + (self._show(question, origin) if question is not None else [])
        self.state, self._waiting_for, self._waiting_call, self._changed = state, waiting_for, call_name, at
        return [*events, ev.claude_status("running", origin=origin, activity=state, waiting_for=waiting_for)]


_ALWAYS = frozenset({"kind", "tool", "input", "message", "agent_id"})  # fields that stay when a question is withdrawn
