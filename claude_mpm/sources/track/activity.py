"""What Claude is doing: working, idle, or waiting for the user, and for what.

Records arrive late and by several ways. Each tells about its own moment, so one that is older than the last change
changes nothing. After a turn with background agents at work Claude is still `working`: it goes on by itself when they
end.
"""

from __future__ import annotations

from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut
from claude_mpm.feed.event import Event, Origin
from claude_mpm.sources.parse.observations import Busy, Notified
from claude_mpm.sources.track.tool_calls import ToolCall, ToolCalls

State = Literal["working", "idle", "waiting"]
QUESTIONS = {"AskUserQuestion": "question", "ExitPlanMode": "permission"}  # tools that always wait for the user


class Activity:
    """The state of one Claude.

    Args:
        calls: a dialog is about one of the open ones.
        delegating: tools that start a subagent; a dialog is rarely about those.
    """

    def __init__(self, calls: ToolCalls, delegating: tuple[str, ...]) -> None:
        self._calls = calls
        self._delegating = delegating
        self.state: State | None = None
        self._waiting_call: str | None = None  # the name of the call that waits for the user
        self._waiting_for: dict[str, Any] | None = None
        self._changed = 0.0  # seconds since the epoch

    def working(self, origin: Origin) -> list[Event]:
        """Claude works."""
        return self._change("working", None, None, origin.moment, origin)

    def idle(self, origin: Origin, waiting_for: dict[str, Any] | None = None) -> list[Event]:
        """Claude waits for the next prompt."""
        return self._change("idle", waiting_for, None, origin.moment, origin)

    def tool_started(self, call: ToolCall, origin: Origin) -> list[Event]:
        """A tool call has started."""
        kind, at = QUESTIONS.get(call.tool), origin.moment
        if kind is None and self.state == "waiting":
            if self._waiting_call is not None:
                return []  # another agent goes on; the question stays
            kind = "permission"  # the dialog was seen before the call that it is about
            at = max(at, self._changed)
        if kind is None:
            return self.working(origin)
        return self._wait(kind, call, None, at, origin)

    def tool_succeeded(self, call: ToolCall, origin: Origin) -> list[Event]:
        """A tool call has ended well, so the user is not asked about it any more."""
        waited = self.state == "waiting" and self._waiting_call in (None, call.name)
        return self.working(origin) if waited else []

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
        call = self._asked_about(message)
        if self.state == "waiting" and (call is None or call.name == self._waiting_call):
            return []
        return self._wait(observed.kind, call, message, origin.moment, origin)

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
        return self._change("waiting", waiting_for, call.name if call else None, at, origin)

    def _change(
        self, state: State, waiting_for: dict[str, Any] | None, call_name: str | None, at: float, origin: Origin
    ) -> list[Event]:
        if at < self._changed or (state, waiting_for) == (self.state, self._waiting_for):
            return []
        self.state, self._waiting_for, self._waiting_call, self._changed = state, waiting_for, call_name, at
        origin = Origin(origin.source, at, origin.session_id)
        return [ev.claude_status("running", origin=origin, activity=state, waiting_for=waiting_for)]
