"""Hooks: the shell that drops its input can do no harm, and what it drops is read."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import as_line, kinds, patient, records
from support import DATA

from claude_mpm.launch.command import hook_settings
from claude_mpm.sources.parse import hooks
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    Notified,
    Observation,
    Prompt,
    SessionEnded,
    SessionStarted,
    ToolEnded,
    ToolStarted,
    TurnEnded,
)
from claude_mpm.system.state_dir import HOOK_SUFFIX

PAYLOAD = b'{"hook_event_name": "Stop", "text": "\xc3\xbc\\n"}'


def command(spool: Path) -> str:
    (group,) = hook_settings.hook_settings(spool)["Stop"]
    (hook,) = group["hooks"]
    return str(hook["command"])


def run(spool: Path, payload: bytes = PAYLOAD, shell: str = "sh") -> None:
    """Run the hook as Claude does; it must end well and say nothing."""
    ran = subprocess.run([shell, "-c", command(spool)], input=payload, capture_output=True, timeout=20)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def dropped(spool: Path) -> list[bytes]:
    return [path.read_bytes() for path in spool.iterdir() if path.name.endswith(HOOK_SUFFIX)]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / 'it\'s a "spool" $HOME'
    path.mkdir(mode=0o700)
    return path


# --- the settings ---


def test_only_events_and_a_type_every_version_knows(tmp_path: Path) -> None:
    settings = hook_settings.hook_settings(tmp_path)
    assert set(settings) == {
        "PreToolUse", "PostToolUse", "Notification", "UserPromptSubmit", "SessionStart", "SessionEnd", "Stop",
        "SubagentStop", "PreCompact",
    }  # fmt: skip
    for event, groups in settings.items():
        for group in groups:
            assert set(group) == ({"matcher", "hooks"} if event.endswith("ToolUse") else {"hooks"})
            assert all(hook["type"] == "command" for hook in group["hooks"])
    assert json.loads(json.dumps(settings)) == settings


def test_a_known_version_is_asked_for_what_it_can_tell(tmp_path: Path) -> None:
    every = set(hook_settings.EVENTS)
    assert set(hook_settings.hook_settings(tmp_path, (1, 0, 128))) == every - {"PermissionRequest"}
    assert set(hook_settings.hook_settings(tmp_path, (2, 0, 77))) == every
    assert set(hook_settings.hook_settings(tmp_path, (2, 1, 330))) == every - {"Stop"}


def test_an_old_version_is_not_asked_for_events_it_would_drop_the_file_for(tmp_path: Path) -> None:
    late = {"SessionStart", "SessionEnd", "PermissionRequest"}
    assert set(hook_settings.hook_settings(tmp_path, (1, 0, 61))) == set(hook_settings.EVENTS) - late
    assert "SessionStart" in hook_settings.hook_settings(tmp_path, (1, 0, 62))
    assert "SessionEnd" not in hook_settings.hook_settings(tmp_path, (1, 0, 84))


def test_a_permission_request_is_waiting() -> None:
    payload = {"hook_event_name": "PermissionRequest", "session_id": "s", "tool_name": "Bash", "tool_input": {}}
    (found,) = hooks.parse(as_line(payload), 1.0)
    assert isinstance(found, Notified) and found.kind == "permission" and "Bash" in found.message.split()


# --- the shell ---


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_input_becomes_one_whole_private_file(spool: Path, shell: str) -> None:
    for payload in (PAYLOAD, b"", b"x" * 3_000_000):
        run(spool, payload, shell)
        assert dropped(spool) == [payload]
        for path in spool.iterdir():
            path.unlink()


def test_files_are_kept_apart(spool: Path) -> None:
    started = [subprocess.Popen(["sh", "-c", command(spool)], stdin=subprocess.PIPE) for _ in range(20)]
    for number, process in enumerate(started):
        process.communicate(b"%d" % number)
    assert sorted(dropped(spool)) == sorted(b"%d" % number for number in range(20))


def test_a_spool_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    run(tmp_path / "gone")
    run(tmp_path / "gone", b"x" * 1_000_000)  # all of it is read: Claude gets no broken pipe
    assert not (tmp_path / "gone").exists()


def test_a_spool_that_takes_nothing_is_no_trouble(tmp_path: Path, spool: Path) -> None:
    (tmp_path / "file").write_text("")
    run(tmp_path / "file", b"x" * 1_000_000)
    run(Path("/proc/self"), b"x" * 1_000_000)  # even root cannot create files there


def test_a_payload_that_is_too_large_leaves_nothing(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_settings, "MAX_PAYLOAD", 200)  # as on a disk that is full: writing fails halfway
    run(spool, b"x" * 1_000_000)
    assert list(spool.iterdir()) == []


def test_a_spool_nobody_reads_stops_growing(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_settings, "MAX_WAITING", 5)
    for _ in range(8):
        run(spool)
    assert len(dropped(spool)) == 5
    assert len(os.listdir(spool)) == 5


# --- the payloads ---


def parsed(version: str) -> list[Observation]:
    lines = (DATA / f"hooks/hook-payloads.v{version}.jsonl").read_bytes().splitlines()
    return [one for at, line in enumerate(lines) for one in hooks.parse(line, float(at))]


def test_payloads_of_1x_name_neither_calls_nor_agents() -> None:
    found = parsed("1.0.128")
    assert kinds(found) == {
        "SessionStarted": 1, "Prompt": 1, "ToolStarted": 3, "ToolEnded": 3, "TurnEnded": 1, "SessionEnded": 1,
    }  # fmt: skip
    assert all(one.who.unsure for one in found)
    assert all(one.tool_use_id is None for one in found if isinstance(one, (ToolStarted, ToolEnded)))
    (end,) = (one for one in found if isinstance(one, ToolEnded) and one.tool == "Task")
    assert end.result["totalTokens"] == 1370 and end.summary == "Sub alpha result: RESULT-ALPHA."


def test_payloads_of_21_name_both() -> None:
    found = parsed("2.1.330")
    (seen,) = (one for one in found if isinstance(one, AgentSeen))
    assert (seen.who.agent_id, seen.tool_use_id) == ("a933523d928d58671", "toolu_fake_0130_1")
    (end,) = (one for one in found if isinstance(one, AgentEnded))
    assert end.who.agent_id == "a933523d928d58671"
    (turn,) = (one for one in found if isinstance(one, TurnEnded))
    assert turn.background_agents == 3
    assert {one.who.agent_id for one in found if isinstance(one, ToolStarted)} == {None, "a933523d928d58671"}


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        ("Claude needs your permission to use Bash", None, "permission"),
        ("Claude needs your permission", "permission_prompt", "permission"),
        ("Claude Code needs your approval for the plan", None, "permission"),
        ("Claude is waiting for your input", None, "input"),
        ("Claude is waiting for your input", "idle_prompt", "input"),
        ("Claude Code has a question for you", "elicitation_dialog", "question"),
    ],
)
def test_what_claude_wants_of_the_user(message: str, kind: str | None, expected: str) -> None:
    (found,) = hooks.parse(
        as_line({"hook_event_name": "Notification", "session_id": "s", "message": message, "notification_type": kind}),
        1.0,
    )
    assert isinstance(found, Notified) and found.kind == expected


def test_a_task_notification_is_no_prompt() -> None:
    text = "<task-notification><task-id>a1</task-id><status>completed</status></task-notification>"
    payload = {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": text}
    (found,) = hooks.parse(as_line(payload), 1.0)
    assert isinstance(found, AgentEnded)
    (typed,) = hooks.parse(as_line(payload | {"prompt": "hello"}), 1.0)
    assert isinstance(typed, Prompt)


def test_sessions_start_and_end_with_their_reasons() -> None:
    payload = {"session_id": "s", "source": "clear", "reason": "clear"}
    (started,) = hooks.parse(as_line(payload | {"hook_event_name": "SessionStart"}), 1.0)
    (ended,) = hooks.parse(as_line(payload | {"hook_event_name": "SessionEnd"}), 1.0)
    assert isinstance(started, SessionStarted) and started.reason == "clear"
    assert isinstance(ended, SessionEnded) and ended.reason == "clear"


@given(records, st.binary(max_size=100))
@patient
def test_nothing_is_an_exception(record: dict[str, Any], data: bytes) -> None:
    hooks.parse(as_line(record), 0.0)
    hooks.parse(data, 0.0)
    hooks.transcript_of(as_line(record))
