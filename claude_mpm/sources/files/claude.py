"""Everything one Claude process records, found, followed and joined: transcripts, hooks, session file, todos, stdout.

Every source is optional. The session's id leads to the files; where it is not known in advance (resume, continue) it
is learned from the hooks, from stdout or from sessions/<pid>.json. All parsing happens in the file-reader, and nothing
is ever written into Claude's directories.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.files.hook_spool import HookSpool
from claude_mpm.sources.files.line_buffer import LineBuffer
from claude_mpm.sources.files.question_reports import QuestionReports
from claude_mpm.sources.files.session_file import SessionFile
from claude_mpm.sources.files.todo_files import SESSION_ID, TodoFiles, TodoList
from claude_mpm.sources.files.transcripts import Transcripts
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse import hooks, session_file, stream_json, transcript
from claude_mpm.sources.parse.observations import (
    Observation,
    ProcessEnded,
    ProcessStarted,
    SessionStarted,
    TodoFile,
    Who,
)
from claude_mpm.sources.track.tracker import NewSession, Tracker
from claude_mpm.system.processes import others_in_directory

log = logging.getLogger(__name__)

GRACE = 0.25  # seconds; an agent's token counts may be written this long after the hook that tells its end
STARTED_BEFORE = 5.0  # seconds between Claude's start and ours, at most, where nobody says when it started
STDOUT_BYTES = 64 * 1024 * 1024  # waiting lines of stdout; a second or two of the file-reader's work
STDOUT_BATCH = 256 * 1024  # bytes of lines read before other work gets its turn
MAX_WARNINGS = 100  # different ones told to clients
NOT_ALONE = "Another claude works in the same directory, so this one's session cannot be told: only its process is seen"
NOT_ALONE_HINT = "start claude through claude-mpm, which then knows its session"


class ClaudeSources:
    """Turns what one Claude process records into events.

    Args:
        watcher: the file-reader, started and stopped by its owner.
        config_dir: Claude's own directory (`~/.claude`).
        cwd: Claude's working directory.
        emit: gets the events, in the file-reader.
        spool: the directory the hooks of launch.hook_settings write to; None without hooks.
        new_session: makes the `session.start` event when Claude moves on to another session (`/clear`, resume).
        unanswerable, has_answer_hook: whether clients can answer Claude's dialogs, as in track/activity.py.
        others_in_directory: finds other claudes in the same directory, given this one's pid.
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
        unanswerable: str | None = None,
        has_answer_hook: bool = False,
        others_in_directory: Callable[[int], list[int]] = others_in_directory,
    ) -> None:
        self._watcher = watcher
        self._config_dir = config_dir
        self._cwd = os.path.realpath(cwd)
        self._emit = emit
        self._limits = limits
        self._make_tracker: Callable[[str | None], Tracker] = lambda current: Tracker(
            current, new_session, unanswerable, has_answer_hook
        )
        self._others_in_directory = others_in_directory
        self._stdout = LineBuffer(STDOUT_BYTES)
        self.questions = QuestionReports(lambda seen: watcher.post(lambda: self._observe([seen], "hook")))
        self._tracker = Tracker()  # from here on: file-reader only
        self._exit: tuple[int | None, str | None] | None = None
        self._followed: str | None = None  # the session whose files are watched
        self._is_alone = True  # no other claude has been seen in this directory while that mattered
        self._told: set[str] = set()  # warnings, each told once
        self._transcripts: Transcripts | None = None
        self._todos: TodoFiles | None = None
        self._session_file = SessionFile(watcher, config_dir, self._read_session_file)
        self._spool = HookSpool(watcher, spool, self._read_hook, limits.line_bytes) if spool is not None else None

    # --- any thread ---

    def start(self, session_id: str | None, pid: int | None, started: float | None = None) -> None:
        """Begin to follow. Does not block; may be called before or after the watcher is started.

        Args:
            session_id: Claude's session; None when Claude picks it (resume, continue).
            pid: Claude's process; None if it is not known.
            started: when the process was started, in seconds since the epoch. What a transcript says of the time
                before is history: it is not told again, but what still holds of it, such as the todo list, is.
        """
        since = started if started is not None else time.time() - STARTED_BEFORE
        self._watcher.post(lambda: self._begin(session_id, pid, since))

    def process_ended(self, exit_code: int | None, signal: str | None) -> None:
        """Note that the process has ended. Does not block.

        What is still open is ended by drain(), once Claude's last records have been read.
        """

        def note() -> None:
            self._exit = (exit_code, signal)

        self._watcher.post(note)

    def stdout_line(self, line: bytes) -> None:
        """Take a line of stdout, which is a record if Claude runs with `-p --output-format stream-json`.

        Any one thread, also before start(). Never blocks. Up to STDOUT_BYTES of lines wait for the file-reader; what
        finds no room is lost, and one `system.error` says how much that was.
        """
        self._stdout.put(line)
        self._watcher.post_once(self._read_stdout)

    def drain(self, timeout: float) -> bool:
        """Read everything that is on disk and, if the process has ended, end what is still open.

        Blocks for up to `timeout` seconds. All events that follow from it have been emitted when this returns True.
        Any thread but the file-reader.
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
        watcher, limits = self._watcher, self._limits
        self._tracker = self._make_tracker(session_id)
        self._session_file.pid = pid
        self._todos = TodoFiles(watcher, self._config_dir, session_id, self._todo_list_changed, limits.todo_bytes)
        self._todos.start()
        must_guess = self._spool is None and pid is not None
        self._is_alone = not must_guess or not self._others_in_directory(pid or 0)
        self._transcripts = Transcripts(
            watcher,
            self._config_dir / "projects",
            self._cwd,
            since,
            self._read_transcript_line,
            self._read_meta,
            self._session_guessed if must_guess else None,
            limits.line_bytes,
        )
        self._transcripts.start()
        self._observe([ProcessStarted(Who(), since, pid)], "process")
        if self._spool is not None:
            self._spool.start()
        self._session_file.start()
        self._follow_session()
        self._watcher.post_once(self._read_stdout)

    def _unwatch_all(self) -> None:
        for followed in (self._session_file, self._spool, self._transcripts, self._todos):
            if followed is not None:
                followed.stop()

    def _read_everything(self) -> None:
        while self._read_stdout_batch():
            pass
        for followed in (self._spool, self._transcripts, self._todos):
            if followed is not None:
                followed.read_everything()
        self._session_file.read()

    # --- records in, events out ---

    def _observe(self, observations: Iterable[Observation], source: Source, at: float | None = None) -> None:
        """Emit the events that follow. `at`: the time of what has none of its own, by default now."""
        now = at if at is not None else time.time()
        for observation in observations:
            for event in self._tracker.observe(observation, source, now):
                self._emit(event)
        for name in self._tracker.take_unsettled():
            self._watcher.post_after(GRACE, partial(self._settle, name))
        if self._tracker.session_id != self._followed:
            self._follow_session()

    def _observe_record(
        self, parse: Callable[[], Iterable[Observation]], source: Source, at: float | None = None
    ) -> None:
        """Parse and observe one record. Whatever is wrong with it costs this record alone."""
        try:
            self._observe(parse(), source, at)
        except Exception as error:  # a defect of ours that this record has brought to light: the next ones are fine
            sentence = f"A record ({source}) could not be read and was skipped: {type(error).__name__}: {error}"
            log.warning("%s", sentence, exc_info=self._warn(sentence))

    def _warn(self, sentence: str, hint: str | None = None) -> bool:
        """Tell clients, unless they have been told already. Returns whether they have been told now."""
        if sentence in self._told or len(self._told) >= MAX_WARNINGS:
            return False
        self._told.add(sentence)
        self._emit(ev.system_error(sentence, "sources", severity="warning", hint=hint))
        return True

    def _settle(self, name: str) -> None:
        for event in self._tracker.settle(name):
            self._emit(event)

    def _read_transcript_line(self, line: bytes) -> None:
        self._observe_record(partial(transcript.parse, line), "transcript")

    def _read_meta(self, content: bytes, session_id: str, agent_id: str, mtime: float) -> None:
        self._observe_record(partial(transcript.parse_meta, content, session_id, agent_id, mtime), "transcript")

    def _read_stdout(self) -> None:
        if self._read_stdout_batch():
            self._watcher.post_once(self._read_stdout)

    def _read_stdout_batch(self) -> bool:
        """Read the oldest lines of stdout. Returns whether more wait."""
        if self._transcripts is None:
            return False  # _begin() asks for another turn
        batch = self._stdout.take(STDOUT_BATCH)
        for line in batch.lines:
            self._observe_record(partial(stream_json.parse, line), "stream_json")
        if batch.lost_lines:
            size = f"{batch.lost_bytes / (1024 * 1024):.1f} MiB"
            sentence = f"Claude printed faster than it could be read: {batch.lost_lines} lines ({size}) were lost"
            log.warning("%s", sentence)
            self._emit(ev.system_error(sentence, "sources"))
        return batch.more

    def _read_hook(self, payload: bytes, at: float) -> None:
        self._observe_record(partial(hooks.parse, payload, at), "hook", at)
        named = hooks.transcript_of(payload)
        if named is not None and named[0] == self._tracker.session_id and self._transcripts is not None:
            path = Path(named[1])
            if path.is_absolute() and path.name == f"{named[0]}.jsonl":
                self._transcripts.look_in(path.parent)

    def _todo_list_changed(self, changed: TodoList) -> None:
        seen = TodoFile(Who(changed.session_id, changed.agent_id), changed.mtime, changed.todos)
        self._observe_record(lambda: [seen], "todo_file")

    def _read_session_file(self, content: bytes) -> None:
        self._observe_record(lambda: map(self._with_reason, session_file.parse(content)), "session_file")

    def _with_reason(self, observed: Observation) -> Observation:
        """Add why there is a new session, which its file does not say: one with a transcript was resumed."""
        session_id = observed.who.session_id
        if not isinstance(observed, SessionStarted) or self._transcripts is None or session_id is None:
            return observed
        return replace(observed, reason="resume" if self._transcripts.has(session_id) else "clear")

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

    def _session_guessed(self, session_id: str) -> None:
        """Take a guessed session for ours, unless another claude may be the one that writes it."""
        self._is_alone = self._is_alone and not self._others_in_directory(self._session_file.pid or 0)
        if not self._is_alone:
            self._warn(NOT_ALONE, NOT_ALONE_HINT)
            return
        self._tracker.session_id = session_id
        self._follow_session()
