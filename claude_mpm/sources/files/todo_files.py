"""Todo lists, from the files Claude keeps them in.

Up to about 2.1.50 a list is one file, `todos/<session>-agent-<agent>.json`; the session's own list is the one whose
agent is the session. From about 2.1.20 on every task is a file, `tasks/<session>/<id>.json`. See parse/todo_files.py.

When all todos of a list are completed, Claude clears it away: it empties the todo file at once, or deletes the task
files after five seconds. That tidies Claude's own screen and undoes nothing, so the list is kept as it was: "5 of 5"
is the last true statement about that work. A new list replaces it as soon as it has a todo.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse.todo_files import parse_task_file, parse_todo_file
from claude_mpm.sources.parse.todos import MAX_TODOS, Todo, by_number
from claude_mpm.system.files import read_file

log = logging.getLogger(__name__)

MAX_LISTS = 200  # agents of one session whose lists are followed
MAX_PROBLEMS = 200  # different ones logged
RETRY_AFTER = 0.1  # seconds; a file that cannot be read now may be half written
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")  # what may become part of a path

Reread = Callable[["frozenset[str] | None", bool], None]


@dataclass(frozen=True)
class TodoList:
    """One whole list.

    Attributes:
        agent_id: None for the session's own list.
        mtime: when it changed, in seconds since the epoch.
    """

    session_id: str
    agent_id: str | None
    todos: tuple[Todo, ...]
    mtime: float


def cleared_away(before: Iterable[Todo], now: Iterable[Todo]) -> bool:
    """Return whether `now` is what clearing away some or all of `before`, every todo of it completed, leaves."""
    old = list(before)
    return all(todo["status"] == "completed" for todo in old) and all(todo in old for todo in now)


class TodoFiles:
    """Follows one session's files and tells every list that has changed.

    A file that is half written, corrupt, too large, of another shape, or not a readable regular file changes nothing;
    one line in the log says so. A todo file or a whole directory that is deleted changes nothing either, but a deleted
    task file is a deleted task.

    Args:
        config_dir: Claude's own directory (`~/.claude`).
        session_id: None if it is not known yet.
        on_list: gets the whole list, in the file-reader, and only if it differs from the previous one.
        max_bytes: of one file, and of all task files of a session together.
    """

    def __init__(
        self,
        watcher: Watcher,
        config_dir: Path,
        session_id: str | None,
        on_list: Callable[[TodoList], None],
        max_bytes: int,
    ) -> None:
        self._watcher = watcher
        self._config_dir = config_dir
        self._first_session = session_id
        self._on_list = on_list
        self._max_bytes = max_bytes
        self._session: str | None = None  # from here on: file-reader only
        self._told: dict[tuple[str, str | None], tuple[Todo, ...]] = {}  # per kind of file and agent
        self._tasks: dict[str, tuple[Todo, int, float]] = {}  # per file name: the todo, bytes, mtime
        self._retries: set[Path] = set()
        self._problems: set[str] = set()

    def start(self) -> None:
        """Begin to follow. Any thread, before or after the watcher is started."""
        if self._first_session is not None:
            self.switch(self._first_session)

    def stop(self) -> None:
        """Follow nothing any more. Any thread; does not block."""
        self._watcher.post(lambda: self._follow(None))

    def switch(self, session_id: str) -> None:
        """Follow another session, as after `/clear`. Any thread; does not block."""
        if SESSION_ID.fullmatch(session_id) is None:
            log.warning("not a session id: %r", session_id[:200])
            return
        self._watcher.post(lambda: self._follow(session_id))

    # --- file-reader ---

    def read_everything(self) -> None:
        """Read all files of the session now. For the file-reader only."""
        if self._session is not None:
            self._todo_files_changed(None)
            self._task_files_changed(None)

    def _follow(self, session_id: str | None) -> None:
        if session_id == self._session:
            return
        if self._session is not None:
            self._watcher.unwatch(self._todo_dir, self._todo_files_changed)
            self._watcher.unwatch(self._task_dir, self._task_files_changed)
        self._session = session_id
        self._told.clear()
        self._tasks.clear()
        if session_id is not None:
            self._watcher.watch(self._todo_dir, self._todo_files_changed)
            self._watcher.watch(self._task_dir, self._task_files_changed)

    @property
    def _todo_dir(self) -> Path:
        return self._config_dir / "todos"

    @property
    def _task_dir(self) -> Path:
        return self._config_dir / "tasks" / str(self._session)

    def _todo_files_changed(self, names: frozenset[str] | None, is_retry: bool = False) -> None:
        prefix = f"{self._session}-agent-"
        for name in sorted((_names_in(self._todo_dir) or ()) if names is None else names):
            if not name.startswith(prefix) or not name.endswith(".json"):
                continue
            agent = name[len(prefix) : -len(".json")]
            try:
                data, mtime = read_file(self._todo_dir / name, self._max_bytes)
                todos = parse_todo_file(data)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                self._unreadable(self._todo_dir / name, error, self._todo_files_changed, is_retry)
                continue
            self._tell("todos", None if agent == self._session else agent, todos, mtime)

    def _task_files_changed(self, names: frozenset[str] | None, is_retry: bool = False) -> None:
        there = _names_in(self._task_dir)
        if there is None:  # the directory was deleted or cannot be read, which undoes no task
            return
        for name in sorted(there if names is None else names & there):
            if name.startswith(".") or not name.endswith(".json"):
                continue  # a lock, the highest number in use, or a file about to be renamed
            if name not in self._tasks and len(self._tasks) >= MAX_TODOS:
                continue
            try:
                others = sum(size for other, (_, size, _) in self._tasks.items() if other != name)
                data, mtime = read_file(self._task_dir / name, self._max_bytes - others)
                self._tasks[name] = parse_task_file(data), len(data), mtime
            except FileNotFoundError:
                there.discard(name)
            except (OSError, ValueError) as error:
                self._unreadable(self._task_dir / name, error, self._task_files_changed, is_retry)
        gone = self._tasks.keys() - there
        for name in gone:
            del self._tasks[name]
        newest = max((mtime for _, _, mtime in self._tasks.values()), default=0.0)
        todos = sorted((todo for todo, _, _ in self._tasks.values()), key=by_number)
        self._tell("tasks", None, todos, time.time() if gone else newest)

    def _tell(self, kind: str, agent_id: str | None, todos: list[Todo], mtime: float) -> None:
        before = self._told.get((kind, agent_id), ())
        if before == tuple(todos) or cleared_away(before, todos):
            return
        if (kind, agent_id) not in self._told and len(self._told) >= MAX_LISTS:
            return
        self._told[kind, agent_id] = tuple(todos)
        assert self._session is not None
        self._on_list(TodoList(self._session, agent_id, tuple(todos), mtime))

    def _unreadable(self, path: Path, error: Exception, reread: Reread, is_retry: bool) -> None:
        """Read the file again in a moment; if it still cannot be read then, log that once."""
        if not is_retry and path not in self._retries:
            self._retries.add(path)
            self._watcher.post_after(RETRY_AFTER, partial(self._retry, path, reread))
        elif is_retry and (problem := f"{path}: {error}") not in self._problems and len(self._problems) < MAX_PROBLEMS:
            self._problems.add(problem)
            log.warning("todo file skipped: %s", problem)

    def _retry(self, path: Path, reread: Reread) -> None:
        self._retries.discard(path)
        if self._session is not None and path.parent in (self._todo_dir, self._task_dir):
            reread(frozenset({path.name}), True)


def _names_in(directory: Path) -> set[str] | None:
    try:
        return set(os.listdir(directory))
    except OSError:
        return None
