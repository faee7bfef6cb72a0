"""Claude's todo and task files into todos. Pure."""

from __future__ import annotations

from typing import Any

from claude_mpm.feed.event import cut
from claude_mpm.system.json_text import loads

Todo = dict[str, Any]  # as in `todo.update`

STATUSES = ("pending", "in_progress", "completed")
MAX_TODOS = 500  # of one list


def parse_todo_file(data: bytes) -> list[Todo]:
    """[{`content`, `status`, `activeForm`, `id`?}] to todos; the number in the list is the id where there is none.

    Raises:
        ValueError: not that.
    """
    items = loads(data)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("not a list of todos")
    return [_todo(item, item.get("content"), item.get("id") or n) for n, item in enumerate(items[:MAX_TODOS], 1)]


def parse_task_file(data: bytes) -> Todo:
    """{`id`, `subject`, `description`, `activeForm`, `status`, `owner`?, `blocks`, `blockedBy`} to a todo.

    Raises:
        ValueError: not that.
    """
    item = loads(data)
    if not isinstance(item, dict):
        raise ValueError("not a task")
    todo = _todo(item, item.get("subject"), item.get("id"))
    for name in ("description", "owner"):
        if isinstance(item.get(name), str) and item[name]:
            todo[name] = cut(item[name])[0]
    for name, told in (("blocks", "blocks"), ("blockedBy", "blocked_by")):
        if isinstance(item.get(name), list) and item[name]:
            todo[told] = [cut(str(other), 100)[0] for other in item[name][:MAX_TODOS]]
    return todo


def _todo(item: dict[str, Any], content: object, todo_id: object) -> Todo:
    status, active_form = item.get("status"), item.get("activeForm")
    if not isinstance(content, str) or not isinstance(todo_id, (str, int)) or status not in STATUSES:
        raise ValueError("no content, id or known status")
    todo = {"id": cut(str(todo_id), 100)[0], "content": cut(content)[0], "status": status}
    if isinstance(active_form, str):
        todo["active_form"] = cut(active_form)[0]
    return todo
