"""All sources of one Claude process, on real files: found, followed, drained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sightings import SESSION, VERSIONS, as_line
from support import DATA, TIMEOUT, held, wait_until
from watchdog.observers.polling import PollingObserver

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.launch.command.hook_settings import hook_settings
from claude_mpm.sources.files import claude as claude_module
from claude_mpm.sources.files.claude import ClaudeSources
from claude_mpm.sources.files.transcripts import Transcripts, slug
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.track.tracker import Tracker

OTHER = "33333333-3333-4333-8333-333333333333"
BEFORE = 1_795_000_000.0  # seconds since the epoch; before everything in the recorded sessions


class Home:
    """A Claude home on disk, and what is seen of it."""

    def __init__(self, path: Path, watcher: Watcher) -> None:
        self.cwd = path / "my project"
        self.config = path / ".claude"
        self.spool = path / "spool"
        self.watcher = watcher
        self.events: list[Event] = []
        self.grown = threading.Condition()
        for directory in (self.cwd, self.spool):
            directory.mkdir()
        self.project = self.config / "projects" / slug(os.path.realpath(self.cwd))
        self.sources = self.build()

    def build(
        self,
        *,
        hooks: bool = True,
        cwd: Path | None = None,
        limits: Limits | None = None,
        others: tuple[int, ...] = (),
    ) -> ClaudeSources:
        return ClaudeSources(
            self.watcher,
            self.config,
            cwd or self.cwd,
            self.events.append,
            self.spool if hooks else None,
            limits or Limits(),
            new_session=lambda session, reason, at: ev.session_start(session, {"port": 1}, "exec", at, reason=reason),
            others_in_directory=lambda pid: list(others),
        )

    def write(self, name: str, *records: Any, mode: str = "ab") -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, mode) as file:
            file.write(b"".join(as_line(record) + b"\n" for record in records))

    def hook(self, **payload: Any) -> None:
        (hook,) = hook_settings(self.spool)["Stop"][0]["hooks"]
        subprocess.run(["sh", "-c", hook["command"]], input=as_line({"session_id": SESSION} | payload), check=True)

    def of(self, kind: str) -> list[Any]:
        return [event.data for event in list(self.events) if event.type == kind]

    def texts(self) -> list[str]:
        return [data["text"] for data in self.of(ev.CLAUDE_MESSAGE)]

    def wait_texts(self, *texts: str) -> None:
        wait_until(lambda: self.texts() == list(texts), f"{texts} told; {self.texts()}")


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Home]:
    troubles: list[str] = []
    watcher = Watcher(troubles.append, poll_interval=0.1)
    claude = Home(tmp_path, watcher)
    watcher.start()
    try:
        yield claude
    finally:
        claude.sources.stop()
        watcher.stop()
        watcher.join(TIMEOUT)
    assert troubles == []


def said(text: str, session: str = SESSION, **fields: Any) -> dict[str, Any]:
    message = {"id": f"msg {text}", "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "sessionId": session, "message": message, "uuid": text} | fields


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_session_appears_as_its_files_do(claude: Home, version: str) -> None:
    claude.sources.start(SESSION, None, BEFORE)
    recorded = DATA / "transcripts" / version
    for path in sorted(recorded.rglob("*.*"), key=lambda path: path.stem != SESSION):
        copy = claude.project / path.relative_to(recorded)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    claude.sources.process_ended(0, None)
    assert claude.sources.drain(TIMEOUT)
    delegations = [(data["task"], data["status"]) for data in claude.of(ev.AGENT_DELEGATION)]
    tasks = ("Research the topic", "Parallel beta", "Parallel gamma")
    assert sorted(delegations) == sorted((task, status) for task in tasks for status in ("started", "completed"))
    assert {"Sub alpha result: RESULT-ALPHA.", "All done. FINAL-TEXT-MARKER."} <= set(claude.texts())


def test_lines_are_told_as_they_are_written_and_halves_when_they_are_whole(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    claude.write(f"{SESSION}.jsonl", said("one"))
    claude.wait_texts("one")
    whole = as_line(said("two")) + b"\n"
    with open(claude.project / f"{SESSION}.jsonl", "ab", buffering=0) as file:
        file.write(whole[:30])
        claude.write(f"{OTHER}.jsonl", said("not ours", OTHER))
        file.write(whole[30:])
        claude.wait_texts("one", "two")


def test_truncated_and_replaced_transcripts_are_read_again_and_told_once(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    claude.write(f"{SESSION}.jsonl", said("one"), said("two"))
    claude.wait_texts("one", "two")
    claude.write(f"{SESSION}.jsonl", said("one"), mode="wb")
    claude.write(f"{SESSION}.jsonl", said("three"))
    claude.wait_texts("one", "two", "three")
    claude.write("new", said("one"), said("two"), said("three"), said("four"))
    os.replace(claude.project / "new", claude.project / f"{SESSION}.jsonl")
    claude.wait_texts("one", "two", "three", "four")


def test_a_line_that_is_too_long_is_passed_over(claude: Home) -> None:
    claude.sources = claude.build(limits=Limits(line_bytes=1000))
    claude.sources.start(SESSION, None)
    claude.write(f"{SESSION}.jsonl", said("one"), said("x" * 2000), said("two"))
    claude.wait_texts("one", "two")


def test_links_and_fifos_are_not_opened(claude: Home) -> None:
    claude.write("elsewhere", said("secret"))
    (claude.project / f"{SESSION}.jsonl").symlink_to(claude.project / "elsewhere")
    directory = claude.project / SESSION / "subagents"
    directory.mkdir(parents=True)
    os.mkfifo(directory / "agent-a1.jsonl")
    os.mkfifo(directory / "agent-a1.meta.json")
    claude.sources.start(SESSION, None)
    assert claude.sources.drain(TIMEOUT) and claude.texts() == []


def test_agents_of_20_beside_other_sessions_are_told_apart(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    claude.write("agent-a1.jsonl", said("ours", isSidechain=True, agentId="a1"))
    claude.write("agent-b2.jsonl", said("theirs", OTHER, isSidechain=True, agentId="b2"))
    claude.write("agent-a1.jsonl", said("ours again", isSidechain=True, agentId="a1"))
    claude.wait_texts("ours", "ours again")
    assert {data["agent_id"] for data in claude.of(ev.CLAUDE_MESSAGE)} == {"a1"}


def test_hooks_are_read_in_order_and_gone(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    for number in range(10):
        claude.hook(hook_event_name="UserPromptSubmit", prompt=str(number))
    claude.wait_texts(*map(str, range(10)))
    wait_until(lambda: os.listdir(claude.spool) == [])


def test_what_waits_in_the_spool_before_the_start_is_read(claude: Home) -> None:
    for number in range(5):
        claude.hook(hook_event_name="UserPromptSubmit", prompt=str(number))
    (claude.spool / "settings.json").write_text("{}")
    claude.sources.start(SESSION, None)
    claude.wait_texts(*map(str, range(5)))
    assert os.listdir(claude.spool) == ["settings.json"]


def test_an_unknown_session_is_learned_from_the_hooks(claude: Home) -> None:
    claude.sources.start(None, None)
    claude.write(f"{OTHER}.jsonl", said("not ours", OTHER))
    claude.write(f"{SESSION}.jsonl", said("ours"))
    assert claude.sources.drain(TIMEOUT) and claude.texts() == []
    claude.hook(hook_event_name="SessionStart", source="resume")
    claude.wait_texts("ours")


def test_the_hooks_know_where_the_transcript_is(claude: Home) -> None:
    elsewhere = claude.config / "projects" / "somewhere-else"
    elsewhere.mkdir(parents=True)
    path = elsewhere / f"{SESSION}.jsonl"
    path.write_bytes(as_line(said("found")) + b"\n")
    claude.sources.start(SESSION, None)
    claude.hook(hook_event_name="SessionStart", source="startup", transcript_path=str(path))
    claude.wait_texts("found")


def test_an_unknown_session_is_learned_from_the_session_file(claude: Home) -> None:
    claude.write(f"{SESSION}.jsonl", said("ours"))
    claude.sources = claude.build(hooks=False)
    claude.sources.start(None, 77)
    sessions = claude.config / "sessions"
    sessions.mkdir()
    (sessions / "78.json").write_text(json.dumps({"sessionId": OTHER, "status": "busy"}))
    (sessions / "77.key").write_text("secret")
    (sessions / "77.json").write_text(json.dumps({"sessionId": SESSION, "status": "waiting"}))
    wait_until(lambda: any(data.get("activity") == "waiting" for data in claude.of(ev.CLAUDE_STATUS)))
    claude.wait_texts("ours")


def test_without_hooks_the_only_fresh_transcript_is_it_and_two_are_none(claude: Home) -> None:
    claude.write("44444444-4444-4444-8444-444444444444.jsonl", said("old"))
    os.utime(claude.project / "44444444-4444-4444-8444-444444444444.jsonl", (1, 1))
    claude.sources = claude.build(hooks=False)
    claude.sources.start(None, 77)
    claude.write(f"{SESSION}.jsonl", said("ours"))
    claude.wait_texts("ours")
    two = claude.build(hooks=False)
    claude.write(f"{OTHER}.jsonl", said("theirs", OTHER))
    two.start(None, 78)
    assert two.drain(TIMEOUT) and "theirs" not in claude.texts()
    two.stop()


def test_with_another_claude_in_the_directory_no_transcript_is_taken_for_ours(claude: Home) -> None:
    claude.sources = claude.build(hooks=False, others=(78,))
    claude.sources.start(None, 77)
    claude.write(f"{SESSION}.jsonl", said("whose?"))
    wait_until(lambda: claude.of(ev.SYSTEM_ERROR))
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == []
    (trouble,) = claude.of(ev.SYSTEM_ERROR)
    assert "cannot be told" in trouble["error"] and trouble["hint"]


def test_a_directory_name_too_long_to_know_is_found(claude: Home) -> None:
    cwd = claude.cwd / ("d" * 120) / ("e" * 120)
    cwd.mkdir(parents=True)
    claude.sources = claude.build(cwd=cwd)
    claude.sources.start(SESSION, None)
    claude.project = claude.config / "projects" / f"{slug(os.path.realpath(cwd))[:200]}-1x2y3z"
    claude.write(f"{SESSION}.jsonl", said("found"))
    claude.wait_texts("found")


def test_clear_leads_to_the_next_sessions_files(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    claude.write(f"{SESSION}.jsonl", said("one"))
    claude.wait_texts("one")
    claude.hook(hook_event_name="SessionEnd", reason="clear")
    claude.hook(hook_event_name="SessionStart", source="clear", session_id=OTHER)
    claude.write(f"{OTHER}.jsonl", said("two", OTHER))
    claude.write(f"{SESSION}.jsonl", said("last words"))
    wait_until(lambda: set(claude.texts()) == {"one", "two", "last words"})
    assert [data["session_id"] for data in claude.of(ev.SESSION_START)] == [OTHER]
    tasks = claude.config / "tasks" / OTHER
    tasks.mkdir(parents=True)
    (tasks / "1.json").write_text(json.dumps({"id": "1", "subject": "t", "status": "pending"}))
    wait_until(lambda: [data["todos"][0]["content"] for data in claude.of(ev.TODO_UPDATE)] == ["t"])


def test_stdout_lines_come_from_another_thread(claude: Home) -> None:
    claude.sources.start(SESSION, None, BEFORE)
    lines = (DATA / "stream_json/stream-json.v2.1.330-tasks-bg.jsonl").read_bytes().splitlines()
    for line in lines:
        claude.sources.stdout_line(line.replace(b"11111111-1111-4111-8111-111111111111", SESSION.encode()))
    claude.sources.process_ended(0, None)
    assert claude.sources.drain(TIMEOUT)
    assert len(claude.of(ev.AGENT_DELEGATION)) == 6 and claude.of(ev.CLAUDE_USAGE)[-1]["cost_usd"] == 0.08256


def test_drain_reads_what_was_written_last_and_closes_what_is_open(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    task = {"description": "never ends", "prompt": "p"}
    message = {
        "id": "m",
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t", "name": "Task", "input": task}],
    }
    claude.write(f"{SESSION}.jsonl", {"type": "assistant", "sessionId": SESSION, "message": message}, said("last"))
    claude.sources.process_ended(None, "SIGKILL")
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == ["last"]
    assert [data["status"] for data in claude.of(ev.AGENT_DELEGATION)] == ["started", "failed"]
    assert claude.of(ev.AGENT_STATUS)[-1]["active_agents"] == []


def test_drain_gives_up_when_nobody_reads(tmp_path: Path) -> None:
    watcher = Watcher(lambda sentence: None)
    sources = ClaudeSources(watcher, tmp_path, tmp_path, lambda event: None, None, Limits())
    assert not sources.drain(0.01)
    watcher.stop()


def test_slugs_are_claudes() -> None:
    assert slug("/home/u/we ird_dir.v1+2/Ünï_x") == "-home-u-we-ird-dir-v1-2--n--x"
    assert slug("/\U0001f600") == "---"


# --- what must not be lost ---


def raise_on(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Make the tracker fail on every observation that contains `text`, as an unforeseen value would."""
    observe = Tracker.observe

    def fail(tracker: Tracker, observation: Any, *args: Any, **kwargs: Any) -> Any:
        if text in repr(observation):
            raise ValueError("unforeseen")
        return observe(tracker, observation, *args, **kwargs)

    monkeypatch.setattr(Tracker, "observe", fail)


def test_a_transcript_line_that_cannot_be_read_costs_that_line_only(
    claude: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raise_on(monkeypatch, "bad")
    claude.write(f"{SESSION}.jsonl", said("one"), said("bad"), said("two"))
    claude.sources.start(SESSION, None)
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == ["one", "two"]
    (error,) = claude.of(ev.SYSTEM_ERROR)
    assert "transcript" in error["error"] and error["severity"] == "warning"
    assert [record.message for record in caplog.records] == [error["error"]]


def test_a_hook_s_payload_that_cannot_be_read_costs_that_payload_only(
    claude: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on(monkeypatch, "bad")
    for prompt in ("one", "bad", "two"):
        claude.hook(hook_event_name="UserPromptSubmit", prompt=prompt)
    claude.sources.start(SESSION, None)
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == ["one", "two"] and os.listdir(claude.spool) == []


def test_a_stdout_line_that_cannot_be_read_costs_that_line_only(claude: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_on(monkeypatch, "bad")
    claude.sources.start(SESSION, None)
    for text in ("one", "bad", "bad", "two"):
        claude.sources.stdout_line(as_line(printed(text)))
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == ["one", "two"]
    assert len(claude.of(ev.SYSTEM_ERROR)) == 1, "the same fault is told once"


def printed(text: str) -> dict[str, Any]:
    return said(text) | {"session_id": SESSION, "parent_tool_use_id": None}


def test_stdout_lines_before_the_start_wait_for_it(claude: Home) -> None:
    claude.write(f"{SESSION}.jsonl", said("one"))
    claude.sources.stdout_line(as_line(printed("one")))
    assert claude.sources.drain(TIMEOUT) and claude.texts() == []
    claude.sources.start(SESSION, None)
    claude.sources.stdout_line(as_line(printed("two")))
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == ["one", "two"], "each told once, though the transcript has the first as well"


def test_no_stdout_line_is_lost_while_the_file_reader_is_busy(claude: Home) -> None:
    claude.sources.start(SESSION, None)
    go_on = held(claude.watcher.post)
    for number in range(12_000):
        claude.sources.stdout_line(as_line(printed(str(number))))
    claude.sources.process_ended(0, None)
    go_on.set()
    assert claude.sources.drain(6 * TIMEOUT)
    assert claude.texts() == [str(number) for number in range(12_000)]
    assert claude.of(ev.SYSTEM_ERROR) == []


def test_stdout_lines_beyond_the_bound_are_counted_and_told_once(claude: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [as_line(printed(f"{number}")) for number in range(10)]
    monkeypatch.setattr(claude_module, "STDOUT_BYTES", sum(map(len, lines)) // 2)
    claude.sources = claude.build()
    claude.sources.start(SESSION, None)
    go_on = held(claude.watcher.post)
    for line in lines:
        claude.sources.stdout_line(line)
    go_on.set()
    assert claude.sources.drain(TIMEOUT)
    kept = claude.texts()
    assert kept == [f"{number}" for number in range(len(kept))] and len(kept) < 10
    (error,) = claude.of(ev.SYSTEM_ERROR)
    assert f"{10 - len(kept)} lines" in error["error"] and error["severity"] == "error"
    claude.sources.stdout_line(as_line(printed("later")))
    assert claude.sources.drain(TIMEOUT)
    assert claude.texts() == [*kept, "later"] and len(claude.of(ev.SYSTEM_ERROR)) == 1


def test_a_long_history_is_not_held_in_memory(claude: Home) -> None:
    """A resumed session's transcript, and beside it an agent's file of another session (2.0.x)."""
    filler = {"type": "api-request", "body": "x" * 50_000}
    claude.write(f"{SESSION}.jsonl", *[filler] * 600, said("last"))
    claude.write("agent-b2.jsonl", said("theirs", OTHER, isSidechain=True, agentId="b2"), *[filler] * 600)
    tracemalloc.start()
    try:
        claude.sources.start(SESSION, None, BEFORE)
        assert claude.sources.drain(TIMEOUT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert claude.texts() == ["last"]
    assert peak < 8 * 1024 * 1024, "of 60 MB"


def test_drain_reads_todo_files_whose_change_nobody_has_noted_yet(tmp_path: Path) -> None:
    watcher = Watcher(lambda sentence: None, 3600.0, make_observer=lambda: PollingObserver(timeout=3600))
    claude = Home(tmp_path, watcher)
    watcher.start()
    try:
        claude.sources.start(SESSION, None)
        for _ in range(5):  # each one is a turn of the file-reader: it has scanned then, and will not again
            assert claude.sources.drain(TIMEOUT)
        tasks = claude.config / "tasks" / SESSION
        tasks.mkdir(parents=True)
        (tasks / "1.json").write_text(json.dumps({"id": "1", "subject": "t", "status": "completed"}))
        claude.sources.process_ended(0, None)
        assert claude.sources.drain(TIMEOUT)
        assert [data["todos"][0]["content"] for data in claude.of(ev.TODO_UPDATE)] == ["t"]
    finally:
        watcher.stop()
        watcher.join(TIMEOUT)


def test_nothing_is_written_into_claude_s_directories(claude: Home) -> None:
    agents = f"{SESSION}/subagents"
    claude.write(f"{SESSION}.jsonl", said("one"))
    claude.write(f"{agents}/agent-a1.jsonl", said("two", isSidechain=True, agentId="a1"))
    claude.write(f"{agents}/agent-a1.meta.json", {"toolUseId": "t"})
    for name in ("sessions/77.json", "sessions/77.key", f"todos/{SESSION}-agent-{SESSION}.json"):
        (claude.config / name).parent.mkdir(exist_ok=True)
        (claude.config / name).write_text("[]")

    def state() -> dict[Path, tuple[int, int, int]]:
        status = {path: path.lstat() for path in [claude.config, *claude.config.rglob("*")]}
        return {path: (each.st_ino, each.st_size, each.st_mtime_ns) for path, each in status.items()}

    before = state()
    claude.sources.start(SESSION, 77)
    claude.hook(hook_event_name="SessionEnd", reason="other")
    claude.sources.process_ended(0, None)
    assert claude.sources.drain(TIMEOUT)
    assert set(claude.texts()) == {"one", "two"}
    assert state() == before


def test_a_long_history_does_not_hold_up_the_stop(claude: Home) -> None:
    lines: list[bytes] = []

    def on_line(line: bytes) -> None:
        lines.append(line)
        claude.watcher.stop()

    claude.write(f"{SESSION}.jsonl", *[said("x" * 1000)] * 1000)
    transcripts = Transcripts(
        claude.watcher,
        claude.config / "projects",
        os.path.realpath(claude.cwd),
        0.0,
        on_line,
        lambda *_: None,
        None,
        10_000,
    )
    claude.watcher.post(transcripts.start)
    claude.watcher.post(lambda: transcripts.follow(SESSION))
    claude.watcher.join(TIMEOUT)
    assert 0 < len(lines) < 1000
