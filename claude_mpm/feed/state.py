"""Events folded into "now": what system.status tells, enough to draw a dashboard with no history."""

from __future__ import annotations

from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event


class State:
    """What the events so far add up to. Pure; whoever owns it serialises the calls (the log's lock)."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self._session: dict[str, Any] = {"session_start": None, "ended": None}
        self._claude: dict[str, Any] = {
            "claude_status": "starting",
            "claude_pid": None,
            "activity": None,
            "waiting_for": None,
        }
        self._agents: dict[str, Any] = {"active_agents": [], "agent_stats": {}}
        self._todos: dict[str, Any] = {
            "todos": [],
            "stats": {"total": 0, "completed": 0, "in_progress": 0, "pending": 0},
        }
        self._usage: dict[str, Any] | None = None
        self._last_message: dict[str, Any] | None = None

    def apply(self, event: Event) -> None:
        """Fold one event in."""
        fold = _FOLDS.get(event.type)
        if fold is not None:
            fold(self, event)

    def snapshot(self) -> dict[str, Any]:
        """A fresh dict, safe to keep: the values in it are replaced, never changed."""
        return {
            "session_id": self.session_id,
            **self._session,
            **self._claude,
            "agents": self._agents,
            "todos": self._todos,
            "usage": self._usage,
            "last_message": self._last_message,
        }

    def _session_start(self, event: Event) -> None:
        self.session_id = event.data["session_id"] or self.session_id
        if self._session["session_start"] is None:
            self._session["session_start"] = event.data["start_time"]
        else:  # /clear or resume: Claude began a new session in the same process
            self._todos = State()._todos
        self._session["ended"] = None

    def _session_end(self, event: Event) -> None:
        self._session["ended"] = {key: event.data[key] for key in ("exit_code", "signal", "reason", "end_time")}

    def _status(self, event: Event) -> None:
        data = event.data
        self.session_id = event.session_id or self.session_id  # learnt after the start: resume, continue, attach
        activity = data.get("activity")
        self._claude = {
            "claude_status": data["status"],
            "claude_pid": data.get("pid", self._claude["claude_pid"]),
            "activity": activity if data["status"] == "running" else None,
            "waiting_for": data.get("waiting_for"),
        }

    def _agents_changed(self, event: Event) -> None:
        self._agents = dict(event.data)

    def _todos_changed(self, event: Event) -> None:
        if event.data.get("agent_id") is None:
            self._todos = {"todos": event.data["todos"], "stats": event.data["stats"]}

    def _usage_grew(self, event: Event) -> None:
        kept = ("model", "totals", "context_percent", "cost_usd", "cost_is_estimate")
        self._usage = {key: event.data[key] for key in kept if key in event.data}

    def _message(self, event: Event) -> None:
        if event.data.get("agent_id") is None:
            self._last_message = {"role": event.data["role"], "text": event.data["text"][:300]}


_FOLDS = {
    ev.SESSION_START: State._session_start,
    ev.SESSION_END: State._session_end,
    ev.CLAUDE_STATUS: State._status,
    ev.AGENT_STATUS: State._agents_changed,
    ev.TODO_UPDATE: State._todos_changed,
    ev.CLAUDE_USAGE: State._usage_grew,
    ev.CLAUDE_MESSAGE: State._message,
}
