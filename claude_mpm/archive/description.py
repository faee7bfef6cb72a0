"""What a list says about a session: read from the head and the tail of its transcript, and nothing in between.

Seen in Claude Code 1.0.128, 2.0.77 and 2.1.330. Any thread; blocks on the disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.sources.parse import transcript
from claude_mpm.sources.parse.json_values import name, record, seconds, text
from claude_mpm.sources.parse.observations import Prompt

HEAD_BYTES = 16 * 1024  # the first prompt is within the first 5 KiB of most transcripts
MORE_HEAD_BYTES = 256 * 1024  # where it is not: 2.1 may write attachments before it, and a prompt may be long itself
TAIL_BYTES = 16 * 1024
MORE_TAIL_BYTES = 256 * 1024  # where the last record is longer than TAIL_BYTES: an API request of 2.1, a tool's result
MAX_TITLE = 200  # characters
# Titles that Claude Code stores, the user's own (`/rename`) first: type of record, field. None of the recorded sessions
# has one; other programs that read transcripts know them. 1.x and 2.0 put summaries of earlier sessions first.
_TITLES = (("custom-title", "customTitle"), ("ai-title", "aiTitle"), ("summary", "summary"))
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def describe(path: Path) -> dict[str, Any] | None:
    """The row of `get_sessions` for a transcript, without `instance_id` and `recorded`; None if it cannot be read.

    {`session_id`, `title`, `working_dir`, `git_branch`, `started_at`, `ended_at`, `claude_version`, `bytes`}; what the file
    does not say is None. `bytes` is the size of the main transcript.
    """
    try:
        fd = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        head = _Head()
        head.read(os.pread(fd, HEAD_BYTES, 0))
        if not head.is_complete and status.st_size > HEAD_BYTES:
            head.read(os.pread(fd, MORE_HEAD_BYTES, 0))
        tail = _Tail()
        tail.read(fd, status.st_size)
    except OSError:
        return None
    finally:
        os.close(fd)
    title = tail.titles | head.titles
    chosen = next((title[kind] for kind, _ in _TITLES if kind in title), None) or head.prompt
    return {
        "session_id": path.stem,
        "title": _one_line(chosen) if chosen else None,
        "working_dir": head.working_dir,
        "git_branch": tail.git_branch or head.git_branch,
        "started_at": ev.rfc3339(head.started) if head.started is not None else None,
        "ended_at": ev.rfc3339(tail.ended) if tail.ended is not None else None,
        "claude_version": tail.version or head.version,
        "bytes": status.st_size,
    }


class _Head:
    """What the first records say, each fact by the first one that has it."""

    def __init__(self) -> None:
        self.working_dir: str | None = None
        self.git_branch: str | None = None
        self.version: str | None = None
        self.started: float | None = None
        self.prompt: str | None = None
        self.titles: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        return None not in (self.working_dir, self.started, self.prompt)

    def read(self, data: bytes) -> None:
        """Take the first bytes of the file. The last line of `data` may be cut."""
        for line in data.split(b"\n"):
            entry = record(line)
            if not entry:
                continue
            self.working_dir = self.working_dir or text(entry.get("cwd"))
            self.git_branch = self.git_branch or text(entry.get("gitBranch"))
            self.version = self.version or name(entry.get("version"))
            if self.started is None:
                self.started = seconds(entry.get("timestamp"))
            self.titles = _title(entry) | self.titles
            if self.prompt is None and entry.get("type") == "user":
                prompts = [one for one in transcript.parse(line) if isinstance(one, Prompt)]
                self.prompt = prompts[0].text if prompts and prompts[0].who.is_main else None
            if self.is_complete:
                return


class _Tail:
    """What the last records say, each fact by the last one that has it."""

    def __init__(self) -> None:
        self.ended: float | None = None
        self.git_branch: str | None = None
        self.version: str | None = None
        self.titles: dict[str, str] = {}

    @property
    def _is_complete(self) -> bool:
        return self.ended is not None and self.version is not None

    def read(self, fd: int, size: int) -> None:
        """Look at the end of the file, and further back where its last record is a long one."""
        for limit in (TAIL_BYTES, MORE_TAIL_BYTES):
            for line in _backwards(os.pread(fd, limit, max(size - limit, 0)), is_whole=size <= limit):
                if self._is_complete and b'-title"' not in line:
                    continue
                entry = record(line)
                self.titles = _title(entry) | self.titles
                if self.ended is None:
                    self.ended = seconds(entry.get("timestamp"))
                self.git_branch = self.git_branch or text(entry.get("gitBranch"))
                self.version = self.version or name(entry.get("version"))
            if size <= limit or self._is_complete:
                return


def _backwards(data: bytes, *, is_whole: bool) -> Iterator[bytes]:
    """The lines of the end of a file, last first; the one cut by its beginning only if `is_whole`."""
    lines = data.split(b"\n")
    for line in reversed(lines if is_whole else lines[1:]):
        if line:
            yield line


def _title(entry: Mapping[str, Any]) -> dict[str, str]:
    for kind, field in _TITLES:
        if entry.get("type") == kind and (title := text(entry.get(field))):
            return {kind: title}
    return {}


def _one_line(words: str) -> str:
    line = " ".join(words[: MAX_TITLE * 4].split())
    return line if len(line) <= MAX_TITLE else line[: MAX_TITLE - 1] + "…"
