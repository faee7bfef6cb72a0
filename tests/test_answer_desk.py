"""Hooks that wait for answers: the real hook, as Claude runs it, against a real desk."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import DATA, ROOT, TIMEOUT, wait_until

from claude_mpm.errors import ProtocolError
from claude_mpm.feed.event import Event
from claude_mpm.launch.command import answer_hook
from claude_mpm.launch.command.hook_settings import ANSWER_TIME, hook_settings, unanswerable
from claude_mpm.monitor.answers import answer_desk, question
from claude_mpm.monitor.answers.answer_desk import HOOK_ENDED, NOBODY_THERE, OUT_OF_TIME, AnswerDesk
from claude_mpm.monitor.answers.waiting_hook import listen

BASH = {
    "hook_event_name": "PermissionRequest",
    "session_id": "s",
    "tool_name": "Bash",
    "tool_input": {"command": "python3 x"},
    "permission_suggestions": [
        {
            "type": "addRules",
            "rules": [{"toolName": "Bash", "ruleContent": "python3:*"}],
            "behavior": "allow",
            "destination": "localSettings",
        }
    ],
}
IN_AGENT = BASH | {"agent_id": "a97c356ec729fec4c"}
ALLOWED = {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}}


class Reported:
    """Notes what the desk reports."""

    def __init__(self) -> None:
        self.questions: dict[str, dict[str, Any]] = {}
        self.taken: list[tuple[str, str, str]] = []
        self.ended: list[tuple[str | None, str]] = []

    def asked(self, request_id: str, question: dict[str, Any], at: float) -> None:
        self.questions[request_id] = question

    def delivered(self, request_id: str, decision: str, client: str) -> None:
        self.taken.append((request_id, decision, client))

    def hook_ended(self, request_id: str | None, reason: str) -> None:
        self.ended.append((request_id, reason))

    def wait_asked(self, count: int = 1) -> list[str]:
        wait_until(lambda: len(self.questions) >= count, "the question is open")
        return list(self.questions)

    def wait_ended(self) -> tuple[str | None, str]:
        wait_until(lambda: self.ended, "the end of the hook is reported")
        return self.ended[-1]


class Hook:
    """The hook as Claude runs it: sh, a pipe for each stream."""

    def __init__(self, spool: Path, payload: object) -> None:
        (group,) = hook_settings(spool, (2, 1, 330), answers=True)["PermissionRequest"]
        self.process = subprocess.Popen(
            ["sh", "-c", group["hooks"][1]["command"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        self.process.stdin.close()

    def end(self) -> bytes:
        """What it printed; it must end well and complain of nothing."""
        process = self.process
        assert process.stdout is not None and process.stderr is not None
        code = process.wait(TIMEOUT)
        assert (code, process.stderr.read()) == (0, b"")
        return process.stdout.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Scene:
    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.reported = Reported()
        self.events: list[Event] = []
        self.is_anybody_there = True
        self.desk = AnswerDesk(spool, self.events.append, lambda: self.is_anybody_there)
        self.hooks: list[Hook] = []

    def hook(self, payload: object = BASH) -> Hook:
        self.hooks.append(Hook(self.spool, payload))
        return self.hooks[-1]

    def answer(self, request_id: str, decision: str = "allow", **given: Any) -> None:
        client = given.pop("client", "client-1")
        self.desk.answer(request_id, decision, given.get("message"), given.get("answers"), client)

    def code(self, request_id: str, decision: str = "allow", **given: Any) -> str:
        with pytest.raises(ProtocolError) as refused:
            self.answer(request_id, decision, **given)
        return refused.value.code


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / f'it\'s a "spool" $HOME {"long" * 30}'  # longer than a socket's path may be
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def scene(spool: Path) -> Iterator[Scene]:
    here = Scene(spool)
    here.desk.start(here.reported)
    yield here
    here.desk.stop()
    here.desk.join(TIMEOUT)
    for hook in here.hooks:
        hook.close()


# --- the settings ---


def test_without_answers_the_settings_are_what_they_were(tmp_path: Path) -> None:
    plain, with_answers = (hook_settings(tmp_path, (2, 0, 77), answers=chosen) for chosen in (False, True))
    assert {event: groups for event, groups in with_answers.items() if event != "PermissionRequest"} == {
        event: groups for event, groups in plain.items() if event != "PermissionRequest"
    }
    (group,), (waiting_group,) = plain["PermissionRequest"], with_answers["PermissionRequest"]
    assert waiting_group["hooks"][:-1] == group["hooks"] and len(group["hooks"]) == 1
    waiting = waiting_group["hooks"][-1]
    assert "async" not in waiting, "Claude ignores what an async hook prints"
    assert waiting["timeout"] == ANSWER_TIME > question.MAIN_WAIT
    assert "answer_hook" not in json.dumps(plain)


# --- answers ---


def test_an_allowed_question_is_printed_by_the_hook_and_told_as_delivered(scene: Scene) -> None:
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    assert scene.reported.questions[request_id] == {
        "kind": "permission",
        "tool": "Bash",
        "input": {"command": "python3 x"},
        "decisions": ["allow", "allow_session", "deny"],
        "grants": ["Bash(python3:*)"],
    }
    scene.answer(request_id)
    printed = hook.end()
    assert printed.endswith(b"\n") and printed.count(b"\n") == 1 and json.loads(printed) == ALLOWED
    wait_until(lambda: scene.reported.taken, "delivered")
    assert scene.reported.taken == [(request_id, "allow", "client-1")]
    (audit,) = scene.events
    assert audit.data == {
        "command": "answer",
        "client": "client-1",
        "detail": {"request": request_id, "decision": "allow", "tool": "Bash"},
    }
    assert scene.reported.ended == []


def test_the_audit_says_how_much_was_said_to_claude_but_not_what(scene: Scene) -> None:
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    scene.answer(request_id, "deny", message="no, use the test database")
    decision = json.loads(hook.end())["hookSpecificOutput"]["decision"]
    assert decision == {"behavior": "deny", "message": "no, use the test database"}
    assert scene.events[0].data["detail"]["characters"] == 25
    assert "database" not in json.dumps(scene.events[0].data)


def test_a_whole_input_of_256_kib_comes_back_with_the_answers(scene: Scene) -> None:
    plan = {"plan": "x" * (question.MAX_INPUT - 100)}
    hook = scene.hook(BASH | {"tool_name": "ExitPlanMode", "tool_input": plan})
    (request_id,) = scene.reported.wait_asked()
    assert scene.reported.questions[request_id]["input"] == plan
    threading.Thread(target=scene.answer, args=(request_id,)).start()
    assert hook.process.stdout is not None
    line = hook.process.stdout.readline()
    assert json.loads(line)["hookSpecificOutput"]["decision"]["updatedInput"] == plan
    hook.end()


def test_the_first_of_two_answers_counts(scene: Scene) -> None:
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    start, codes = threading.Barrier(8), []

    def answer(number: int) -> None:
        start.wait()
        try:
            scene.answer(request_id, "allow" if number % 2 else "deny", client=f"client-{number}")
            codes.append(f"client-{number}")
        except ProtocolError as refused:
            codes.append(refused.code)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count("already_answered") == 7
    (winner,) = (code for code in codes if code != "already_answered")
    printed = json.loads(hook.end())["hookSpecificOutput"]["decision"]["behavior"]
    wait_until(lambda: scene.reported.taken, "delivered")
    assert scene.reported.taken == [(request_id, printed, winner)]
    assert [event.data["client"] for event in scene.events] == [winner]
    assert scene.code(request_id) == "already_answered", "also when the hook has gone"


def test_a_flood_of_wrong_answers_changes_nothing(scene: Scene) -> None:
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    for number in range(2_000):
        assert scene.code(f"q-{number}") == "expired"
        assert scene.code(request_id, "maybe") == "invalid_params"
    assert scene.events == [], "what was refused is not recorded: a flood must not fill the log"
    scene.answer(request_id)
    assert json.loads(hook.end()) == ALLOWED


# --- no answer ---


def test_a_settled_question_lets_its_hook_go_in_silence(scene: Scene) -> None:
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    scene.desk.settle(request_id)
    assert hook.end() == b""
    assert scene.code(request_id) == "expired"
    assert scene.reported.ended == [], "whoever settles it knows why"


def test_without_a_client_an_agents_question_is_not_held_up_at_all(scene: Scene) -> None:
    scene.is_anybody_there = False
    assert scene.hook(IN_AGENT).end() == b""
    assert scene.reported.wait_ended() == (None, NOBODY_THERE)
    assert scene.reported.questions == {}


def test_an_agents_question_is_given_up_when_the_last_client_leaves(scene: Scene) -> None:
    hook = scene.hook(IN_AGENT)
    (request_id,) = scene.reported.wait_asked()
    assert "expires_at" in scene.reported.questions[request_id]
    scene.is_anybody_there = False
    assert hook.end() == b""
    assert scene.reported.wait_ended() == (request_id, NOBODY_THERE)


def test_a_question_of_the_main_conversation_waits_for_a_client_to_come(scene: Scene) -> None:
    """Its dialog is in the terminal all the while, so nobody is kept waiting."""
    scene.is_anybody_there = False
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    assert "expires_at" not in scene.reported.questions[request_id]
    scene.is_anybody_there = True
    scene.answer(request_id)
    assert json.loads(hook.end()) == ALLOWED


def test_an_agents_question_ends_in_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert question.AGENT_WAIT == 20.0
    monkeypatch.setattr(question, "AGENT_WAIT", 1.0)
    hook = scene.hook(IN_AGENT)
    (request_id,) = scene.reported.wait_asked()
    assert hook.end() == b""
    assert scene.reported.wait_ended() == (request_id, OUT_OF_TIME)
    assert scene.code(request_id) == "expired"


def test_a_payload_too_large_to_be_shown_is_left_to_the_terminal(scene: Scene) -> None:
    for size in (question.MAX_INPUT + 1, 5_000_000):
        scene.reported.ended.clear()
        assert scene.hook(BASH | {"tool_input": {"content": "x" * size}}).end() == b""
        assert scene.reported.wait_ended() == (None, question.TOO_LARGE)


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[", b"null", b'{"hook_event_name": "PermissionRequest"}', b"\xff" * 9]
)
def test_a_payload_that_is_not_understood_is_left_to_the_terminal(scene: Scene, payload: bytes) -> None:
    assert scene.hook(payload).end() == b""
    assert scene.reported.wait_ended() == (None, question.NOT_UNDERSTOOD)


def test_more_hooks_than_are_held_are_left_to_the_terminal(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_desk, "MAX_HOOKS", 2)
    scene.hook()
    scene.hook()
    scene.reported.wait_asked(2)
    assert scene.hook().end() == b""
    assert scene.reported.wait_ended() == (None, answer_desk.TOO_MANY)


# --- faults ---


def test_a_killed_hook_withdraws_its_question(scene: Scene) -> None:
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    hook.process.send_signal(signal.SIGTERM)  # to the process Claude knows; no shell stands before ours
    assert scene.reported.wait_ended() == (request_id, HOOK_ENDED)
    assert scene.code(request_id) == "expired"


def test_a_hook_whose_claude_has_died_leaves(scene: Scene) -> None:
    """SIGKILL leaves the hook behind; what it notices is that nobody reads its output."""
    hook = scene.hook()
    (request_id,) = scene.reported.wait_asked()
    assert hook.process.stdout is not None
    hook.process.stdout.close()
    assert hook.process.wait(TIMEOUT) == 0
    hook.process.stdout = None
    assert scene.reported.wait_ended() == (request_id, HOOK_ENDED)


def test_a_hook_on_a_socket_notices_the_death_too(scene: Scene) -> None:
    """Node gives its children socket pairs instead of pipes."""
    ours, theirs = socket.socketpair()
    (group,) = hook_settings(scene.spool, (2, 1, 330), answers=True)["PermissionRequest"]
    command = str(group["hooks"][1]["command"])
    with ours, subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=theirs.fileno()) as process:
        theirs.close()
        assert process.stdin is not None
        process.stdin.write(json.dumps(BASH).encode())
        process.stdin.close()
        scene.reported.wait_asked()
        ours.close()
        assert process.wait(TIMEOUT) == 0


def test_a_desk_that_stops_lets_all_hooks_go(scene: Scene) -> None:
    hooks = [scene.hook(), scene.hook(IN_AGENT)]
    request_id = scene.reported.wait_asked(2)[0]
    scene.desk.stop()
    assert [hook.end() for hook in hooks] == [b"", b""]
    assert scene.code(request_id) == "expired"


def test_without_a_monitor_the_hook_is_silent_at_once(tmp_path: Path) -> None:
    for spool in (tmp_path, tmp_path / "gone"):
        hook = Hook(spool, b"x" * 300_000)
        try:
            assert hook.end() == b""
        finally:
            hook.close()


def test_a_monitor_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """A stopped one: the kernel still connects, and nobody reads."""
    with listen(tmp_path):
        hook = Hook(tmp_path, IN_AGENT)
        try:
            assert hook.end() == b""
        finally:
            hook.close()


@pytest.mark.parametrize("said", [b"", b"60", b"60\n", b'60\n{"half": ', b"nonsense\n"])
def test_half_an_answer_is_none(tmp_path: Path, said: bytes) -> None:
    with listen(tmp_path) as listening:
        listening.setblocking(True)
        hook = Hook(tmp_path, BASH)
        try:
            with listening.accept()[0] as accepted:
                accepted.sendall(said)
            assert hook.end() == b""
        finally:
            hook.close()


def test_the_hook_keeps_its_own_deadline_although_the_monitor_is_stopped(tmp_path: Path) -> None:
    with listen(tmp_path) as listening:
        listening.setblocking(True)
        hook = Hook(tmp_path, IN_AGENT)
        try:
            with listening.accept()[0] as accepted:
                accepted.sendall(b"1\n")
                assert hook.end() == b""
        finally:
            hook.close()


def test_a_hook_without_python_or_script_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    hook = Hook(tmp_path, b"x" * 300_000)
    try:
        assert hook.end() == b""
    finally:
        hook.close()


def test_the_socket_is_in_a_directory_only_its_owner_may_enter(scene: Scene) -> None:
    assert (scene.spool / answer_hook.SOCKET).is_socket()
    assert scene.spool.stat().st_mode & 0o077 == 0


def test_the_hook_needs_nothing_but_the_standard_library() -> None:
    source = (ROOT / "claude_mpm/launch/command/answer_hook.py").read_text()
    assert "claude_mpm" not in source.split('"""', 2)[2]


@pytest.mark.parametrize("path", sorted((DATA / "answering").glob("*.json")), ids=lambda path: path.stem)
def test_recorded_payloads_are_understood(path: Path) -> None:
    found = question.parse(path.read_bytes())
    data = found.describe()
    entry = json.loads(path.read_text())
    assert (data["tool"], data["input"]) == (entry["tool_name"], entry["tool_input"])
    assert data["kind"] == ("question" if entry["tool_name"] == "AskUserQuestion" else "permission")
    assert ("allow_session" in data["decisions"]) == ("permission_suggestions" in entry)
    assert found.wait == (20.0 if "agent_id" in entry else 24 * 3600.0)


@pytest.mark.parametrize(
    ("version", "print_mode", "word"),
    [
        ((1, 0, 128), False, "1.0.128"),
        ((2, 0, 76), False, "2.0.77"),
        (None, False, "not known"),
        ((2, 1, 330), True, "-p"),
    ],
)
def test_a_claude_that_cannot_be_answered_is_known_beforehand(
    version: tuple[int, int, int] | None, print_mode: bool, word: str
) -> None:
    reason = unanswerable(version, print_mode)
    assert reason is not None and word in reason
    assert unanswerable((2, 0, 77), False) is None
