"""Channel patterns, by which a client chooses event types: `*`, `agent.*`, `todo.update`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from claude_mpm.feed.event import CLAUDE_SCREEN, EVENT_TYPES

MAX_PATTERNS = 64  # per client; there are 17 event types
MAX_LENGTH = 64  # characters
_PATTERN = re.compile(r"\*|[a-z_]+(\.[a-z_]+)*(\.\*)?")


def is_pattern(text: object) -> bool:
    """Whether `text` is a well-formed pattern. It may name a type that does not exist: a later version may have it."""
    return isinstance(text, str) and len(text) <= MAX_LENGTH and _PATTERN.fullmatch(text) is not None


def matches(pattern: str, event_type: str) -> bool:
    """Whether the pattern covers the type. `*` covers all but `claude.screen`, which only its exact name does."""
    if pattern == event_type:
        return True
    if event_type == CLAUDE_SCREEN:
        return False
    return pattern == "*" or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))


def any_matches(patterns: Iterable[str], event_type: str) -> bool:
    """Whether any of the patterns covers the type."""
    return any(matches(pattern, event_type) for pattern in patterns)


def expand(patterns: Iterable[str]) -> frozenset[str]:
    """The event types that the patterns cover."""
    return _expand(tuple(patterns))


@lru_cache(maxsize=256)
def _expand(patterns: tuple[str, ...]) -> frozenset[str]:
    return frozenset(kind for kind in EVENT_TYPES if any_matches(patterns, kind))
