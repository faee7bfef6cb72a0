"""What Claude is doing: working, idle, or waiting for the user, and for what.

Records arrive late and by several ways; each tells of its own moment, and one older than the last change changes
nothing. After a turn with background agents at work Claude is `working` still: it goes on by itself when they end.
"""

from __future__ import annotations

from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source, cut_value

State = Literal["working", "idle", "waiting"]


class Activity:
    """Pure; one thread."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.waiting_tool: str | None = None  # the call it waits for, by name
        self._waiting_for: dict[str, Any] | None = None
        self.at = 0.0  # when it last changed

    def working(self, source: Source, at: float, session_id: str | None) -> list[Event]:
        return self._change("working", None, None, source, at, session_id)

    def idle(
        self, source: Source, at: float, session_id: str | None, waiting_for: dict[str, Any] | None = None
    ) -> list[Event]:
        return self._change("idle", waiting_for, None, source, at, session_id)

    def waiting(
        self,
        kind: str,
        source: Source,
        at: float,
        session_id: str | None,
        *,
        name: str | None = None,
        tool: str | None = None,
        tool_input: Any = None,
        message: str | None = None,
    ) -> list[Event]:
        """Waiting for the user. `name` is the call it waits for."""
        if self.state == "waiting" and name is not None and name == self.waiting_tool:
            return []
        waiting_for: dict[str, Any] = {"kind": kind}
        if tool is not None:
            waiting_for |= {"tool": tool, "input": cut_value(tool_input)[0]}
        if message:
            waiting_for["message"] = message
        return self._change("waiting", waiting_for, name, source, at, session_id)

    def _change(
        self,
        state: State,
        waiting_for: dict[str, Any] | None,
        name: str | None,
        source: Source,
        at: float,
        session_id: str | None,
    ) -> list[Event]:
        if at < self.at or (state, waiting_for) == (self.state, self._waiting_for):
            return []
        self.state, self._waiting_for, self.waiting_tool, self.at = state, waiting_for, name, at
        return [
            ev.claude_status(
                "running", source=source, activity=state, waiting_for=waiting_for, time=at, session_id=session_id
            )
        ]
