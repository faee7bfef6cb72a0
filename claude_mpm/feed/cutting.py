"""The limits of an event's size, and how texts, JSON values and lists are cut to them. Pure; any thread."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

from claude_mpm.system import json_text

MAX_TEXT = 16 * 1024  # characters of one text or one tool input in an event; a screenful is about 5,000
MAX_LIST = 256 * 1024  # bytes of JSON of one whole list in an event
MAX_NUMBER = 40  # digits of an integer in a tool input; JSON sets no limit, and 4,000 digits would escape MAX_TEXT

Item = TypeVar("Item")


def cut(text: str, limit: int = MAX_TEXT) -> tuple[str, bool]:
    """`text` no longer than `limit` characters, and whether anything was cut."""
    return (text, False) if len(text) <= limit else (text[:limit], True)


class _Cutter:
    """Copies a JSON value while its keys, texts and numbers share a budget of characters."""

    MAX_DEPTH = 20
    MAX_ITEMS = 500  # of one object or array
    MAX_KEY = 200  # characters

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.was_cut = False

    def copy(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, str):
            return self._text(value, max(self.left, 0))
        if isinstance(value, int) and value.bit_length() > MAX_NUMBER * 10 // 3:
            self.was_cut = True
            return None
        if isinstance(value, (dict, list)):
            return self._container(value, depth)
        self.left -= 1
        return value

    def _container(self, value: dict[Any, Any] | list[Any], depth: int) -> Any:
        if depth > self.MAX_DEPTH or self.left <= 0:
            self.was_cut = True
            return None
        self.left -= 1
        self.was_cut |= len(value) > self.MAX_ITEMS
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in value[: self.MAX_ITEMS]]
        items = itertools.islice(value.items(), self.MAX_ITEMS)
        return {self._text(str(key), self.MAX_KEY): self.copy(item, depth + 1) for key, item in items}

    def _text(self, text: str, limit: int) -> str:
        short, was_cut = cut(text, limit)
        self.left -= len(short)
        self.was_cut |= was_cut
        return short


def cut_value(value: Any, limit: int = MAX_TEXT) -> tuple[Any, bool]:
    """Copy a JSON value, with `limit` characters for all of its keys and texts; and whether anything was cut.

    What is left out of an object or array once the limit is reached is null. Integers of more than MAX_NUMBER digits,
    containers nested deeper than 20 and items after the 500th of one container are left out too.
    """
    cutter = _Cutter(limit)
    return cutter.copy(value), cutter.was_cut


def fitting(items: Sequence[Item], limit: int = MAX_LIST) -> tuple[list[Item], bool]:
    """The first items that together take at most `limit` bytes as JSON, and whether any was left out."""
    if len(json_text.dumps(items)) <= limit:
        return list(items), False
    size = 2  # the brackets
    for number, item in enumerate(items):
        size += len(json_text.dumps(item)) + 1  # the comma
        if size > limit:
            return list(items[:number]), True
    return list(items), False
