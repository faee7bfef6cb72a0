"""How an instance stands, short enough that a list of thousands can carry it. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.feed.cutting import cut_value
from claude_mpm.system import json_text

MAX_CHARS = 1_000  # of the texts of one summary's waiting_for, and of its last_message
MAX_SHOWN = 5  # agents, todos in progress, and questions
_WHOLE = ("session_id", "session_start", "claude_status", "claude_pid", "activity", "activity_since", "ended", "usage")


def summary(status: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The data of a `system.status`, cut: agents, todos and questions are the first few, texts are short.

    Returns:
        the summary, and the bytes of its JSON.
    """
    short: dict[str, Any] = {key: cut_value(status.get(key), MAX_CHARS)[0] for key in _WHOLE}
    short["waiting_for"] = cut_value(status.get("waiting_for"), MAX_CHARS)[0]
    short["last_message"] = cut_value(status.get("last_message"), MAX_CHARS)[0]
    todos, agents = status.get("todos"), status.get("agents")
    short["todos"] = _todos(todos if isinstance(todos, dict) else {})
    short["agents"] = {
        "active_agents": _first(agents.get("active_agents") if isinstance(agents, dict) else None),
        "agent_stats": {},
    }
    questions = status.get("questions")
    short["questions"] = [
        {key: question.get(key) for key in ("request_id", "kind", "tool", "state", "agent_id") if key in question}
        for question in (questions if isinstance(questions, list) else [])[:MAX_SHOWN]
        if isinstance(question, dict)
    ]
    return short, len(json_text.dumps(short))


def _todos(todos: Mapping[str, Any]) -> dict[str, Any]:
    listed = todos.get("todos")
    current = [
        todo
        for todo in (listed if isinstance(listed, list) else [])
        if isinstance(todo, dict) and todo.get("status") == "in_progress"
    ]
    stats = todos.get("stats")
    return {"todos": _first(current), "stats": stats if isinstance(stats, dict) else {}}


def _first(items: object) -> list[Any]:
    return [cut_value(item, MAX_CHARS)[0] for item in (items if isinstance(items, list) else [])[:MAX_SHOWN]]
