"""What --record writes: all of the session, nothing torn, and no harm to the session when it cannot be written."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from program import PROGRAM, environment, port_in, run, script
from schemas import check
from support import TIMEOUT, wait_until
from terminal import Terminal
from watching import Watcher

from claude_mpm.archive import recording
from claude_mpm.archive.recorder import CLOSING_BYTES, Recorder, recording_path
from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log

Json = dict[str, Any]


@contextmanager
def recorded(log: Log, path: Path, size: tuple[int, int] | None = None, **limits: int) -> Iterator[Recorder]:
    """A recorder that runs, and has written everything and ended when the block is left."""
    recorder = Recorder(log, path, size, **limits)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()
        recorder.join(TIMEOUT)


def rows(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def of_the_log(path: Path) -> list[Json]:
    return [row for row in rows(path) if not row["type"].startswith("recording.")]


def only_recording(home: Path) -> Path:
    (path,) = (home / ".claude-mpm" / "recordings").iterdir()
    return path


def test_every_event_is_written_as_the_protocol_sends_it(tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "recordings" / "r.jsonl"
    sent = [log.append(ev.claude_output("early", 0))]
    with recorded(log, path):
        sent += [log.append(ev.claude_output(f"öutput {n}\x1b[1m", n)) for n in range(1000)]
        sent.append(log.append(ev.system_error("no", "test")))
    lines = path.read_bytes().splitlines()
    assert lines[1:-1] == [entry.json for entry in sent]
    for row in of_the_log(path):
        check(row)
    assert (rows(path)[0]["type"], rows(path)[0]["data"]["version"]) == ("recording.start", 1)
    assert (rows(path)[-1]["type"], rows(path)[-1]["data"]) == ("recording.end", {"reason": "ended"})


def test_pictures_of_the_screen_are_left_out(tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "r.jsonl"
    with recorded(log, path):
        log.append(ev.claude_screen(80, 24, {}, [], None, frame=1, base=0))
        log.append(ev.claude_output("x", 0))
    assert [row["type"] for row in of_the_log(path)] == ["claude.output"]


def test_the_recording_is_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "recordings" / "r.jsonl"
    with recorded(Log("i"), path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_there_already_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        Recorder(Log("i"), path, None).start()
    assert path.read_text() == "mine"


def test_a_size_stands_before_the_output_it_holds_for(tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "r.jsonl"
    with recorded(log, path, size=(24, 80)) as recorder:
        log.append(ev.claude_output("narrow", 0))
        recorder.resized(24, 80)  # no change
        recorder.resized(50, 132)
        log.append(ev.claude_output("wide", 6))
        recorder.resized(10, 40)
    told = [row["data"].get("content") or row["data"].get("cols") for row in rows(path)[1:-1]]
    assert told == [80, "narrow", 132, "wide", 40]


def test_what_the_log_dropped_first_is_a_line_that_says_so(tmp_path: Path) -> None:
    log, path = Log("i", Limits(output_bytes=1000)), tmp_path / "r.jsonl"
    for number in range(100):
        log.append(ev.claude_output("x" * 100, number * 100))
    with recorded(log, path):
        pass
    gap, *kept = of_the_log(path)
    check(gap)
    assert gap["data"] == {
        "from_seq": 1,
        "to_seq": kept[0]["seq"] - 1,
        "counts": {"claude.output": kept[0]["seq"] - 1},
        "reason": "expired",
    }
    assert kept[-1]["seq"] == 100
    assert [one.type for one in recording.events(path)][:2] == ["system.gap", "claude.output"]


def test_a_full_recording_says_so_once_and_stops(tmp_path: Path) -> None:
    log, path, limit = Log("i"), tmp_path / "r.jsonl", 20_000
    with recorded(log, path, max_bytes=limit):
        for number in range(300):
            log.append(ev.claude_output("x" * 100, number * 100))
    assert limit - CLOSING_BYTES - 400 < path.stat().st_size <= limit
    assert rows(path)[-1]["data"] == {"reason": "full"}
    (error,) = log.read(0, ["system.error"], 10)
    assert error.message()["data"]["severity"] == "warning"
    assert "size limit" in error.message()["data"]["error"]


def test_a_write_that_fails_is_told_once_and_leaves_whole_lines(tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "r.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (20_000, hard)
    )  # Python ignores SIGXFSZ: write() fails, as on a full disk
    try:
        with recorded(log, path):
            for number in range(300):
                log.append(ev.claude_output("x" * 100, number * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 19_000 < path.stat().st_size <= 20_000
    assert path.read_bytes().endswith(b"}\n")
    assert len(log.read(0, ["system.error"], 10)) == 1
    log.append(ev.claude_output("the session goes on", 30_000))


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "r.jsonl"
    with recorded(log, path):
        for number in range(5):
            log.append(ev.claude_output("x", number))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert len(list(recording.events(path))) == max(whole[:end].count(b"\n") - 1, 0) - (end == len(whole))


def test_recordings_sort_by_the_time_they_began(tmp_path: Path) -> None:
    assert recording_path(tmp_path, 1_795_000_000.7, "abc") == tmp_path / "20261118T110640Z-abc.jsonl"


# --- the program -----------------------------------------------------------------------------------


def test_the_recording_of_a_demo_is_what_a_client_saw(home: Path) -> None:
    env = environment(home, CLAUDE_MPM_DEMO_SPEED="40")
    with Terminal([*PROGRAM, "--demo", "--record", "--websocket-port", "0"], env=env, cwd=home) as terminal:
        with Watcher(wait_until(lambda: port_in(terminal.output), "the port") or 0) as seen:
            seen.wait_ended()
        assert terminal.wait(60) == 0
        path = only_recording(home)
        assert str(path).encode() in terminal.output.replace(b"\r\n", b"").replace(b"\n", b"")
    wait_until(lambda: rows(path)[-1]["type"] == "recording.end", "the end of the recording")
    ours = {frame["seq"]: frame for frame in of_the_log(path) if frame["type"] != "system.status"}
    theirs = {frame["seq"]: frame for frame in seen.frames() if "seq" in frame and frame["type"] != "system.status"}
    assert ours == theirs


def test_a_monitor_that_is_killed_costs_no_more_than_the_line_it_was_writing(home: Path) -> None:
    env = environment(home, CLAUDE_MPM_DEMO_SPEED="40")
    with Terminal([*PROGRAM, "--demo", "--record", "--websocket-port", "0"], env=env, cwd=home) as terminal:
        port = wait_until(lambda: port_in(terminal.output), "the port") or 0
        with Watcher(port) as seen:
            wanted = random.randint(20, 120)
            seen.wait_for(lambda: len(seen.types()) > wanted)
            seen_before = {frame["seq"] for frame in seen.frames() if "seq" in frame}
            writer_of(only_recording(home)).kill()
            terminal.wait(60)
    numbers = [row["seq"] for row in recording.lines(only_recording(home)) if "seq" in row]
    assert numbers == list(range(1, len(numbers) + 1)), "no hole"
    assert len(numbers) >= max(seen_before) - 50, "the recorder is as close behind the log as a client"
    done = run("export", only_recording(home), "-o", "-", "--format", "jsonl", home=home, cwd=home)
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == numbers


def test_a_torn_recording_is_replayed_up_to_its_torn_line(home: Path, tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "torn.jsonl"
    with recorded(log, path, size=(24, 80)):
        for number in range(50):
            log.append(ev.claude_output(f"{number}\r\n", number))
    path.write_bytes(path.read_bytes().partition(b"49\\r")[0])
    with Terminal([*PROGRAM, "replay", path, "--websocket-port", "0"], env=environment(home), cwd=home) as terminal:
        with Watcher(wait_until(lambda: port_in(terminal.output), "the port") or 0) as seen:
            seen.wait_for(lambda: len(seen.all("claude.output")) >= 49)
            terminal.signal(signal.SIGINT)
            seen.wait_ended()
        terminal.wait()
    assert [data["content"] for data in seen.all("claude.output")] == [f"{number}\r\n" for number in range(49)]


def test_a_claude_that_claude_mpm_becomes_is_recorded_without_its_output(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "read go; echo unseen")
    args = ("--record", "--websocket", "--websocket-port", "0", "--claude", claude)
    with Terminal([*PROGRAM, *args], env=environment(home), cwd=tmp_path) as terminal:
        with Watcher(wait_until(lambda: port_in(terminal.output), "the port") or 0) as seen:
            seen.wait_event("claude.status", status="running")
            terminal.write(b"go\r")
            seen.wait_ended()
        assert terminal.wait() == 0
    path = only_recording(home)
    wait_until(lambda: rows(path)[-1]["type"] == "recording.end", "the end of the recording")
    kinds = [row["type"] for row in rows(path)]
    assert kinds[:2] == ["recording.start", "session.start"]
    assert kinds[-2:] == ["session.end", "recording.end"]
    assert "claude.output" not in kinds


def test_a_full_disk_is_one_warning_and_the_session_goes_on(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "read go; i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.003; done; read end")
    limited = ["sh", "-c", 'ulimit -f 40; exec "$@"', "sh", *PROGRAM]  # 512-byte blocks in a POSIX shell: 20 KiB
    args = ("--record", "--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", claude)
    with Terminal([*limited, *args], env=environment(home), cwd=tmp_path) as terminal:
        with Watcher(wait_until(lambda: port_in(terminal.output), "the port") or 0) as seen:
            terminal.write(b"go\r")
            seen.wait_event("system.error", component="recorder")
            seen.wait_for(lambda: "400" in seen.text("claude.output", "content"))
            terminal.write(b"end\r")
            seen.wait_ended()
        assert terminal.wait() == 0
    (warning,) = seen.all("system.error")
    assert "File too large" in warning["error"]
    assert only_recording(home).read_bytes().endswith(b"}\n")
    assert len(list(recording.events(only_recording(home)))) > 10


def test_record_without_websocket_is_a_usage_error(home: Path) -> None:
    done = run("--record", home=home, cwd=home)
    assert (done.returncode, b"--record needs --websocket" in done.stderr) == (2, True)


def writer_of(path: Path) -> psutil.Process:
    """The process that has the file open. A monitor is nobody's child: it outlives the program that started it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(path) in {file.path for file in process.open_files()}:
                return process
    raise AssertionError(f"nobody writes {path}")
