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
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.files.todo_files import SESSION_ID, TodoFiles, TodoList
from claude_mpm.sources.files.transcripts import Transcripts, names_in
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse import hooks, session_file, stream_json
from claude_mpm.sources.parse.observations import (
    Observation,
    ProcessEnded,
    ProcessStarted,
    SessionStarted,
    TodoFile,
    Who,
)
from claude_mpm.sources.track.tracker import NewSession, Tracker
from claude_mpm.system.files import read_file
from claude_mpm.system.processes import companions
from claude_mpm.system.state_dir import HOOK_SUFFIX

log = logging.getLogger(__name__)

GRACE = 0.25  # seconds; the numbers of an agent's end are written up to this long after its hook has run
STARTED_BEFORE = 5.0  # seconds between the process's start and ours, at most, where nobody says
SMALL_FILE = 1024 * 1024  # bytes; a session file has some hundred
CROWD = "Another claude works in the same directory, so which session is this one's cannot be told: only its process is seen"
CROWD_HINT = "start claude through claude-mpm, which then knows its session"
_SESSION_FILE = re.compile(r"(\d{1,10})\.json")


class ClaudeSources:
    """What one Claude process does, as events.

    Args:
        watcher: the file-reader; its start and stop are its owner's.
        config_dir: Claude's own directory (`~/.claude`).
        cwd: Claude's working directory.
        emit: gets the events, in the file-reader.
        spool: the directory launch.hook_settings was made for; None without hooks.
        new_session: makes the `session.start` event when Claude moves on to another session (`/clear`, resume).
        companions: finds other claudes in the same directory.
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
        companions: Callable[[int], list[int]] = companions,
    ) -> None:
        self._watcher = watcher
        self._config_dir = config_dir
        self._cwd = os.path.realpath(cwd)
        self._emit = emit
        self._spool = spool
        self._limits = limits
        self._new_session = new_session
        self._companions = companions
        self._is_alone = True  # no other claude was seen in this directory, while that mattered
        self._told_crowd = False
        self._tracker = Tracker()  # from here on: file-reader only
        self._pid: int | None = None
        self._followed: str | None = None  # the session whose files are watched
        self._transcripts: Transcripts | None = None
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
        self._pid = pid
        self._todos = TodoFiles(
            self._watcher, self._config_dir, session_id, self._list_changed, self._limits.todo_bytes
        )
        self._todos.start()
        guess = self._guessed if self._spool is None and pid is not None else None
        self._is_alone = guess is None or not self._companions(pid or 0)
        self._transcripts = Transcripts(
            self._watcher,
            self._config_dir / "projects",
            self._cwd,
            since,
            lambda found: self._observe(found, "transcript"),
            guess,
            self._limits.line_bytes,
        )
        self._transcripts.start()
        self._observe([ProcessStarted(Who(), since, pid)], "process")
        if self._spool is not None:
            self._watcher.watch(self._spool, self._spool_changed)
        self._watcher.watch(self._config_dir / "sessions", self._session_files_changed)
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
        if self._transcripts is not None:
            self._transcripts.stop()
        if self._todos is not None:
            self._todos.stop()

    def _read_everything(self) -> None:
        self._spool_changed(None)
        if self._transcripts is not None:
            self._transcripts.read_everything()
        if self._pid is not None:
            self._session_files_changed(frozenset({f"{self._pid}.json"}))

    # --- which session ---

    def _follow_session(self) -> None:
        session_id = self._tracker.session_id
        if session_id is None or session_id == self._followed or SESSION_ID.fullmatch(session_id) is None:
            return
        self._followed = session_id
        if self._todos is not None:
            self._todos.switch(session_id)
        if self._transcripts is not None:
            self._transcripts.follow(session_id)

    def _guessed(self, session_id: str) -> None:
        """Without hooks: the one transcript that can be ours, if no other claude can have written it."""
        self._is_alone = self._is_alone and not self._companions(self._pid or 0)
        if not self._is_alone:
            if not self._told_crowd:
                self._told_crowd = True
                self._emit(ev.system_error(CROWD, "sources", severity="warning", hint=CROWD_HINT))
            return
        self._tracker.session_id = session_id
        self._follow_session()

    # --- hooks, session file, todos ---

    def _spool_changed(self, names: frozenset[str] | None) -> None:
        assert self._spool is not None or names is None
        if self._spool is None:
            return
        waiting = []
        for name in names_in(self._spool):
            if name.endswith(HOOK_SUFFIX):
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
            if self._transcripts is not None and path.is_absolute() and path.name == f"{told[0]}.jsonl":
                self._transcripts.look_in(path.parent)

    def _session_files_changed(self, names: frozenset[str] | None) -> None:
        directory = self._config_dir / "sessions"
        for name in names_in(directory) if names is None else names:
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
        new = observed.who.session_id
        if not isinstance(observed, SessionStarted) or self._transcripts is None or new is None:
            return observed
        return replace(observed, reason="resume" if self._transcripts.has(new) else "clear")

    def _list_changed(self, changed: TodoList) -> None:
        seen = TodoFile(Who(changed.session_id, changed.agent_id), changed.mtime, changed.todos)
        self._observe([seen], "todo_file")
