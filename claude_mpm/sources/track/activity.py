"""What Claude is doing: working, idle, or waiting for the user, and for what.

Records arrive late and by several ways; each tells of its own moment, and one older than the last change changes
nothing. After a turn with background agents at work Claude is `working` still: it goes on by itself when they end.
"""

from __future__ import annotations

from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source, cut_value
from claude_mpm.sources.parse import observations as seen
from claude_mpm.sources.track.tool_calls import Call, Calls

State = Literal["working", "idle", "waiting"]
QUESTIONS = {"AskUserQuestion": "question", "ExitPlanMode": "permission"}  # tools that always wait for the user


class Activity:
    """Pure; one thread. A dialog is about one of the open `calls`."""

    def __init__(self, calls: Calls, delegating: tuple[str, ...]) -> None:
        self._calls = calls
        self._delegating = delegating
        self.state: State | None = None
        self._waiting_call: str | None = None  # the call it waits for, by name
        self._waiting_for: dict[str, Any] | None = None
        self._at = 0.0  # when it last changed

    def working(self, source: Source, at: float, session_id: str | None) -> list[Event]:
        return self._change("working", None, None, source, at, session_id)

    def idle(
        self, source: Source, at: float, session_id: str | None, waiting_for: dict[str, Any] | None = None
    ) -> list[Event]:
        return self._change("idle", waiting_for, None, source, at, session_id)

    def called(self, call: Call, source: Source, at: float, session_id: str | None) -> list[Event]:
        """A tool call has started."""
        kind = QUESTIONS.get(call.tool)
        if kind is None and self.state == "waiting":
            if self._waiting_call is not None:
                return []  # another agent works on; the question stays
            kind = "permission"  # the dialog was seen before the call it is about
            at = max(at, self._at)
        if kind is None:
            return self.working(source, at, session_id)
        return self._wait(kind, call, None, source, at, session_id)

    def answered(self, call: Call, source: Source, at: float, session_id: str | None) -> list[Event]:
        """A tool call has ended well: if Claude waited for the user because of it, it does no more."""
        waited = self.state == "waiting" and self._waiting_call in (None, call.name)
        return self.working(source, at, session_id) if waited else []

    def told(self, observed: seen.Busy, source: Source, at: float, session_id: str | None) -> list[Event]:
        """What Claude says of itself."""
        if observed.status == "busy":
            return self.working(source, at, session_id)
        if observed.status == "idle":
            return self.idle(source, at, session_id)
        if self.state == "waiting":
            return []
        return self._wait("permission", self._pending(""), None, source, at, session_id)

    def notified(self, observed: seen.Notified, source: Source, at: float, session_id: str | None) -> list[Event]:
        """Claude wants the user."""
        if observed.kind == "input":
            if self.state not in (None, "idle"):
                return []
            return self.idle(source, at, session_id, {"kind": "input", "message": observed.message})
        call = self._pending(observed.message)
        if self.state == "waiting" and (call is None or call.name == self._waiting_call):
            return []
        return self._wait(observed.kind, call, observed.message, source, at, session_id)

    def _pending(self, message: str) -> Call | None:
        """The call a dialog is about: one the message names, else the newest that is no delegation, else the newest."""
        calls = self._calls.open()
        named = [call for call in calls if call.tool in message.split()]
        return next(reversed(named or [call for call in calls if call.tool not in self._delegating] or calls), None)

    def _wait(
        self, kind: str, call: Call | None, message: str | None, source: Source, at: float, session_id: str | None
    ) -> list[Event]:
        waiting_for: dict[str, Any] = {"kind": QUESTIONS.get(call.tool, kind) if call else kind}
        if call is not None:
            waiting_for |= {"tool": call.tool, "input": cut_value(call.input)[0]}
        if message:
            waiting_for["message"] = message
        return self._change("waiting", waiting_for, call.name if call else None, source, at, session_id)

    def _change(
        self,
        state: State,
        waiting_for: dict[str, Any] | None,
        name: str | None,
        source: Source,
        at: float,
        session_id: str | None,
    ) -> list[Event]:
        if at < self._at or (state, waiting_for) == (self.state, self._waiting_for):
            return []
        self.state, self._waiting_for, self._waiting_call, self._at = state, waiting_for, name, at
        return [
            ev.claude_status(
                "running", source=source, activity=state, waiting_for=waiting_for, time=at, session_id=session_id
            )
        ]
