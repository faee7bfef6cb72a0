"""Everything one Claude process writes, found, followed and joined: transcripts, hooks, session file, todos, stdout.

Each source is optional. The session's id leads to the files; where it is not known in advance (resume, continue) it
is learned from the hooks, from stdout or from sessions/<pid>.json. All reading happens in the watcher's thread.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from claude_mpm.config import Limits
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources import hooks, session_file, stream_json, transcript
from claude_mpm.sources.files import read_file
from claude_mpm.sources.observations import Observation, ProcessEnded, ProcessStarted, SessionStarted, TodoFile, Who
from claude_mpm.sources.tail import Tail
from claude_mpm.sources.todos import SESSION_ID, TodoFiles, TodoList
from claude_mpm.sources.tracker import NewSession, Tracker
from claude_mpm.sources.watcher import Watcher

log = logging.getLogger(__name__)

LONGEST_SLUG = 200  # characters; Claude cuts a longer one and adds a hash
GRACE = 0.25  # seconds; the numbers of an agent's end are written up to this long after its hook has run
STARTED_BEFORE = 5.0  # seconds between the process's start and ours, at most, where nobody says
MAX_TAILS = 2_000  # files followed
SMALL_FILE = 1024 * 1024  # bytes; a session or meta file has some hundred
_AGENT_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.jsonl")
_META_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,100})\.meta\.json")
_SESSION_FILE = re.compile(r"(\d{1,10})\.json")


def slug(cwd: str) -> str:
    """The name of a directory's transcripts: every UTF-16 unit that is no ASCII letter or digit becomes `-`."""
    return "".join(c if c.isascii() and c.isalnum() else "-" * (2 if ord(c) > 0xFFFF else 1) for c in cwd)


class ClaudeSources:
    """What one Claude process does, as events.

    Args:
        watcher: the file-reader; its start and stop are its owner's.
        config_dir: Claude's own directory (`~/.claude`).
        cwd: Claude's working directory.
        emit: gets the events, in the file-reader.
        spool: the directory hooks.hook_settings() was made for; None without hooks.
        new_session: makes the `session.start` event when Claude moves on to another session (`/clear`, resume).
    """

    def __init__(
        self,
        watcher: Watcher,
        config_dir: Path,
        cwd: Path,
        emit: Callable[[Event], None],
        spool: Path | None,
        limits: Limits,
        *,
        new_session: NewSession | None = None,
    ) -> None:
        self._watcher = watcher
        self._config_dir = config_dir
        self._projects = config_dir / "projects"
        self._slug = slug(os.path.realpath(cwd))
        self._emit = emit
        self._spool = spool
        self._limits = limits
        self._new_session = new_session
        self._tracker = Tracker()  # from here on: file-reader only
        self._pid: int | None = None
        self._started = 0.0
        self._followed: str | None = None  # the session whose files are watched
        self._project: Path | None = None
        self._agents: list[Path] = []  # directories of subagents' files, the current session's last
        self._tails: dict[Path, Tail] = {}
        self._others: set[Path] = set()  # agents' files of other sessions
        self._exit: tuple[int | None, str | None] | None = None
        self._todos: TodoFiles | None = None

    # --- any thread ---

    def start(self, session_id: str | None, pid: int | None, started: float | None = None) -> None:
        """Begin. Does not block; before or after the watcher's start.

        Args:
            session_id: Claude's session; None when Claude picks it (resume, continue).
            pid: Claude's process; None if not known (yet, see process_started).
            started: when it was started, seconds since the epoch; what a transcript tells of before is not told again.
        """
        since = started if started is not None else time.time() - STARTED_BEFORE
        self._watcher.post(lambda: self._begin(session_id, pid, since))

    def process_started(self, pid: int) -> None:
        """Claude's process is this one."""
        self._watcher.post(lambda: self._set_pid(pid))

    def process_ended(self, exit_code: int | None, signal: str | None) -> None:
        """The process has ended. What is open is closed by drain(), when its last words have been read."""

        def note() -> None:
            self._exit = (exit_code, signal)

        self._watcher.post(note)

    def stdout_line(self, line: bytes) -> None:
        """A line of `-p --output-format stream-json`, or of anything else. Does not block."""
        self._watcher.post(lambda: self._observe(stream_json.parse(line), "stream_json"))

    def drain(self, timeout: float) -> bool:
        """Read all that is on disk, and close what is open if the process has ended. Blocks up to `timeout` seconds.

        Every event that follows has been emitted when this returns True. Not for the file-reader itself.
        """
        done = threading.Event()

        def finish() -> None:
            try:
                self._read_everything()
                if self._exit is not None:
                    self._observe([ProcessEnded(Who(), None, *self._exit)], "process")
            finally:
                done.set()

        return self._watcher.post(finish) and done.wait(timeout)

    def stop(self) -> None:
        """Follow nothing any more. Does not block."""
        self._watcher.post(self._unwatch_all)

    # --- file-reader ---

    def _begin(self, session_id: str | None, pid: int | None, since: float) -> None:
        self._tracker = Tracker(session_id, self._new_session)
        self._pid, self._started = pid, since
        self._observe([ProcessStarted(Who(), since, pid)], "process")
        if self._spool is not None:
            self._watcher.watch(self._spool, self._spool_changed)
        self._watcher.watch(self._config_dir / "sessions", self._session_files_changed)
        self._todos = TodoFiles(
            self._watcher, self._config_dir, session_id, self._list_changed, self._limits.todo_bytes
        )
        self._todos.start()
        if len(self._slug) <= LONGEST_SLUG:
            self._watch_project(self._projects / self._slug)
        else:
            self._watcher.watch(self._projects, self._projects_changed)
        self._follow_session()

    def _set_pid(self, pid: int) -> None:
        self._pid = pid
        self._session_files_changed(frozenset({f"{pid}.json"}))

    def _observe(self, observations: Iterable[Observation], source: Source, at: float | None = None) -> None:
        """`at`: the time of what has none of its own; None: now."""
        now = at if at is not None else time.time()
        for observation in observations:
            for event in self._tracker.observe(observation, source, now):
                self._emit(event)
        for name in self._tracker.take_unsettled():
            self._watcher.post_after(GRACE, lambda name=name: self._settle(name))  # type: ignore[misc]
        if self._tracker.session_id != self._followed:
            self._follow_session()

    def _settle(self, name: str) -> None:
        for event in self._tracker.settle(name):
            self._emit(event)

    def _unwatch_all(self) -> None:
        watcher = self._watcher
        if self._spool is not None:
            watcher.unwatch(self._spool, self._spool_changed)
        watcher.unwatch(self._config_dir / "sessions", self._session_files_changed)
        watcher.unwatch(self._projects, self._projects_changed)
        if self._project is not None:
            watcher.unwatch(self._project, self._project_changed)
        for directory in self._agents:
            watcher.unwatch(directory, self._agents_changed)
        if self._todos is not None:
            self._todos.stop()

    def _read_everything(self) -> None:
        self._spool_changed(None)
        self._project_changed(None)
        self._agents_changed(None)
        if self._pid is not None:
            self._session_files_changed(frozenset({f"{self._pid}.json"}))

    # --- which files ---

    def _follow_session(self) -> None:
        session_id = self._tracker.session_id
        if session_id is None or session_id == self._followed or SESSION_ID.fullmatch(session_id) is None:
            return
        self._followed = session_id
        if self._todos is not None:
            self._todos.switch(session_id)
        self._watch_agents()
        self._project_changed(None)

    def _watch_project(self, directory: Path) -> None:
        if directory == self._project:
            return
        if self._project is not None:
            self._watcher.unwatch(self._project, self._project_changed)
        self._project = directory
        self._watcher.watch(directory, self._project_changed)
        self._watch_agents()

    def _watch_agents(self) -> None:
        if self._project is None or self._followed is None:
            return
        directory = self._project / self._followed / "subagents"
        if directory not in self._agents:
            self._agents.append(directory)
            self._watcher.watch(directory, self._agents_changed)
        while len(self._agents) > 2:  # the last session's agents may have a word left
            self._watcher.unwatch(self._agents.pop(0), self._agents_changed)

    def _projects_changed(self, names: frozenset[str] | None) -> None:
        """A slug too long to know in full: the directory that begins like it."""
        found = [name for name in _names(self._projects) if name.startswith(f"{self._slug[:LONGEST_SLUG]}-")]
        if len(found) == 1 and self._project is None:
            self._watch_project(self._projects / found[0])

    # --- transcripts ---

    def _project_changed(self, names: frozenset[str] | None) -> None:
        if self._project is None:
            return
        if self._followed is None:
            self._learn_session(self._project)
        main = f"{self._followed}.jsonl"
        for name in sorted(_names(self._project) if names is None else names, key=lambda name: name != main):
            path = self._project / name
            if name == main or path in self._tails or (_AGENT_FILE.fullmatch(name) and self._is_ours(path)):
                self._read(path)

    def _learn_session(self, project: Path) -> None:
        """Without hooks: the one transcript of this directory that is written since the process started."""
        if self._spool is not None or self._pid is None:
            return
        fresh = []
        for name in _names(project):
            if name.endswith(".jsonl") and not _AGENT_FILE.fullmatch(name):
                try:
                    if os.stat(project / name).st_mtime >= self._started:
                        fresh.append(name.removesuffix(".jsonl"))
                except OSError:
                    continue
        if len(fresh) == 1:
            self._tracker.session_id = fresh[0]
            self._follow_session()

    def _is_ours(self, path: Path) -> bool:
        """2.0.x keeps the agents' files of all sessions of a directory side by side."""
        if path in self._others or self._followed is None:
            return False
        try:
            if os.stat(path).st_mtime < self._started:
                return False
            with open(path, "rb") as file:
                first = file.readline(SMALL_FILE)
        except OSError:
            return False
        if not first.endswith(b"\n"):
            return False
        if transcript.session_of(first) == self._followed:
            return True
        self._others.add(path)
        return False

    def _agents_changed(self, names: frozenset[str] | None) -> None:
        for directory in self._agents:
            for name in sorted(_names(directory) if names is None else names):
                if found := _META_FILE.fullmatch(name):
                    self._read_meta(directory / name, found[1])
                elif _AGENT_FILE.fullmatch(name):
                    self._read(directory / name)

    def _read(self, path: Path) -> None:
        tail = self._tails.get(path)
        if tail is None:
            if len(self._tails) >= MAX_TAILS:
                return
            tail = self._tails[path] = Tail(path, self._limits.line_bytes)
        skipped = tail.skipped
        for line in tail.read():
            self._observe(transcript.parse(line), "transcript")
        if tail.skipped != skipped:
            log.warning("a line of %s is longer than %d bytes: passed over", path, self._limits.line_bytes)

    def _read_meta(self, path: Path, agent_id: str) -> None:
        try:
            content, mtime = read_file(path, SMALL_FILE)
        except (OSError, ValueError):
            return
        session_id = path.parent.parent.name
        self._observe(transcript.parse_meta(content, session_id, agent_id, mtime), "transcript")

    # --- the others ---

    def _spool_changed(self, names: frozenset[str] | None) -> None:
        assert self._spool is not None or names is None
        if self._spool is None:
            return
        waiting = []
        for name in _names(self._spool):
            if name.endswith(hooks.SUFFIX):
                try:
                    waiting.append((os.stat(self._spool / name).st_mtime_ns, len(name), name))
                except OSError:
                    continue
        for mtime_ns, _, name in sorted(waiting):  # of the same instant: the one with the smaller pid is older
            path = self._spool / name
            try:
                payload, _ = read_file(path, self._limits.line_bytes)
            except (OSError, ValueError) as error:
                log.warning("a hook's payload was left aside: %s", error)
                payload = b""
            path.unlink(missing_ok=True)
            self._hook(payload, mtime_ns / 1e9)

    def _hook(self, payload: bytes, at: float) -> None:
        self._observe(hooks.parse(payload, at), "hook", at)
        told = hooks.transcript_of(payload)
        if told is not None and told[0] == self._tracker.session_id:
            path = Path(told[1])
            if path.is_absolute() and path.parent != self._project and path.name == f"{told[0]}.jsonl":
                self._watch_project(path.parent)

    def _session_files_changed(self, names: frozenset[str] | None) -> None:
        directory = self._config_dir / "sessions"
        for name in _names(directory) if names is None else names:
            found = _SESSION_FILE.fullmatch(name)
            if found is None or self._pid is None or int(found[1]) != self._pid:
                continue
            try:
                content, _ = read_file(directory / name, SMALL_FILE)
            except (OSError, ValueError):
                continue
            self._observe(map(self._why_started, session_file.parse(content)), "session_file")

    def _why_started(self, observed: Observation) -> Observation:
        """The session file does not say why there is a new session: one that has a transcript was resumed."""
        if not isinstance(observed, SessionStarted) or self._project is None:
            return observed
        resumed = (self._project / f"{observed.who.session_id}.jsonl").exists()
        return replace(observed, reason="resume" if resumed else "clear")

    def _list_changed(self, changed: TodoList) -> None:
        seen = TodoFile(Who(changed.session_id, changed.agent_id), changed.mtime, changed.todos)
        self._observe([seen], "todo_file")


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
