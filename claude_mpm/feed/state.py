"""The present, folded from events: what `system.status` tells, so that a client can draw a dashboard without history."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event

LAST_MESSAGE = 300  # characters of the last message that a status repeats
_USAGE_FIELDS = ("model", "totals", "context_percent", "cost_usd", "cost_is_estimate")
_TODO_FIELDS = ("todos", "stats", "truncated")
_END_FIELDS = ("exit_code", "signal", "reason", "end_time")
_ACTIVITY_FIELDS = ("session_id", "claude_status", "activity", "activity_since", "waiting_for", "questions", "ended")
_LONG_FIELDS = frozenset({"input", "grants"})  # of a question


def activity_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """What of `system.status` says whether Claude works, waits for somebody or has ended; a few hundred bytes. Pure.

    What a tool that waits would do is left out: it may be long, and whoever only counts has no use for it.
    """
    short = {name: status[name] for name in _ACTIVITY_FIELDS if name in status}
    if short.get("waiting_for"):
        short["waiting_for"] = _without_long(short["waiting_for"])
    if "questions" in short:
        short["questions"] = [_without_long(question) for question in short["questions"]]
    return short


def _without_long(question: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in question.items() if name not in _LONG_FIELDS}


class State:
    """What the events so far add up to. Pure and not thread-safe: the log's lock serialises all calls.

    It holds the data of the newest event of a few types, so an event's own bound bounds it as well.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        self._session: dict[str, Any] = {"session_start": None, "ended": None}
        self._claude: dict[str, Any] = {
            "claude_status": "starting",
            "claude_pid": None,
            "activity": None,
            "activity_since": None,
            "waiting_for": None,
        }
        self._questions: dict[str, dict[str, Any]] = {}  # open ones, by request_id; the asking side bounds them
        self._agents: dict[str, Any] = {"active_agents": [], "agent_stats": {}}
        self._todos = _no_todos()
        self._usage: dict[str, Any] | None = None
        self._last_message: dict[str, Any] | None = None

    def apply(self, event: Event) -> bool:
        """Fold in one event. Returns whether it is of a type that matters here; any other changes nothing.

        Raises:
            KeyError: the event's data lacks a required field. Nothing has changed then.
        """
        fold = _FOLDS.get(event.type)
        if fold is not None:
            fold(self, event)
        return fold is not None

    def restore(self, status: Mapping[str, Any]) -> None:
        """Begin with what `system.status` of another process said. Fields that it lacks stay as they are."""
        self.session_id = status.get("session_id", self.session_id)
        for group in (self._session, self._claude):
            group |= {key: status[key] for key in group if key in status}
        self._agents = status.get("agents", self._agents)
        self._todos = status.get("todos", self._todos)
        self._usage = status.get("usage", self._usage)
        self._last_message = status.get("last_message", self._last_message)
        questions = status.get("questions", self._questions.values())
        self._questions = {question["request_id"]: question for question in questions}

    def snapshot(self) -> dict[str, Any]:
        """A new dict that stays as it is: the values in it are replaced by later events, never changed."""
        return {
            "session_id": self.session_id,
            **self._session,
            **self._claude,
            "questions": list(self._questions.values()),
            "agents": self._agents,
            "todos": self._todos,
            "usage": self._usage,
            "last_message": self._last_message,
        }

    def _session_started(self, event: Event) -> None:
        start_time = event.data["start_time"]
        self.session_id = event.data["session_id"] or self.session_id
        if self._session["session_start"] is None:
            self._session["session_start"] = start_time
        else:  # /clear or /resume: Claude began another session in the same process, with a todo list of its own
            self._todos = _no_todos()
        self._session["ended"] = None

    def _session_ended(self, event: Event) -> None:
        self._session["ended"] = {key: event.data[key] for key in _END_FIELDS}

    def _status_changed(self, event: Event) -> None:
        data = event.data
        status = data["status"]
        activity = data.get("activity") if status == "running" else None
        goes_on = activity == self._claude["activity"]  # more is said of the same dialog, for instance
        self.session_id = event.session_id or self.session_id  # only a later record names it on resume or attach
        self._claude = {
            "claude_status": status,
            "claude_pid": data.get("pid", self._claude["claude_pid"]),
            "activity": activity,
            "activity_since": self._claude["activity_since"] if goes_on else _timestamp(event.time),
            "waiting_for": data.get("waiting_for"),
        }

    def _question_changed(self, event: Event) -> None:
        request_id, state = event.data["request_id"], event.data["state"]
        if state in ("asked", "delivered"):
            self._questions[request_id] = {**self._questions.get(request_id, {}), **event.data}
        else:
            self._questions.pop(request_id, None)

    def _agents_changed(self, event: Event) -> None:
        self._agents = dict(event.data)

    def _todos_changed(self, event: Event) -> None:
        if event.data.get("agent_id") is None:  # a subagent's list is not the session's
            self._todos = {key: event.data[key] for key in _TODO_FIELDS if key in event.data}

    def _usage_grew(self, event: Event) -> None:
        self._usage = {key: event.data[key] for key in _USAGE_FIELDS if key in event.data}

    def _message_came(self, event: Event) -> None:
        if event.data.get("agent_id") is None:
            self._last_message = {"role": event.data["role"], "text": event.data["text"][:LAST_MESSAGE]}


def _timestamp(seconds: float | None) -> str | None:
    """As in the protocol. None for a time that is not known, or that no calendar has: it came from a file."""
    with suppress(ValueError, OverflowError, OSError):
        return None if seconds is None else ev.rfc3339(seconds)
    return None


def _no_todos() -> dict[str, Any]:
    return {"todos": [], "stats": {"total": 0, "completed": 0, "in_progress": 0, "pending": 0}}


_FOLDS = {
    ev.SESSION_START: State._session_started,
    ev.SESSION_END: State._session_ended,
    ev.CLAUDE_STATUS: State._status_changed,
    ev.CLAUDE_QUESTION: State._question_changed,
    ev.AGENT_STATUS: State._agents_changed,
    ev.TODO_UPDATE: State._todos_changed,
    ev.CLAUDE_USAGE: State._usage_grew,
    ev.CLAUDE_MESSAGE: State._message_came,
}
