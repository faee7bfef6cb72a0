"""Finds a text in what was said and done in sessions: prompts, answers and tools' inputs.

Files are mapped, not read, and compared in pieces: lowering a piece of 64 KiB stays in the processor's cache, so a
search without regard to case costs about as much as one with it. A line is decoded only where the text occurs in it.
Two thirds of a second per GB that is in the page cache (Python 3.11, one core of 2026). Any thread; blocks on the disk.
"""

from __future__ import annotations

import json
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claude_mpm.archive.merge import AgentPaths
from claude_mpm.sources.parse import transcript
from claude_mpm.sources.parse.observations import Observation, Prompt, Said, ToolStarted

PIECE = 64 * 1024  # bytes compared at a time; at 128 KiB it takes half as long again
MAX_LINE = 16 * 1024 * 1024  # bytes of a line that is decoded, as for the readers of live sessions
BEFORE, AFTER = 60, 140  # characters around a match that a result shows
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Match:
    """Where a session has the text.

    Attributes:
        role: `user`, `assistant` or `tool`.
        line: the text around the match, on one line.
    """

    role: str
    line: str


class Needle:
    """A text to search for, without regard to the case of ASCII letters."""

    def __init__(self, text: str) -> None:
        self.text = _lower(text)
        # As JSON.stringify writes it: only quotes, backslashes and control characters are escaped.
        self.encoded = json.dumps(self.text, ensure_ascii=False)[1:-1].encode("utf-8", "replace")


def search(main: Path, needle: Needle, agents: AgentPaths) -> Match | None:
    """The first place where the session of this transcript, or one of its subagents, has the text."""
    for path in [main, *agents.of(main)]:
        if (match := _search_file(path, needle)) is not None:
            return match
    return None


def _search_file(path: Path, needle: Needle) -> Match | None:
    with suppress(OSError, ValueError):  # removed, cut short or no regular file: it has no match
        fd = os.open(path, _FLAGS)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size < len(needle.encoded):
                return None
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
                return _first_match(mapped, needle)
        finally:
            os.close(fd)
    return None


def _first_match(mapped: mmap.mmap, needle: Needle) -> Match | None:
    for start, end in _lines_with(mapped, needle.encoded):
        if end - start > MAX_LINE:
            continue
        for one in transcript.parse(mapped[start:end]):
            for role, words in _words(one):
                at = _lower(words).find(needle.text)
                if at >= 0:
                    return Match(role, _around(words, at, len(needle.text)))
    return None


def _lines_with(mapped: mmap.mmap, encoded: bytes) -> Iterator[tuple[int, int]]:
    """Where the lines begin and end that contain these lower-case bytes, each once."""
    at, size = 0, len(mapped)
    while at < size:
        found = mapped[at : at + PIECE + len(encoded) - 1].lower().find(encoded)
        if found < 0:
            at += PIECE
            continue
        start = mapped.rfind(b"\n", 0, at + found) + 1
        end = mapped.find(b"\n", at + found)
        if end < 0:
            end = size
        yield start, end
        at = end + 1


def _words(one: Observation) -> Iterator[tuple[str, str]]:
    if isinstance(one, Prompt):
        yield "user", one.text
    elif isinstance(one, Said):
        yield "assistant", one.text
    elif isinstance(one, ToolStarted):
        yield from (("tool", f"{one.tool}: {words}") for words in _texts(one.input))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, without recursion: its depth is the file's to choose."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += reversed(one.values())
        elif isinstance(one, list):
            waiting += reversed(one)


def _around(words: str, at: int, length: int) -> str:
    start, end = max(at - BEFORE, 0), at + length + AFTER
    line = " ".join(words[start:end].split())
    return f"{'…' if start else ''}{line}{'…' if end < len(words) else ''}"


def _lower(text: str) -> str:
    """`text` with ASCII letters in lower case, and as long as it was."""
    return text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
