"""The lines of a session's transcript and of its subagents' transcripts, merged in the order of their times.

A session with hundreds of subagents has as many files: only those are open whose time has come. Nothing is held but a
piece of each open file. For one thread; blocks on the disk.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from claude_mpm.sources.files.tail import Tail, first_line
from claude_mpm.sources.files.transcripts import META_BYTES
from claude_mpm.sources.parse import transcript
from claude_mpm.sources.parse.json_values import record, seconds
from claude_mpm.system.files import read_file

MAX_AGENTS = 10_000  # subagents' files of one session
FIRST_LINE = 1024 * 1024  # bytes; the first line of an agent's file is its prompt
_AGENT_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.jsonl")
_TIMESTAMP = re.compile(rb'"timestamp": ?"([0-9T:.+Z-]{1,40})"')


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A subagent's transcript.

    Attributes:
        started: the time of its first line, seconds since the epoch.
        meta: the content of its meta file (2.1); empty if there is none.
    """

    path: Path
    agent_id: str
    started: float
    meta: bytes = b""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the merged transcripts.

    Attributes:
        at: its place in the merge, seconds since the epoch: its own time, or that of the line before it in its file where
            it has none or an earlier one.
        agent: the file it is from; None for the main transcript.
        data: the line; None where `agent` has just begun or, with `is_end`, has just ended.
    """

    at: float
    agent: AgentFile | None
    data: bytes | None
    is_end: bool = False


def agent_files(main: Path, max_line: int) -> list[AgentFile]:
    """The files of the session's subagents, the first to start first: below the main file (2.1) and beside it (2.0)."""
    found = (_agent_file(path, max_line) for path in AgentPaths().of(main))
    return sorted((one for one in found if one is not None), key=lambda one: (one.started, one.agent_id))[:MAX_AGENTS]


class AgentPaths:
    """Where the files of sessions' subagents are. It looks into each project's directory once, so use it briefly."""

    def __init__(self) -> None:
        self._beside: dict[Path, dict[str, list[Path]]] = {}  # by directory, by session

    def of(self, main: Path) -> list[Path]:
        """The paths of the subagents' files of the session with this transcript, in no order."""
        directory = main.parent
        if directory not in self._beside:
            self._beside[directory] = _by_session(directory)
        below = directory / main.stem / "subagents"
        found = [below / name for name in _names_in(below) if _AGENT_FILE.fullmatch(name)]
        return found + self._beside[directory].get(main.stem, [])


def merged(main: Path, agents: list[AgentFile], max_line: int) -> Generator[Line, None, None]:
    """Every complete line of these files that may tell something, and where each agent begins and ends.

    Within a file the order is the file's: 1.x appends a subagent's lines, with their true times, when it has ended.
    Close the iterator (`contextlib.closing`) if it is not exhausted.
    """
    waiting = list(reversed(agents))
    with ExitStack() as files:
        number = 0
        heap: list[tuple[float, int, Line, Generator[Line, None, None]]] = []

        def follow(lines: Generator[Line, None, None]) -> None:
            nonlocal number
            files.callback(lines.close)
            line = next(lines, None)
            if line is not None:
                heapq.heappush(heap, (line.at, number, line, lines))
                number += 1

        follow(_main_lines(main, max_line))
        while heap or waiting:
            while waiting and (not heap or waiting[-1].started < heap[0][0]):
                follow(_agent_lines(waiting.pop(), max_line))
            _, order, line, lines = heap[0]
            yield line
            following = next(lines, None)
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (following.at, order, following, lines))


def _main_lines(path: Path, max_line: int) -> Generator[Line, None, None]:
    for at, data in _lines(path, 0.0, max_line):
        yield Line(at, None, data)


def _agent_lines(agent: AgentFile, max_line: int) -> Generator[Line, None, None]:
    yield Line(agent.started, agent, None)
    last = agent.started
    for at, data in _lines(agent.path, agent.started, max_line):
        yield Line(at, agent, data)
        last = at
    yield Line(last, agent, None, is_end=True)


def _lines(path: Path, at: float, max_line: int) -> Iterator[tuple[float, bytes]]:
    for lines in Tail(path, max_line).read():
        for line in lines:
            # 2.1 writes records of its API requests out of order, before older ones that matter.
            if transcript.is_worth_decoding(line):
                at = max(at, time_of(line) or 0.0)
                yield at, line


def time_of(line: bytes) -> float | None:
    """When a line was written, in seconds since the epoch; None if it does not say.

    Most lines hold one time, their own, which is found without decoding them. Quotes inside a text are escaped, so a
    text is never mistaken for it; a tool's structured result may be, and then the line is decoded.
    """
    times = _TIMESTAMP.findall(line)
    if len(times) > 1:
        return seconds(record(line).get("timestamp"))
    return seconds(times[0].decode()) if times else None


def _agent_file(path: Path, max_line: int) -> AgentFile | None:
    """None unless it can be read and has a first line."""
    line = _first_line(path, max_line)
    match = _AGENT_FILE.fullmatch(path.name)
    if line is None or match is None:
        return None
    try:
        meta = read_file(path.with_name(f"agent-{match[1]}.meta.json"), META_BYTES)[0]
    except (OSError, ValueError):
        meta = b""
    return AgentFile(path, match[1], seconds(record(line).get("timestamp")) or 0.0, meta)


def _by_session(directory: Path) -> dict[str, list[Path]]:
    """2.0: the agents' files that lie beside transcripts, by the session that their first line names."""
    found: dict[str, list[Path]] = {}
    for name in _names_in(directory):
        if _AGENT_FILE.fullmatch(name) and (line := _first_line(directory / name, FIRST_LINE)) is not None:
            found.setdefault(transcript.session_of(line) or "", []).append(directory / name)
    return found


def _first_line(path: Path, max_line: int) -> bytes | None:
    try:
        return first_line(path, max_line)
    except OSError:
        return None


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
