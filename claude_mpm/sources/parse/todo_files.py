"""The files that Claude Code keeps its todos in. Pure; any thread.

1.0 and 2.0 write one file per list, `todos/<session>-agent-<agent>.json`; from 2.1.20 on each task is a file,
`tasks/<session>/<id>.json` (docs/claude-code.md). Both may be read half written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.feed.cutting import cut
from claude_mpm.sources.parse.json_values import sequence
from claude_mpm.sources.parse.todos import MAX_ID, MAX_LINKS, MAX_TODOS, STATUSES, Todo, bounded, make_todo
from claude_mpm.system.json_text import loads


def parse_todo_file(data: bytes) -> list[Todo]:
    """[{`content`, `status`, `activeForm`, `id`?}] as todos; without an id, it is the place in the list, from 1.

    Raises:
        ValueError: the data has another shape, or is no JSON.
    """
    items = loads(data)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("not a list of todos")
    return bounded([_todo(item, "content", item.get("id") or n) for n, item in enumerate(items[: MAX_TODOS + 1], 1)])


def parse_task_file(data: bytes) -> Todo:
    """{`id`, `subject`, `description`, `activeForm`, `status`, `owner`?, `blocks`, `blockedBy`} as a todo.

    Raises:
        ValueError: the data has another shape, or is no JSON.
    """
    item = loads(data)
    if not isinstance(item, dict):
        raise ValueError("not a task")
    todo = _todo(item, "subject", item.get("id"))
    for ours, theirs in (("blocks", "blocks"), ("blocked_by", "blockedBy")):
        links = [str(link) for link in sequence(item.get(theirs)) if isinstance(link, (str, int))]
        if links:
            todo[ours] = [cut(link, MAX_ID)[0] for link in links[:MAX_LINKS]]
    return todo


def _todo(item: Mapping[str, Any], content_key: str, todo_id: object) -> Todo:
    content, status = item.get(content_key), item.get("status")
    if not isinstance(content, str) or not isinstance(todo_id, (str, int)) or status not in STATUSES:
        raise ValueError("no content, id or known status")
    return make_todo(item, str(todo_id), content, status)
