"""Todo files: the two formats, which files belong to a session, and everything a file can be instead of good."""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import DATA, TIMEOUT, wait_until

from claude_mpm.sources.files.todo_files import (
    RETRY_AFTER,
    TodoFiles,
    TodoList,
    cleared_away,
)
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse.todo_files import parse_task_file, parse_todo_file
from claude_mpm.sources.parse.todos import MAX_TODOS
from claude_mpm.system.files import read_file
from claude_mpm.system.json_text import dumps

SID = "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"
LIMIT = 20_000
CAPTURED = DATA / "tasks.v2.1.330"

# --- the formats ---


@pytest.mark.parametrize("name", ["todos.v1.0.128.json", "todos.v2.0.77.json"])
def test_a_captured_todo_file_gives_numbered_todos(name: str) -> None:
    assert parse_todo_file((DATA / name).read_bytes()) == [
        {"id": "1", "content": "Plan the work", "status": "completed", "active_form": "Planning the work"},
        {"id": "2", "content": "Delegate research", "status": "in_progress", "active_form": "Delegating research"},
        {"id": "3", "content": "Summarise", "status": "pending", "active_form": "Summarising"},
    ]


def test_a_captured_task_file_gives_a_todo() -> None:
    assert parse_task_file((CAPTURED / "2.json").read_bytes()) == {
        "id": "2",
        "content": "Delegate research",
        "status": "in_progress",
        "active_form": "Delegating research",
        "description": "Delegate it",
    }


def test_owner_and_dependencies_are_kept_when_there_are_any() -> None:
    task = {"id": 7, "subject": "s", "status": "pending", "owner": "ann", "blocks": ["8"], "blockedBy": [1, "2"]}
    assert parse_task_file(json.dumps(task).encode()) == {
        "id": "7",
        "content": "s",
        "status": "pending",
        "owner": "ann",
        "blocks": ["8"],
        "blocked_by": ["1", "2"],
    }


def test_an_id_in_a_todo_file_is_kept() -> None:
    assert parse_todo_file(b'[{"id":"x","content":"c","status":"pending"}]')[0]["id"] == "x"


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "{}", "null", "3", "[3]", "[" * 100_000, '"\\ud800'),
        *('[{"content":"c"}]', '[{"content":3,"status":"pending"}]', '[{"content":"c","status":"new"}]'),
        '[{"content":"c","status":"pending","id":["x"]}]',
    ],
)
def test_another_shape_of_todo_file_is_one_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_todo_file(text.encode())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"id":"1","subject":"s"}', '{"subject":"s","status":"pending"}', "\0"]
)
def test_another_shape_of_task_file_is_one_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_task_file(text.encode())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "content", "subject", "status", "blocks", "activeForm"]), inner)
    ),
    max_leaves=10,
)


@given(_JSON | st.binary(max_size=50))
def test_whatever_is_in_a_file_gives_todos_or_a_value_error(value: Any) -> None:
    data = value if isinstance(value, bytes) else dumps(value)
    for parse in (parse_todo_file, lambda data: [parse_task_file(data)]):
        try:
            todos = parse(data)
        except ValueError:
            continue
        assert all({"id", "content", "status"} <= todo.keys() for todo in todos)
        dumps(todos)


def test_long_texts_and_long_lists_are_cut() -> None:
    todos = parse_todo_file(json.dumps([{"content": "x" * 100_000, "status": "pending"}] * 1000).encode())
    assert len(todos) == MAX_TODOS
    assert len(todos[0]["content"]) < 20_000


def test_only_a_wholly_completed_list_counts_as_cleared_away() -> None:
    done = [{"id": n, "status": "completed"} for n in "12"]
    assert cleared_away(done, []) and cleared_away(done, done[:1])
    assert not cleared_away([*done, {"id": "3", "status": "pending"}], done)
    assert not cleared_away(done, [{"id": "3", "status": "pending"}])


# --- the files ---


class Lists:
    """An on_list that remembers."""

    def __init__(self) -> None:
        self._lists: queue.Queue[TodoList] = queue.Queue()

    def __call__(self, todo_list: TodoList) -> None:
        self._lists.put(todo_list)

    def next(self) -> TodoList:
        return self._lists.get(timeout=TIMEOUT)

    def contents(self) -> list[str]:
        return [todo["content"] for todo in self.next().todos]

    def until(self, *contents: str) -> TodoList:
        while True:
            found = self.next()
            if [todo["content"] for todo in found.todos] == list(contents):
                return found

    def nothing(self) -> bool:
        return self._lists.empty()


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def errors() -> list[str]:
    return []


@pytest.fixture
def watcher(errors: list[str]) -> Iterator[Watcher]:
    watcher = Watcher(errors.append, 0.05)
    watcher.start()
    yield watcher
    watcher.stop()
    watcher.join(TIMEOUT)
    assert errors == []


@pytest.fixture
def files(watcher: Watcher, tmp_path: Path, lists: Lists) -> TodoFiles:
    """Follows SID below tmp_path."""
    files = TodoFiles(watcher, tmp_path, SID, lists, LIMIT)
    files.start()
    return files


def todo_path(tmp_path: Path, agent: str = SID, session: str = SID) -> Path:
    path = tmp_path / "todos" / f"{session}-agent-{agent}.json"
    path.parent.mkdir(exist_ok=True)
    return path


def task_path(tmp_path: Path, number: int | str, session: str = SID) -> Path:
    path = tmp_path / "tasks" / session / f"{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def todos(*contents: str, status: str = "pending") -> str:
    return json.dumps([{"content": c, "status": status, "activeForm": f"{c}ing"} for c in contents])


def task(number: int | str, content: str, status: str = "pending") -> str:
    return json.dumps({"id": str(number), "subject": content, "status": status, "blocks": [], "blockedBy": []})


def renamed_into_place(path: Path, text: str) -> None:
    """As Claude writes them."""
    temporary = path.with_name(f"{path.name}.tmp.1234abcd")
    temporary.write_text(text)
    temporary.rename(path)


def test_lists_that_are_there_at_the_start_are_told(watcher: Watcher, tmp_path: Path, lists: Lists) -> None:
    todo_path(tmp_path).write_text(todos("a", "b"))
    os.utime(todo_path(tmp_path), (1000.0, 2000.5))
    TodoFiles(watcher, tmp_path, SID, lists, LIMIT).start()
    found = lists.next()
    assert (found.session_id, found.agent_id, found.mtime) == (SID, None, 2000.5)
    assert found.todos[1] == {"id": "2", "content": "b", "status": "pending", "active_form": "bing"}


def test_directories_that_come_later_are_followed(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    renamed_into_place(todo_path(tmp_path), todos("a"))
    assert lists.contents() == ["a"]
    renamed_into_place(task_path(tmp_path, 1), task(1, "t"))
    assert lists.contents() == ["t"]


def test_a_subagent_s_list_carries_its_agent_id(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    todo_path(tmp_path, OTHER).write_text(todos("sub"))
    assert lists.next().agent_id == OTHER


def test_other_sessions_files_are_not_read(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    todo_path(tmp_path, OTHER, session=OTHER).write_text(todos("foreign"))
    task_path(tmp_path, 1, session=OTHER).write_text(task(1, "foreign"))
    todo_path(tmp_path).write_text(todos("own"))
    assert lists.contents() == ["own"]


def test_an_unchanged_list_is_told_once(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    renamed_into_place(todo_path(tmp_path), todos("a"))
    assert lists.contents() == ["a"]
    for _ in range(5):
        renamed_into_place(todo_path(tmp_path), todos("a"))
    renamed_into_place(todo_path(tmp_path), todos("a", "b"))
    assert lists.contents() == ["a", "b"]


def test_an_empty_list_at_the_start_is_no_change(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    todo_path(tmp_path).write_text("[]")
    renamed_into_place(todo_path(tmp_path), todos("a"))
    assert lists.contents() == ["a"]


def test_captured_tasks_come_in_the_order_of_their_numbers(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    shutil.copytree(CAPTURED, tmp_path / "tasks" / SID)
    lists.until("Plan the work", "Delegate research", "Summarise")
    renamed_into_place(task_path(tmp_path, 10), task(10, "ten"))
    renamed_into_place(task_path(tmp_path, "word"), task("word", "word"))
    lists.until("Plan the work", "Delegate research", "Summarise", "ten", "word")


def test_locks_and_temporary_files_are_no_tasks(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    directory = task_path(tmp_path, 1).parent
    for name in (".lock.lock", "1.json.lock"):
        (directory / name).mkdir()
    for name in (".lock", ".highwatermark", "1.json.tmp.12345678", ".hidden.json"):
        (directory / name).write_text(task(5, name))
    task_path(tmp_path, 1).write_text(task(1, "one"))
    assert lists.contents() == ["one"]


def test_a_deleted_task_file_is_a_deleted_task(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    for number in (1, 2):
        renamed_into_place(task_path(tmp_path, number), task(number, f"t{number}"))
    lists.until("t1", "t2")
    task_path(tmp_path, 1).unlink()
    assert lists.contents() == ["t2"]
    task_path(tmp_path, 2).unlink()
    assert lists.contents() == []


def test_completed_tasks_that_claude_clears_away_stay_until_a_new_one(
    files: TodoFiles, tmp_path: Path, lists: Lists
) -> None:
    for number in (1, 2):
        renamed_into_place(task_path(tmp_path, number), task(number, f"t{number}", "completed"))
    lists.until("t1", "t2")
    for number in (1, 2):
        task_path(tmp_path, number).unlink()
    renamed_into_place(task_path(tmp_path, 3), task(3, "t3"))
    assert lists.contents() == ["t3"]


def test_a_todo_file_emptied_when_all_is_completed_changes_nothing(
    files: TodoFiles, tmp_path: Path, lists: Lists
) -> None:
    renamed_into_place(todo_path(tmp_path), todos("a", status="completed"))
    assert lists.contents() == ["a"]
    renamed_into_place(todo_path(tmp_path), "[]")
    renamed_into_place(todo_path(tmp_path), todos("b"))
    assert lists.contents() == ["b"]


def test_a_todo_file_emptied_with_work_left_is_an_empty_list(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    renamed_into_place(todo_path(tmp_path), todos("a"))
    assert lists.contents() == ["a"]
    renamed_into_place(todo_path(tmp_path), "[]")
    assert lists.contents() == []


def test_the_whole_directory_deleted_changes_nothing_and_a_new_one_is_followed(
    files: TodoFiles, tmp_path: Path, lists: Lists
) -> None:
    renamed_into_place(task_path(tmp_path, 1), task(1, "t"))
    assert lists.contents() == ["t"]
    (tmp_path / "tasks").rename(tmp_path / "away")
    renamed_into_place(task_path(tmp_path, 2), task(2, "u"))
    lists.until("u")


def test_switch_follows_the_other_session_only(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    renamed_into_place(todo_path(tmp_path), todos("old"))
    assert lists.contents() == ["old"]
    files.switch(OTHER)
    renamed_into_place(todo_path(tmp_path, OTHER, session=OTHER), todos("new"))
    found = lists.next()
    assert (found.session_id, found.agent_id, found.todos[0]["content"]) == (OTHER, None, "new")
    renamed_into_place(todo_path(tmp_path), todos("late"))
    renamed_into_place(task_path(tmp_path, 1, session=OTHER), task(1, "newer"))
    assert lists.contents() == ["newer"]


def test_without_a_session_id_nothing_is_followed_until_switch(watcher: Watcher, tmp_path: Path, lists: Lists) -> None:
    files = TodoFiles(watcher, tmp_path, None, lists, LIMIT)
    files.start()
    todo_path(tmp_path).write_text(todos("a"))
    files.switch(SID)
    assert lists.contents() == ["a"]
    files.stop()


@pytest.mark.parametrize("session_id", ["../../etc", "a/b", "", "..", "x" * 300, "a\0b"])
def test_a_session_id_that_is_a_path_is_refused(
    files: TodoFiles, tmp_path: Path, lists: Lists, session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    files.switch(session_id)
    todo_path(tmp_path).write_text(todos("a"))
    assert lists.contents() == ["a"]
    assert "not a session id" in caplog.text


def _corrupt(path: Path) -> None:
    path.write_text('[{"content": "half')


def _wrong_shape(path: Path) -> None:
    path.write_text('{"todos": 1}')


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)


def _barely_too_large(path: Path) -> None:
    path.write_text(todos("a") + " " * LIMIT)


def _link(path: Path) -> None:
    secret = path.parent.parent / "secret"
    secret.write_text(todos("secret"))
    path.symlink_to(secret)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.write_text("")


BAD = [_corrupt, _wrong_shape, _huge, _barely_too_large, _link, _loop, _fifo, _directory, _empty]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("spoil", BAD)
@pytest.mark.parametrize("kind", ["todos", "tasks"])
def test_a_bad_file_is_logged_and_the_last_good_list_stays_until_a_good_file_comes(
    files: TodoFiles, tmp_path: Path, lists: Lists, caplog: pytest.LogCaptureFixture, spoil: Any, kind: str
) -> None:
    path = todo_path(tmp_path) if kind == "todos" else task_path(tmp_path, 1)
    good, better = (todos("good"), todos("better")) if kind == "todos" else (task(1, "good"), task(1, "better"))
    renamed_into_place(path, good)
    assert lists.contents() == ["good"]
    if spoil is _directory:
        path.unlink()  # a directory cannot take a file's place at once
        spoil(path)
    else:
        spoil(path.with_name("bad"))
        path.with_name("bad").rename(path)
    (line,) = wait_until(lambda: told(caplog), "a line in the log")
    assert str(path) in line
    if spoil is _directory:
        path.rmdir()
        renamed_into_place(path, better)
        lists.until("better")
    else:
        renamed_into_place(path, better)
        assert lists.contents() == ["better"]


def test_the_same_trouble_is_logged_once(
    files: TodoFiles, watcher: Watcher, tmp_path: Path, lists: Lists, caplog: pytest.LogCaptureFixture
) -> None:
    _corrupt(task_path(tmp_path, 1))
    wait_until(lambda: told(caplog), "a line in the log")
    for number in (2, 3):
        _corrupt(task_path(tmp_path, 1))
        renamed_into_place(task_path(tmp_path, number), task(number, f"t{number}"))  # its event comes after
        lists.next()
        looked_again = threading.Event()
        watcher.post_after(2 * RETRY_AFTER, looked_again.set)
        assert looked_again.wait(TIMEOUT)
    assert len(told(caplog)) == 1


def test_a_half_written_file_shows_at_once_when_it_is_whole_and_is_not_logged(
    files: TodoFiles, tmp_path: Path, lists: Lists, caplog: pytest.LogCaptureFixture
) -> None:
    text = task(1, "t")
    with task_path(tmp_path, 1).open("w") as file:
        for character in text:
            file.write(character)
            file.flush()
    assert lists.contents() == ["t"]
    assert caplog.records == []


def test_tasks_of_one_session_share_the_limit(files: TodoFiles, tmp_path: Path, lists: Lists) -> None:
    filler = " " * (LIMIT // 2)
    for number in (1, 2):
        renamed_into_place(task_path(tmp_path, number), task(number, f"t{number}") + filler)
    renamed_into_place(task_path(tmp_path, 3), task(3, "t3"))
    lists.until("t1", "t3")


def test_no_descriptor_is_left_open_by_bad_files(tmp_path: Path) -> None:
    for spoil in BAD:
        path = tmp_path / f"bad{spoil.__name__}"
        spoil(path)
        for _ in range(3):
            try:
                read_file(path, LIMIT)
            except (OSError, ValueError):
                continue
