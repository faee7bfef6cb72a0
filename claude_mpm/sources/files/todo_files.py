"""Todo lists, from the files Claude keeps them in.

Up to 2.1.5x a list is one file, `todos/<session>-agent-<agent>.json`, the session's own list being the one whose agent
is the session. From 2.1.2x on every task is a file, `tasks/<session>/<id>.json`. See parse_todo_file, parse_task_file.

A list whose todos are all completed stays as it is when Claude clears it away (it deletes the task files five seconds
after the last one is completed, and empties the todo file at once): Claude tidies its own screen, nothing was undone,
and "5 of 5" is the last true word about that work. A new list replaces it as soon as it has a todo.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse.todo_files import parse_task_file, parse_todo_file
from claude_mpm.sources.parse.todos import MAX_TODOS, Todo
from claude_mpm.system.files import read_file

log = logging.getLogger(__name__)

MAX_LISTS = 200  # of one session's agents
MAX_TROUBLES = 200  # different ones logged
AGAIN = 0.1  # seconds; a file that is no good now may just be half written
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")  # what may become part of a path


@dataclass(frozen=True)
class TodoList:
    """One whole list. `agent_id` None: the session's own. `mtime`: when it changed, seconds since the epoch."""

    session_id: str
    agent_id: str | None
    todos: tuple[Todo, ...]
    mtime: float


def cleared_away(before: Iterable[Todo], now: Iterable[Todo]) -> bool:
    """Whether `now` is `before`, all completed, with some or all of it cleared away."""
    left = list(before)
    return all(todo["status"] == "completed" for todo in left) and all(todo in left for todo in now)


class TodoFiles:
    """Follows one session's files and tells every list that changed.

    Args:
        config_dir: Claude's own directory (`~/.claude`).
        session_id: None when not known yet.
        on_list: gets the whole list, in the file-reader, and only when it is another than before.
        limit: bytes of one file; a session's task files may have that much together.

    A file that is half written, corrupt, of another shape, too large, a link, a FIFO, a directory or unreadable changes
    nothing but one line in the log; so does a todo file, or a whole directory, that is deleted. A task file that is
    deleted is a task that is deleted.
    """

    def __init__(
        self,
        watcher: Watcher,
        config_dir: Path,
        session_id: str | None,
        on_list: Callable[[TodoList], None],
        limit: int,
    ) -> None:
        self._watcher = watcher
        self._config_dir = config_dir
        self._first_session = session_id
        self._on_list = on_list
        self._limit = limit
        self._session: str | None = None  # from here on: file-reader only
        self._told: dict[tuple[str, str | None], tuple[Todo, ...]] = {}  # per kind of file and agent
        self._tasks: dict[str, tuple[Todo, int, float]] = {}  # per file name: bytes, mtime
        self._second_looks: set[Path] = set()
        self._troubles: set[str] = set()

    def start(self) -> None:
        """Begin to follow. Any thread, before or after the watcher's start()."""
        if self._first_session is not None:
            self.switch(self._first_session)

    def stop(self) -> None:
        """Follow nothing any more. Any thread."""
        self._watcher.post(lambda: self._follow(None))

    def switch(self, session_id: str) -> None:
        """Follow another session, as after `/clear`. Any thread."""
        if SESSION_ID.fullmatch(session_id) is None:
            log.warning("not a session id: %r", session_id[:200])
            return
        self._watcher.post(lambda: self._follow(session_id))

    # --- file-reader ---

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

    def _todo_files_changed(self, names: frozenset[str] | None, again: bool = False) -> None:
        begin = f"{self._session}-agent-"
        for name in sorted((_names_in(self._todo_dir) or ()) if names is None else names):
            if not name.startswith(begin) or not name.endswith(".json"):
                continue
            agent = name[len(begin) : -len(".json")]
            try:
                data, mtime = read_file(self._todo_dir / name, self._limit)
                todos = parse_todo_file(data)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                self._no_good(self._todo_dir / name, error, self._todo_files_changed, again)
                continue
            self._tell("todos", None if agent == self._session else agent, todos, mtime)

    def _task_files_changed(self, names: frozenset[str] | None, again: bool = False) -> None:
        there = _names_in(self._task_dir)
        if there is None:  # the directory is gone, or locked: that undoes no task
            return
        for name in sorted(there if names is None else names & there):
            if name.startswith(".") or not name.endswith(".json"):
                continue  # a lock, the highest number given, a file on its way to its name
            if name not in self._tasks and len(self._tasks) >= MAX_TODOS:
                continue
            try:
                others = sum(size for other, (_, size, _) in self._tasks.items() if other != name)
                data, mtime = read_file(self._task_dir / name, self._limit - others)
                self._tasks[name] = parse_task_file(data), len(data), mtime
            except FileNotFoundError:
                there.discard(name)
            except (OSError, ValueError) as error:
                self._no_good(self._task_dir / name, error, self._task_files_changed, again)
        gone = self._tasks.keys() - there
        for name in gone:
            del self._tasks[name]
        newest = max((mtime for _, _, mtime in self._tasks.values()), default=0.0)
        todos = sorted((todo for todo, _, _ in self._tasks.values()), key=_by_number)
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

    def _no_good(
        self, path: Path, error: Exception, changed: Callable[[frozenset[str] | None, bool], None], again: bool
    ) -> None:
        """Look once more in a moment; then it is a trouble, told once."""
        if not again and path not in self._second_looks:
            self._second_looks.add(path)
            self._watcher.post_after(AGAIN, lambda: self._look_again(path, changed))
        elif again and (trouble := f"{path}: {error}") not in self._troubles and len(self._troubles) < MAX_TROUBLES:
            self._troubles.add(trouble)
            log.warning("todo file left aside: %s", trouble)

    def _look_again(self, path: Path, changed: Callable[[frozenset[str] | None, bool], None]) -> None:
        self._second_looks.discard(path)
        if self._session is not None and path.parent in (self._todo_dir, self._task_dir):
            changed(frozenset({path.name}), True)


def _names_in(directory: Path) -> set[str] | None:
    try:
        return set(os.listdir(directory))
    except OSError:
        return None


def _by_number(todo: Todo) -> tuple[int, str]:
    number = todo["id"]
    return (int(number), "") if number.isascii() and number.isdigit() else (1 << 62, number)
