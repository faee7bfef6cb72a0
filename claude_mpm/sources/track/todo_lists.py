"""The todo list, whichever mechanism keeps it: TodoWrite's whole lists, Task* changes by id, or files of either.

What Claude's tools say is truer than the files: 1.x empties its file when everything is done, 2.1 deletes its files, and
1.x -p and later versions of 2.1 write none. So files count until the first tool call has been seen, and serve where
nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import MAX_TEXT
from claude_mpm.feed.event import Event, Origin
from claude_mpm.sources.parse.json_values import mapping, name, sequence, text
from claude_mpm.sources.parse.todos import MAX_ID, MAX_TODOS, STATUSES, Todo, bounded, by_number, make_todo
from claude_mpm.sources.track.digests import Digest, Recent, value_digest
from claude_mpm.sources.track.tool_calls import ToolCall

WRITES = "TodoWrite"
CREATES, UPDATES = "TaskCreate", "TaskUpdate"
MAX_LISTS = 50  # of a session and its agents, each within the limits of parse/todos.py
MAX_ASKED = 100  # calls of TaskCreate and TaskUpdate without a result
MAX_FROM_FILES = 20  # lists reported from files that a tool call may still repeat
_TASK_FIELDS = ("taskId", "subject", "description", "activeForm", "owner", "status")
_COMPARED = ("content", "status", "active_form", "owner")  # a description is only in some records


class _List:
    """One todo list. The methods return the whole list when it has changed, else None."""

    def __init__(self) -> None:
        self.todos: list[Todo] = []
        self._digest = _digest([])
        self._from_files: list[Digest] = []  # reported from files, and not repeated by a tool call yet
        self._by_tools = False
        self._file_at = 0.0
        self._changed: Recent[str, float] = Recent(2 * MAX_TODOS)  # task id → when, deleted tasks included

    def written(self, given: Any) -> list[Todo] | None:
        """A TodoWrite call, [{`content`, `status`, `activeForm`}]."""
        items = sequence(given)[: MAX_TODOS + 1]
        new = bounded([_todo(mapping(item), str(number)) for number, item in enumerate(items, 1)])
        self._by_tools = True
        digest = _digest(new)
        if digest in self._from_files:
            del self._from_files[: self._from_files.index(digest) + 1]
            return None
        return self._replace(new)

    def created(self, task: Mapping[str, Any], result: Mapping[str, Any]) -> list[Todo] | None:
        """A TaskCreate call that has succeeded. Only its result has the id."""
        task_id = _task_id(mapping(result.get("task")).get("id"))
        if task_id is None:
            return None
        self._by_tools = True
        if self._has(task_id) or len(self.todos) >= MAX_TODOS:
            return None
        return self._replace(bounded(sorted([*self.todos, _todo(task, task_id)], key=by_number)))

    def updated(self, task: Mapping[str, Any], result: Mapping[str, Any], at: float) -> list[Todo] | None:
        """A TaskUpdate call that has succeeded. One older than what is known of the task changes nothing."""
        task_id = _task_id(task.get("taskId"))
        self._by_tools = True
        known_at = max(self._changed.get(task_id or "", 0.0), self._file_at)
        if task_id is None or at < known_at or result.get("success") is False:
            return None
        self._changed[task_id] = at
        if task.get("status") == "deleted":
            return self._replace([todo for todo in self.todos if todo["id"] != task_id])
        fresh = _todo(task, task_id)
        if not self._has(task_id):
            fresh["content"] = fresh["content"] or f"#{task_id}"
            return self._replace(bounded(sorted([*self.todos, fresh], key=by_number)))
        fields = {"content": "subject", "status": "status", "active_form": "activeForm", "owner": "owner"}
        new = {ours: fresh[ours] for ours, theirs in fields.items() if theirs in task and ours in fresh}
        if "truncated" in fresh:
            new["truncated"] = True
        return self._replace(bounded([{**todo, **new} if todo["id"] == task_id else todo for todo in self.todos]))

    def filed(self, todos: Sequence[Todo], at: float) -> list[Todo] | None:
        """What the file, or all task files together, say."""
        if self._by_tools:
            return None
        if not todos and all(todo["status"] == "completed" for todo in self.todos):
            return None  # Claude tidies up; the list stays as it was, done
        self._file_at = max(self._file_at, at)
        new = self._replace(bounded(todos))
        if new is not None:
            self._from_files = [*self._from_files[-MAX_FROM_FILES + 1 :], self._digest]
        return new

    def _has(self, task_id: str) -> bool:
        return any(todo["id"] == task_id for todo in self.todos)

    def _replace(self, new: list[Todo]) -> list[Todo] | None:
        digest = _digest(new)
        if digest == self._digest:
            return None
        self.todos, self._digest = new, digest
        return new


class TodoLists:
    """The lists of a session and of its agents, as events."""

    def __init__(self) -> None:
        self._own = _List()
        self._of_agents: Recent[str, _List] = Recent(MAX_LISTS)
        self._asked: Recent[str, Mapping[str, Any]] = Recent(MAX_ASKED)  # call's name → what it asks for

    def tool_started(self, call: ToolCall, given: Any, origin: Origin) -> list[Event]:
        """A tool call has started; `given` is its whole input."""
        if call.tool in (CREATES, UPDATES):
            self._asked[call.name] = _task_fields(mapping(given))
        if call.tool != WRITES:
            return []
        return self._event(self._of(call.agent_id).written(mapping(given).get("todos")), call.agent_id, origin)

    def tool_succeeded(self, call: ToolCall, result: Mapping[str, Any], origin: Origin) -> list[Event]:
        """A tool call has ended well. Tasks belong to the session, whichever of its agents changes them."""
        task = self._asked.pop(call.name, {})
        if call.tool == CREATES:
            return self._event(self._own.created(task, result), None, origin)
        if call.tool == UPDATES:
            return self._event(self._own.updated(task, result, origin.moment), None, origin)
        return []

    def filed(self, todos: Sequence[Todo], agent_id: str | None, origin: Origin) -> list[Event]:
        """A file has changed."""
        return self._event(self._of(agent_id).filed(todos, origin.moment), agent_id, origin)

    def again(self, origin: Origin) -> list[Event]:
        """The session's own list as it is."""
        return self._event(self._own.todos, None, origin)

    def _of(self, agent_id: str | None) -> _List:
        if agent_id is None:
            return self._own
        todo_list = self._of_agents.get(agent_id, _List())
        self._of_agents[agent_id] = todo_list
        return todo_list

    def _event(self, todos: list[Todo] | None, agent_id: str | None, origin: Origin) -> list[Event]:
        return [] if todos is None else [ev.todo_update(todos, origin=origin, agent_id=agent_id)]


def _digest(todos: Sequence[Todo]) -> Digest:
    return value_digest([[todo.get(key) for key in _COMPARED] for todo in todos])


def _task_id(value: Any) -> str | None:
    task_id = name(value)
    return task_id[:MAX_ID] if task_id else None


def _task_fields(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a Task* call's input that is needed when its result comes."""
    fields = {field: given[field] for field in _TASK_FIELDS if field in given}
    # One character more than a todo may have, so that it still shows that the text was longer.
    return {field: value[: MAX_TEXT + 1] if isinstance(value, str) else None for field, value in fields.items()}


def _todo(given: Mapping[str, Any], default_id: str) -> Todo:
    """A todo from a tool's input, in which Claude may leave out or misspell anything."""
    status = given.get("status")
    return make_todo(
        given,
        text(given.get("id")) or default_id,
        text(given.get("content")) or text(given.get("subject")) or "",
        status if status in STATUSES else "pending",
    )
