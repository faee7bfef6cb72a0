"""The shape of a todo and the limits of a list, the same for files and for tool calls. Pure; any thread.

A todo is {`id`, `content`, `status`, `active_form`?, `owner`?, `description`?, `blocks`?, `blocked_by`?, `truncated`?}, as
in `todo.update`. `truncated` is true when a text was cut or `blocks` and `blocked_by` were left out; on the last todo of a
list also when others after it were left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.feed.cutting import MAX_LIST, MAX_TEXT, cut, fitting
from claude_mpm.sources.parse.json_values import text

Todo = dict[str, Any]

STATUSES = ("pending", "in_progress", "completed")
MAX_TODOS = 1_000  # of one list; Claude's own have some ten
MAX_ID = 100  # characters; Claude's are numbers
MAX_LINKS = 100  # ids in `blocks` and in `blocked_by`
_TEXTS = {"active_form": "activeForm", "owner": "owner", "description": "description"}  # ours: Claude Code's
_MARK = ',"truncated":true'  # what marking the last todo adds to the JSON
_SHORTER = (4096, 1024, 256, 64)  # characters of a text, tried one after the other until the list fits


def make_todo(given: Mapping[str, Any], todo_id: str, content: str, status: str) -> Todo:
    """A todo with the optional texts of `given`, which has Claude Code's own keys; long texts are cut."""
    todo: Todo = {"id": cut(todo_id, MAX_ID)[0], "content": content, "status": status}
    todo |= {ours: words for ours, theirs in _TEXTS.items() if (words := text(given.get(theirs)))}
    return _shorten(todo, MAX_TEXT)


def bounded(todos: Sequence[Todo]) -> list[Todo]:
    """The list within MAX_TODOS todos and MAX_LIST bytes of JSON.

    So that every todo and its status is still there, texts are cut shorter first. Only what does not fit even then is
    left out, at the end, and the last todo that is left is marked as `truncated`.
    """
    shorter = list(todos[:MAX_TODOS])
    for limit in _SHORTER:
        if not fitting(shorter)[1]:
            break
        shorter = [_shorten(todo, limit) for todo in shorter]
    shorter = fitting(shorter, MAX_LIST - len(_MARK))[0]
    return [*shorter[:-1], {**shorter[-1], "truncated": True}] if shorter and len(shorter) < len(todos) else shorter


def by_number(todo: Todo) -> int:
    """Sort key: todos with a number for an id by number, as Claude Code shows them; then the others."""
    todo_id = todo["id"]
    is_number = todo_id.isascii() and todo_id.isdigit()  # `²` is a digit too, but int() refuses it
    return int(todo_id) if is_number else 10**MAX_ID


def _shorten(todo: Todo, limit: int) -> Todo:
    """The todo with texts of at most `limit` characters; a list of links counts as one text."""
    short: Todo = {}
    was_cut = False
    for key, value in todo.items():
        if isinstance(value, list):
            over = sum(map(len, value)) > limit
        elif isinstance(value, str) and key not in ("id", "status"):
            value, over = cut(value, limit)
        else:
            over = False
        was_cut |= over
        if not (over and isinstance(value, list)):
            short[key] = value
    return short | {"truncated": True} if was_cut else short
