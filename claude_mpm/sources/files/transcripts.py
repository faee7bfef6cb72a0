"""Finds and follows the files Claude keeps of a session: its transcript and its subagents' transcripts and meta files.

Everything here runs in the file-reader, except that a Transcripts may be built anywhere.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from claude_mpm.sources.files.tail import Tail, first_line
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse import transcript
from claude_mpm.system.files import read_file

log = logging.getLogger(__name__)

MAX_SLUG = 200  # characters; Claude cuts a longer one and appends a hash
MAX_TAILS = 2_000  # files followed
META_BYTES = 1024 * 1024  # a meta file has some hundred bytes
_AGENT_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.jsonl")
_META_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.meta\.json")

OnMeta = Callable[[bytes, str, str, float], None]  # content, session id, agent id, mtime in seconds since the epoch


def slug(cwd: str) -> str:
    """Return the name Claude gives a working directory below `projects`.

    Every UTF-16 code unit that is not an ASCII letter or digit becomes `-` (Claude Code 1.0.128 to 2.1.331).
    """
    return "".join(c if c.isascii() and c.isalnum() else "-" * (2 if ord(c) > 0xFFFF else 1) for c in cwd)


class Transcripts:
    """Follows one session's files, and those of another session when told to.

    Args:
        projects: Claude's directory of all transcripts.
        cwd: the real path of Claude's working directory.
        since: when the process started, in seconds since the epoch; a file not written since then is not its own.
        on_line: gets every line of every file followed; must not raise.
        on_meta: gets the content of every subagent's meta file that changes; must not raise.
        on_guess: gets the session's id when it is not known and only one transcript can be the right one; None if
            nobody needs a guess.
        max_line: bytes; a longer line is skipped.
    """

    def __init__(
        self,
        watcher: Watcher,
        projects: Path,
        cwd: str,
        since: float,
        on_line: Callable[[bytes], None],
        on_meta: OnMeta,
        on_guess: Callable[[str], None] | None,
        max_line: int,
    ) -> None:
        self._watcher = watcher
        self._projects = projects
        self._slug = slug(cwd)
        self._since = since
        self._on_line = on_line
        self._on_meta = on_meta
        self._on_guess = on_guess
        self._max_line = max_line
        self._session: str | None = None
        self._project: Path | None = None
        self._agent_dirs: list[Path] = []  # the current session's last
        self._tails: dict[Path, Tail] = {}
        self._foreign: set[Path] = set()  # agents' files of other sessions

    def start(self) -> None:
        """Begin to look for the project's directory and to watch it."""
        if len(self._slug) <= MAX_SLUG:
            self.look_in(self._projects / self._slug)
        else:
            self._watcher.watch(self._projects, self._projects_changed)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._watcher.unwatch(self._projects, self._projects_changed)
        if self._project is not None:
            self._watcher.unwatch(self._project, self._project_changed)
        for directory in self._agent_dirs:
            self._watcher.unwatch(directory, self._agents_changed)

    def follow(self, session_id: str) -> None:
        """Follow this session from its first byte. The previous one is followed too: it may have a last line to write."""
        self._session = session_id
        self._watch_agents()
        self._project_changed(None)

    def look_in(self, directory: Path) -> None:
        """Take this directory for the project's: Claude has named a transcript in it."""
        if directory == self._project:
            return
        if self._project is not None:
            self._watcher.unwatch(self._project, self._project_changed)
        self._project = directory
        self._watcher.watch(directory, self._project_changed)
        self._watch_agents()

    def has(self, session_id: str) -> bool:
        """Return whether the session has a transcript."""
        return self._project is not None and (self._project / f"{session_id}.jsonl").exists()

    def read_everything(self) -> None:
        """Read every followed file to its end."""
        self._project_changed(None)
        self._agents_changed(None)

    def _watch_agents(self) -> None:
        if self._project is None or self._session is None:
            return
        directory = self._project / self._session / "subagents"
        if directory not in self._agent_dirs:
            self._agent_dirs.append(directory)
            self._watcher.watch(directory, self._agents_changed)
        while len(self._agent_dirs) > 2:
            self._watcher.unwatch(self._agent_dirs.pop(0), self._agents_changed)

    def _projects_changed(self, names: frozenset[str] | None) -> None:
        """Take the only directory that begins like a slug too long to be known in full."""
        matches = [name for name in names_in(self._projects) if name.startswith(f"{self._slug[:MAX_SLUG]}-")]
        if len(matches) == 1 and self._project is None:
            self.look_in(self._projects / matches[0])

    def _project_changed(self, names: frozenset[str] | None) -> None:
        if self._project is None:
            return
        if self._session is None and self._on_guess is not None:
            self._learn_session(self._project, self._on_guess)
        main = f"{self._session}.jsonl"
        for name in sorted(names_in(self._project) if names is None else names, key=lambda name: name != main):
            path = self._project / name
            if name == main or path in self._tails or (_AGENT_FILE.fullmatch(name) and self._is_ours(path)):
                self._read(path)

    def _learn_session(self, project: Path, guess: Callable[[str], None]) -> None:
        """Guess the session if a single transcript of this directory was written since the process started."""
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
        """Return whether an agent's file belongs to our session; 2.0.x keeps those of all sessions side by side."""
        if path in self._foreign or self._session is None:
            return False
        try:
            if os.stat(path).st_mtime < self._since:
                return False
            line = first_line(path, self._max_line)
        except OSError:
            return False
        if line is None:
            return False
        if transcript.session_of(line) == self._session:
            return True
        self._foreign.add(path)
        return False

    def _agents_changed(self, names: frozenset[str] | None) -> None:
        for directory in self._agent_dirs:
            for name in sorted(names_in(directory) if names is None else names):
                if match := _META_FILE.fullmatch(name):
                    self._read_meta(directory / name, match[1])
                elif _AGENT_FILE.fullmatch(name):
                    self._read(directory / name)

    def _read(self, path: Path) -> None:
        """Hand on a file's new lines.

        A resumed session's history is read in one go, though not held: what it says must be known before anything
        later is observed. Reading 300 MB of it takes one to two seconds.
        """
        tail = self._tails.get(path)
        if tail is None:
            if len(self._tails) >= MAX_TAILS:
                return
            tail = self._tails[path] = Tail(path, self._max_line)
        skipped = tail.skipped
        with closing(tail.read()) as chunks:
            for lines in chunks:
                for line in lines:
                    self._on_line(line)
                if self._watcher.stopping:
                    return
        if tail.skipped != skipped:
            log.warning("a line of %s is longer than %d bytes and was skipped", path, self._max_line)

    def _read_meta(self, path: Path, agent_id: str) -> None:
        try:
            content, mtime = read_file(path, META_BYTES)
        except (OSError, ValueError):
            return
        self._on_meta(content, path.parent.parent.name, agent_id, mtime)


def names_in(directory: Path) -> list[str]:
    """Return the names in a directory; none if it cannot be read."""
    try:
        return os.listdir(directory)
    except OSError:
        return []
