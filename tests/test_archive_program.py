"""`sessions`, `replay` and `monitor` as a user runs them: listed, searched, served until Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from archived import answer, prompt, recorded_home, session_id, write_session
from program import PROGRAM, environment, port_in, registered, run
from serving import Client, Frame
from sightings import SESSION, VERSIONS
from support import TIMEOUT, wait_until
from watching import Watcher

from claude_mpm.archive import reader
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.monitor.replay import Player

ONE, TWO = session_id(0xA1), session_id(0xB2)
DAY = 86_400.0


def two_sessions(home: Path) -> None:
    write_session(home / ".claude", ONE, prompt("first task"), answer("done"), project="-w", at=2e9)
    old = prompt("second\x1b[31m task " + "x" * 100, at="2020-01-01T10:00:00.000Z")
    write_session(home / ".claude", TWO, old, project="-w", at=1e9)


def lines(*args: str, home: Path, cwd: Path, config_dir: str = "") -> list[str]:
    done = run("sessions", *args, home=home, cwd=cwd, TZ="UTC", CLAUDE_CONFIG_DIR=config_dir)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_sessions_are_listed_one_a_line_newest_first(home: Path, tmp_path: Path) -> None:
    two_sessions(home)
    first, second = lines(home=home, cwd=tmp_path)
    assert first.split() == ["2026-11-01", "10:00", "5", "s", "1", "kB", "w", "first", "task", ONE]
    assert second.startswith("2020-01-01 10:00") and second.endswith(f"…  {TWO}") and "\x1b" not in second
    assert lines("--since", "3650d", home=home, cwd=tmp_path) == [first]
    assert lines("--project", "/elsewhere", home=home, cwd=tmp_path) == []
    assert lines("--project", "/w", home=home, cwd=tmp_path) == [first, second]


def test_a_search_shows_the_line_that_matched(home: Path, tmp_path: Path) -> None:
    two_sessions(home)
    shown = lines("FIRST t", home=home, cwd=tmp_path)
    assert len(shown) == 2 and shown[0].endswith(ONE) and shown[1] == "    user: first task"


def test_the_list_as_json_is_that_of_the_api(home: Path, tmp_path: Path) -> None:
    two_sessions(home)
    rows = json.loads("\n".join(lines("--json", "DONE", home=home, cwd=tmp_path)))
    assert [(row["session_id"], row["match"]) for row in rows] == [(ONE, {"role": "assistant", "line": "done"})]
    assert lines("--json", "nowhere", home=home, cwd=tmp_path) == ["[]"]


def test_claude_config_dir_is_where_sessions_are(home: Path, tmp_path: Path) -> None:
    write_session(tmp_path / "elsewhere", ONE, prompt("first task"), at=1e9)
    assert lines(home=home, cwd=tmp_path) == []
    assert len(lines(home=home, cwd=tmp_path, config_dir=str(tmp_path / "elsewhere"))) == 1


def test_a_reader_that_leaves_is_no_failure(home: Path, tmp_path: Path) -> None:
    for number in range(2_000):
        write_session(home / ".claude", session_id(number), prompt("x" * 500), at=number)
    shell = f"{' '.join(PROGRAM)} sessions | head -1"
    done = subprocess.run(
        ["sh", "-c", shell], env=environment(home), cwd=tmp_path, capture_output=True, timeout=TIMEOUT * 3
    )
    assert len(done.stdout.splitlines()) == 1 and done.stderr == b""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("replay", "/etc/passwd"), "holds no session"),
        (("replay", "missing.jsonl"), "cannot be read"),
        (("replay", "last"), "has kept no sessions"),
        (("replay", "ffff"), "no session 'ffff' was found"),
        (("replay", "page.html"), "open it in a browser"),
        (("replay", "last", "--speed", "0"), "is not a speed"),
        (("sessions", "--since", "yesterday"), "is not a time"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    args: tuple[str, ...], words: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("<!doctype html>")
    done = run(*args, home=home, cwd=tmp_path)
    said = done.stderr.decode().splitlines()
    assert done.returncode == 2 and words in said[-1] and done.stdout == b""
    assert len(said) == 1 or said[0].startswith("usage:")


# --- replay ------------------------------------------------------------------------------------------


@contextmanager
def serving(*args: str, home: Path, cwd: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A running program that serves; its port and its process, which is interrupted at the end."""
    said = cwd / "stderr"
    with open(said, "wb") as stderr:
        process = subprocess.Popen(
            [*PROGRAM, *args], env=environment(home), cwd=cwd, stdin=subprocess.DEVNULL, stderr=stderr
        )
    try:
        port = wait_until(lambda: port_in(said.read_bytes()), "the announcement") or 0
        wait_until(lambda: registered(home), "the server to register")
        yield port, process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(TIMEOUT) == 0, said.read_text()
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_replay_serves_what_the_session_was(version: str, home: Path, tmp_path: Path) -> None:
    file = recorded_home(home / ".claude", version)
    wanted = [event.type for event in reader.events(file)]
    with serving("replay", SESSION[:6], "--websocket-port", "0", home=home, cwd=tmp_path) as (port, _):
        with Watcher(port) as watcher:
            end = watcher.wait_event("session.end")
            assert end["reason"] == "transcript_ends"
            assert [
                frame for frame in watcher.types() if frame in ev.EVENT_TYPES and frame != ev.SYSTEM_STATUS
            ] == wanted
        with Client(port) as client:
            status = client.next()["data"]
            info = status["instance_info"]
            assert (info["kind"], info["working_dir"], info["claude_version"]) == ("replay", "/home/u/proj1", version)
            assert (status["claude_status"], status["session_id"]) == ("stopped", SESSION)
            assert client.ask("get_sessions")["data"]["sessions"][0]["session_id"] == SESSION
        with urlopen(f"http://localhost:{port}/", timeout=TIMEOUT) as page:
            assert page.status == 200
    assert registered(home) == []


def test_a_recording_and_a_copy_of_a_transcript_are_replayed(home: Path, tmp_path: Path) -> None:
    file = recorded_home(home / ".claude", "2.0.77")
    log = Log("run-1")
    recording = tmp_path / "recording.jsonl"
    recording.write_bytes(b"".join(log.append(event).json + b"\n" for event in reader.events(file)))
    copy = tmp_path / "copy.jsonl"
    shutil.copyfile(file.path, copy)
    os.symlink(copy, tmp_path / "link.jsonl")
    for path in (recording, copy, tmp_path / "link.jsonl"):
        with (
            serving("replay", str(path), "--websocket-port", "0", home=home, cwd=tmp_path) as (port, _),
            Watcher(port) as watcher,
        ):
            assert watcher.wait_event("session.end")["reason"] == "transcript_ends"


def test_monitor_with_nothing_running_serves_the_past(home: Path, tmp_path: Path) -> None:
    two_sessions(home)
    with serving("monitor", home=home, cwd=tmp_path) as (port, _), Client(port) as client:
        greeting: Frame = client.next()
        assert greeting["data"]["instance_info"]["kind"] == "overview"
        assert [row["session_id"] for row in client.ask("get_sessions")["data"]["sessions"]] == [ONE, TWO]
        events = client.ask("get_session", session_id=ONE)["data"]["events"]
        assert events[-1]["data"]["reason"] == "transcript_ends"


# --- the player --------------------------------------------------------------------------------------


def status(at: float) -> Event:
    return ev.claude_status("running", origin=Origin("transcript", at))


def test_a_player_appends_everything_at_once_and_passes_over_what_is_malformed() -> None:
    log = Log("run-1")
    broken = Event(ev.SESSION_START, {}, "process", 1.0)
    player = Player(log, (event for event in (status(1.0), broken, status(1.0 + DAY))), None)
    player.start()
    player.join(TIMEOUT)
    assert log.seq == 2


def test_a_player_takes_its_time_and_can_be_stopped_meanwhile() -> None:
    log = Log("run-1")
    player = Player(log, (event for event in (status(1.0), status(1.0), status(1.0 + DAY))), 2.0)
    player.start()
    wait_until(lambda: log.seq == 2, "what happened at once")
    player.stop()
    player.join(TIMEOUT)
    assert log.seq == 2


def test_a_session_that_cannot_be_read_to_its_end_is_told() -> None:
    def events() -> Iterator[Event]:
        yield status(1.0)
        raise OSError("the disk is gone")

    log = Log("run-1")
    player = Player(log, (event for event in events()), None)
    player.start()
    player.join(TIMEOUT)
    (error,) = [entry.message() for entry in log.read(0, ["system.error"], 5)]
    assert "the disk is gone" in error["data"]["error"]
