"""The files Claude keeps of a session, found and followed: its transcript, its agents', and what is beside them.

For the file-reader only.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

from claude_mpm.sources.files.tail import Tail
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse import transcript
from claude_mpm.sources.parse.observations import Observation
from claude_mpm.system.files import read_file

log = logging.getLogger(__name__)

LONGEST_SLUG = 200  # characters; Claude cuts a longer one and adds a hash
MAX_TAILS = 2_000  # files followed
SMALL_FILE = 1024 * 1024  # bytes; a meta file has some hundred
_AGENT_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.jsonl")
_META_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.meta\.json")


def slug(cwd: str) -> str:
    """The name of a directory's transcripts: every UTF-16 unit that is no ASCII letter or digit becomes `-`."""
    return "".join(c if c.isascii() and c.isalnum() else "-" * (2 if ord(c) > 0xFFFF else 1) for c in cwd)


class Transcripts:
    """Follows one session's files, and another's when told.

    Args:
        projects: Claude's directory of all transcripts.
        cwd: Claude's working directory, its real path.
        since: the process's start; files not written since then are not its.
        observe: gets what the files show.
        guess: gets the session's id if it is not known and there is only one it can be; None: nobody asks.
        max_line: bytes; a longer line is passed over.
    """

    def __init__(
        self,
        watcher: Watcher,
        projects: Path,
        cwd: str,
        since: float,
        observe: Callable[[list[Observation]], None],
        guess: Callable[[str], None] | None,
        max_line: int,
    ) -> None:
        self._watcher = watcher
        self._projects = projects
        self._slug = slug(cwd)
        self._since = since
        self._observe = observe
        self._guess = guess
        self._max_line = max_line
        self._session: str | None = None
        self._project: Path | None = None
        self._agents: list[Path] = []  # directories of subagents' files, the current session's last
        self._tails: dict[Path, Tail] = {}
        self._others: set[Path] = set()  # agents' files of other sessions

    def start(self) -> None:
        """Begin to look for the directory and to watch it."""
        if len(self._slug) <= LONGEST_SLUG:
            self.look_in(self._projects / self._slug)
        else:
            self._watcher.watch(self._projects, self._projects_changed)

    def stop(self) -> None:
        self._watcher.unwatch(self._projects, self._projects_changed)
        if self._project is not None:
            self._watcher.unwatch(self._project, self._project_changed)
        for directory in self._agents:
            self._watcher.unwatch(directory, self._agents_changed)

    def follow(self, session_id: str) -> None:
        """Follow this session from the first byte; the one before may have a word left."""
        self._session = session_id
        self._watch_agents()
        self._project_changed(None)

    def look_in(self, directory: Path) -> None:
        """The transcripts are in this directory."""
        if directory == self._project:
            return
        if self._project is not None:
            self._watcher.unwatch(self._project, self._project_changed)
        self._project = directory
        self._watcher.watch(directory, self._project_changed)
        self._watch_agents()

    def has(self, session_id: str) -> bool:
        """Whether the session has a transcript."""
        return self._project is not None and (self._project / f"{session_id}.jsonl").exists()

    def read_everything(self) -> None:
        self._project_changed(None)
        self._agents_changed(None)

    def _watch_agents(self) -> None:
        if self._project is None or self._session is None:
            return
        directory = self._project / self._session / "subagents"
        if directory not in self._agents:
            self._agents.append(directory)
            self._watcher.watch(directory, self._agents_changed)
        while len(self._agents) > 2:
            self._watcher.unwatch(self._agents.pop(0), self._agents_changed)

    def _projects_changed(self, names: frozenset[str] | None) -> None:
        """A slug too long to know in full: the directory that begins like it."""
        found = [name for name in names_in(self._projects) if name.startswith(f"{self._slug[:LONGEST_SLUG]}-")]
        if len(found) == 1 and self._project is None:
            self.look_in(self._projects / found[0])

    def _project_changed(self, names: frozenset[str] | None) -> None:
        if self._project is None:
            return
        if self._session is None and self._guess is not None:
            self._learn_session(self._project, self._guess)
        main = f"{self._session}.jsonl"
        for name in sorted(names_in(self._project) if names is None else names, key=lambda name: name != main):
            path = self._project / name
            if name == main or path in self._tails or (_AGENT_FILE.fullmatch(name) and self._is_ours(path)):
                self._read(path)

    def _learn_session(self, project: Path, guess: Callable[[str], None]) -> None:
        """The one transcript of this directory that is written since the process started."""
        fresh = []
        for name in names_in(project):
            if name.endswith(".jsonl") and not _AGENT_FILE.fullmatch(name):
                try:
                    if os.stat(project / name).st_mtime >= self._since:
                        fresh.append(name.removesuffix(".jsonl"))
                except OSError:
                    continue
        if len(fresh) == 1:
            guess(fresh[0])

    def _is_ours(self, path: Path) -> bool:
        """2.0.x keeps the agents' files of all sessions of a directory side by side."""
        if path in self._others or self._session is None:
            return False
        try:
            if os.stat(path).st_mtime < self._since:
                return False
            first = Tail(path, self._max_line).read()[:1]
        except OSError:
            return False
        if not first:
            return False
        if transcript.session_of(first[0]) == self._session:
            return True
        self._others.add(path)
        return False

    def _agents_changed(self, names: frozenset[str] | None) -> None:
        for directory in self._agents:
            for name in sorted(names_in(directory) if names is None else names):
                if found := _META_FILE.fullmatch(name):
                    self._read_meta(directory / name, found[1])
                elif _AGENT_FILE.fullmatch(name):
                    self._read(directory / name)

    def _read(self, path: Path) -> None:
        tail = self._tails.get(path)
        if tail is None:
            if len(self._tails) >= MAX_TAILS:
                return
            tail = self._tails[path] = Tail(path, self._max_line)
        skipped = tail.skipped
        for line in tail.read():
            self._observe(transcript.parse(line))
        if tail.skipped != skipped:
            log.warning("a line of %s is longer than %d bytes: passed over", path, self._max_line)

    def _read_meta(self, path: Path, agent_id: str) -> None:
        try:
            content, mtime = read_file(path, SMALL_FILE)
        except (OSError, ValueError):
            return
        self._observe(transcript.parse_meta(content, path.parent.parent.name, agent_id, mtime))


def names_in(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
