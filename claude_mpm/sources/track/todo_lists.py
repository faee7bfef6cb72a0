"""The todo list, from whichever mechanism keeps it: TodoWrite's whole lists, Task* changes by id, files of either.

What Claude's tools say is truer than the files: 1.x empties its file when all is done, 2.1 deletes its files, 1.x -p
and later 2.1 write none. Files count until the first tool call has been seen, so they serve where nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse.json_values import mapping, sequence, text
from claude_mpm.sources.track.tool_calls import Call

Todo = dict[str, Any]

WRITES = "TodoWrite"
CREATES, UPDATES = "TaskCreate", "TaskUpdate"
MAX_TODOS = 1_000
_STATUSES = ("pending", "in_progress", "completed")


class Checklist:
    """One list: of a session, or of one of its agents. Methods return the whole list if it changed, else None."""

    def __init__(self) -> None:
        self._todos: list[Todo] = []
        self._from_files: list[list[Todo]] = []  # told from files, and not seen in a tool call yet
        self._by_tools = False
        self._file_at = 0.0
        self._changed: dict[str, float] = {}  # task id → when

    @property
    def todos(self) -> list[Todo]:
        return self._todos

    def written(self, todos: Any) -> list[Todo] | None:
        """A TodoWrite call."""
        new = [_todo(item, str(number)) for number, item in enumerate(sequence(todos)[:MAX_TODOS], 1)]
        self._by_tools = True
        for number, told in enumerate(self._from_files):
            if _same(told, new):
                del self._from_files[: number + 1]
                return None
        return self._tell(new)

    def created(self, given: Any, result: Mapping[str, Any], at: float) -> list[Todo] | None:
        """A TaskCreate call that succeeded: only the result has the id."""
        task_id = text(mapping(result.get("task")).get("id"))
        if task_id is None:
            return None
        self._by_tools = True
        if any(todo["id"] == task_id for todo in self._todos) or len(self._todos) >= MAX_TODOS:
            return None
        return self._tell(_ordered([*self._todos, _todo(given, task_id)]))

    def updated(self, given: Any, result: Mapping[str, Any], at: float) -> list[Todo] | None:
        """A TaskUpdate call that succeeded. One older than what is known of the task changes nothing."""
        change = mapping(given)
        task_id = text(change.get("taskId"))
        self._by_tools = True
        known = max(self._changed.get(task_id or "", 0.0), self._file_at)
        if task_id is None or at < known or result.get("success") is False:
            return None
        self._changed[task_id] = at
        if change.get("status") == "deleted":
            return self._tell([todo for todo in self._todos if todo["id"] != task_id])
        fresh = _todo({**change, "status": change.get("status")}, task_id)
        fields = {"content": "subject", "status": "status", "active_form": "activeForm", "owner": "owner"}
        new = {key: fresh[key] for key, given_as in fields.items() if given_as in change and key in fresh}
        if not any(todo["id"] == task_id for todo in self._todos):
            return self._tell(_ordered([*self._todos, {"content": f"#{task_id}", **fresh, **new}]))
        return self._tell([{**todo, **new} if todo["id"] == task_id else todo for todo in self._todos])

    def filed(self, todos: Sequence[Todo], at: float) -> list[Todo] | None:
        """What the file or files say."""
        if self._by_tools:
            return None
        if not todos and all(todo["status"] == "completed" for todo in self._todos):
            return None  # Claude tidies up: the list stays what it was, done
        self._file_at = max(self._file_at, at)
        new = [{"id": str(number), "content": "", "status": "pending", **todo} for number, todo in enumerate(todos, 1)]
        told = self._tell(new)
        if told is not None:
            self._from_files.append(told)
            del self._from_files[:-20]
        return told

    def _tell(self, new: list[Todo]) -> list[Todo] | None:
        if _same(new, self._todos):
            return None
        self._todos = new
        return new


class Checklists:
    """The lists of a session and of its agents, as events. Pure; one thread."""

    def __init__(self) -> None:
        self._lists: dict[str | None, Checklist] = {}

    def called(self, call: Call, source: Source, at: float, session_id: str | None) -> list[Event]:
        """A tool call has started."""
        if call.tool != WRITES:
            return []
        todos = self._of(call.agent_id).written(mapping(call.input).get("todos"))
        return self._event(todos, call.agent_id, source, at, session_id)

    def answered(
        self, call: Call, result: Mapping[str, Any], source: Source, at: float, session_id: str | None
    ) -> list[Event]:
        """A tool call has ended well. Tasks are the session's, whoever of its agents changes them."""
        if call.tool not in (CREATES, UPDATES):
            return []
        own = self._of(None)
        todos = (own.created if call.tool == CREATES else own.updated)(call.input, result, at)
        return self._event(todos, None, source, at, session_id)

    def filed(
        self, todos: Sequence[Todo], agent_id: str | None, source: Source, at: float, session_id: str | None
    ) -> list[Event]:
        """A file has changed."""
        return self._event(self._of(agent_id).filed(todos, at), agent_id, source, at, session_id)

    def again(self, source: Source, at: float, session_id: str | None) -> list[Event]:
        """The session's own list as it is."""
        return self._event(self._of(None).todos, None, source, at, session_id)

    def _of(self, agent_id: str | None) -> Checklist:
        return self._lists.setdefault(agent_id, Checklist())

    def _event(
        self, todos: list[Todo] | None, agent_id: str | None, source: Source, at: float, session_id: str | None
    ) -> list[Event]:
        if todos is None:
            return []
        return [ev.todo_update(todos, source=source, agent_id=agent_id, time=at, session_id=session_id)]


def _same(one: list[Todo], other: list[Todo]) -> bool:
    keys = ("content", "status", "active_form", "owner")
    return [[todo.get(key) for key in keys] for todo in one] == [[todo.get(key) for key in keys] for todo in other]


def _todo(item: Any, default_id: str) -> Todo:
    """Claude's own field names, of either mechanism, to the protocol's."""
    given = mapping(item)
    status = given.get("status")
    todo: Todo = {
        "id": text(given.get("id")) or default_id,
        "content": text(given.get("content")) or text(given.get("subject")) or "",
        "status": status if status in _STATUSES else "pending",
    }
    optional = {
        "active_form": given.get("activeForm") or given.get("active_form"),
        "owner": given.get("owner"),
        "description": given.get("description"),
    }
    return todo | {key: value for key, value in optional.items() if isinstance(value, str) and value}


def _ordered(todos: list[Todo]) -> list[Todo]:
    """By number, as Claude shows them."""
    return sorted(todos, key=lambda todo: (not todo["id"].isdigit(), int(todo["id"]) if todo["id"].isdigit() else 0))
