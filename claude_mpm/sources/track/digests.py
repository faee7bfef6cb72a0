"""Texts and inputs to be recognised again, held as digests: a few bytes in place of up to a whole record.

A digest has 128 bits of BLAKE2b (RFC 7693), so two texts of one session do not share one by chance.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from claude_mpm.feed.cutting import cut, cut_value

Digest = bytes
_encode = json.JSONEncoder(sort_keys=True).encode

MAX_FIELDS = 50  # of an input; no tool has more than 20 parameters

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(OrderedDict[Key, Value], Generic[Key, Value]):
    """A dict of at most `limit` entries, which forgets the oldest. Setting a key makes it the newest."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def text_digest(*parts: str) -> Digest:
    """One digest for several texts in this order."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.digest()


def value_digest(value: Any) -> Digest:
    """The digest of a JSON value, whatever the order of its keys."""
    try:
        return text_digest(_encode(value))
    except (RecursionError, ValueError):  # deeper than it could be read, or an integer of more than 4,300 digits
        return text_digest(_encode(cut_value(value)[0]))


class InputDigest:
    """A tool call's input, to be compared with the same input as another source has it."""

    __slots__ = ("_fields", "_whole")

    def __init__(self, value: Any) -> None:
        self._fields: Mapping[str, Digest] = {}
        if isinstance(value, dict):
            self._fields = {cut(str(key), 100)[0]: value_digest(value[key]) for key in sorted(value)[:MAX_FIELDS]}
        self._whole = None if self._fields else value_digest(value)

    def matches(self, other: InputDigest) -> bool:
        """Whether these are the same input.

        Hooks have it with defaults filled in, so what both name has to agree, and there must be something both name.
        """
        if not self._fields or not other._fields:
            return self._whole is not None and self._whole == other._whole
        common = self._fields.keys() & other._fields.keys()
        return bool(common) and all(self._fields[key] == other._fields[key] for key in common)
