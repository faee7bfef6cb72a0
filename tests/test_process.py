"""Processes: real trees, measured, signalled and seen to end."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import TIMEOUT, wait_until

from claude_mpm.system import exit_watch, process_sampler
from claude_mpm.system.exit_watch import ExitWatch
from claude_mpm.system.process_sampler import ProcessSampler, Usage, cpu_percent
from claude_mpm.system.processes import (
    descendants,
    is_claude,
    looks_like_claude,
    others_in_directory,
    process_identity,
    signal_all,
    surroundings,
)

Child = subprocess.Popen[bytes]

BUSY = "while True: pass"
TREE = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


class Processes:
    """Started here, ended here."""

    def __init__(self) -> None:
        self._started: list[Child] = []

    def start(self, code: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Child:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=cwd
        )
        self._started.append(child)
        return child

    def tree(self) -> tuple[Child, int]:
        """A process that waits, and the pid of its child that waits too."""
        parent = self.start(TREE)
        assert parent.stdout is not None
        return parent, int(parent.stdout.readline())

    def end(self) -> None:
        for child in self._started:
            child.kill() if child.args[2] != TREE else None  # type: ignore[index]
            with child:  # closes its stdin, which ends a tree from below
                pass


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.end()


def ended(child: Child) -> None:
    child.kill()
    child.wait(TIMEOUT)


# --- identity ---


def test_identity_tells_a_process_from_later_ones_of_the_same_pid(processes: Processes) -> None:
    child = processes.start(BUSY)
    identity = process_identity(child.pid)
    assert identity is not None and identity[0] == child.pid
    assert identity == process_identity(child.pid)
    assert identity[1] != (process_identity(os.getpid()) or (0, identity[1]))[1]
    ended(child)
    assert process_identity(child.pid) is None


def test_a_zombie_and_impossible_pids_have_no_identity(processes: Processes) -> None:
    child = processes.start("pass")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity(child.pid) is None
    assert process_identity(-1) is None
    assert process_identity(2**31 - 1) is None


def test_descendants_are_all_below_and_signal_all_reaches_them(processes: Processes) -> None:
    parent, grandchild = processes.tree()
    below = descendants(parent.pid)
    assert [pid for pid, _ in below] == [grandchild]
    signal_all(below, signal.SIGKILL)
    wait_until(lambda: process_identity(grandchild) is None)
    assert process_identity(parent.pid) is not None


def test_we_are_not_among_our_parent_s_descendants() -> None:
    assert os.getpid() not in [pid for pid, _ in descendants(os.getppid())]


def test_descendants_of_nobody_are_none() -> None:
    assert descendants(2**31 - 1) == []


def test_a_pid_that_is_another_process_by_now_is_not_signalled(processes: Processes) -> None:
    child = processes.start(BUSY)
    signal_all([(child.pid, 1.0), (2**31 - 1, 1.0)], signal.SIGKILL)
    assert child.poll() is None and process_identity(child.pid) is not None


def test_surroundings_are_directory_and_two_variables_only(processes: Processes, tmp_path: Path) -> None:
    env = {"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c", "ANTHROPIC_API_KEY": "secret"}
    child = processes.start("print(flush=True); import sys; sys.stdin.read()", env, tmp_path)
    assert child.stdout is not None and child.stdout.readline() == b"\n"
    found = surroundings(child.pid)
    assert (found.cwd, found.home, found.claude_config_dir) == (tmp_path, "/h", "/c")
    assert "secret" not in repr(found)


def test_surroundings_of_nobody_is_a_lookup_error(processes: Processes) -> None:
    child = processes.start(BUSY)
    ended(child)
    for pid in (child.pid, 2**31 - 1, -3):
        with pytest.raises(ProcessLookupError):
            surroundings(pid)


def test_surroundings_of_another_user_s_process_are_refused(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = processes.start(BUSY)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(PermissionError):
        surroundings(child.pid)


# --- the end ---


@pytest.fixture(params=["pidfd", "polling"])
def pidfd_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With and without the system's help."""
    if request.param == "polling":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        monkeypatch.setattr(exit_watch, "EXIT_POLL", 0.01)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("no pidfd here")
    return bool(request.param == "pidfd")


def test_exit_watch_returns_when_the_process_ends(processes: Processes, pidfd_or_not: bool) -> None:
    child = processes.start(BUSY)
    with ExitWatch(child.pid) as watch:
        assert (watch.fileno() is not None) == pidfd_or_not
        seen: queue.Queue[bool] = queue.Queue()
        thread = threading.Thread(target=lambda: seen.put(watch.wait()))
        thread.start()
        assert not watch.wait(timeout=0.0)
        ended(child)
        assert seen.get(timeout=TIMEOUT) is True
        thread.join(TIMEOUT)
        assert watch.wait(timeout=0.0)
    watch.close()


def test_exit_watch_returns_for_a_byte_on_the_wake_descriptor(processes: Processes, pidfd_or_not: bool) -> None:
    child = processes.start(BUSY)
    reader, writer = os.pipe()
    try:
        with ExitWatch(child.pid) as watch:
            os.write(writer, b"!")
            assert watch.wait(reader) is False
            os.read(reader, 1)
            ended(child)
            assert watch.wait(reader) is True
    finally:
        os.close(reader)
        os.close(writer)


def test_exit_watch_of_a_process_that_is_gone_does_not_block(processes: Processes, pidfd_or_not: bool) -> None:
    child = processes.start(BUSY)
    ended(child)
    with ExitWatch(child.pid) as watch:
        assert watch.wait() is True


# --- the sampler ---


@pytest.fixture
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_sampler, "FRESH", 0.0)


def test_sample_has_the_whole_tree_and_ourselves(processes: Processes) -> None:
    parent, _ = processes.tree()
    sample = ProcessSampler(lambda: parent.pid).sample()
    assert sample["process"].keys() == {"cpu_percent", "memory_mb", "children"}
    assert sample["process"]["children"] == 1
    assert sample["process"]["memory_mb"] > 1
    assert sample["monitor"]["threads"] >= 1
    assert sample["monitor"]["memory_mb"] > 1


@pytest.mark.usefixtures("always_fresh")
def test_cpu_of_a_busy_process_is_told(processes: Processes) -> None:
    child = processes.start(BUSY)
    sampler = ProcessSampler(lambda: child.pid)
    sampler.sample()
    wait_until(lambda: sampler.sample()["process"]["cpu_percent"] > 1)
    assert sampler.sample()["monitor"]["cpu_percent"] >= 0


def test_without_a_process_and_after_its_end_there_is_only_the_monitor(
    processes: Processes, always_fresh: None
) -> None:
    child = processes.start(BUSY)
    pids: list[int | None] = [None]
    sampler = ProcessSampler(lambda: pids[-1])
    assert sampler.sample()["process"] is None
    pids.append(child.pid)
    assert sampler.sample()["process"] is not None
    ended(child)
    sample = sampler.sample()
    assert sample["process"] is None and sample["monitor"]["threads"] >= 1


def test_many_askers_share_one_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr(process_sampler, "FRESH", 3600.0)
    sampler = ProcessSampler(lambda: asked.append(None))
    assert sampler.sample() is sampler.sample()
    assert len(asked) == 1


def test_callers_at_the_same_time_share_one_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_sampler, "FRESH", 3600.0)
    asked: queue.Queue[None] = queue.Queue()
    go_on, about_to_ask = threading.Event(), threading.Semaphore(0)
    samples: queue.Queue[int] = queue.Queue()

    def pid() -> None:
        asked.put(None)
        go_on.wait(TIMEOUT)

    def ask() -> None:
        about_to_ask.release()
        samples.put(id(sampler.sample()))

    sampler = ProcessSampler(pid)
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert about_to_ask.acquire(timeout=TIMEOUT)
    asked.get(timeout=TIMEOUT)
    go_on.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert asked.empty(), "one of them measured for all"
    assert len({samples.get(timeout=TIMEOUT) for _ in threads}) == 1


def test_a_measurement_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [RuntimeError("no pid")]

    def pid() -> None:
        if answers:
            raise answers.pop()

    sampler = ProcessSampler(pid)
    with pytest.raises(RuntimeError):
        sampler.sample()
    assert sampler.sample()["process"] is None


TOP, CHILD = (10, 1.0), (11, 1.0)


@pytest.mark.parametrize(
    ("before", "percent"),
    [
        (None, 5.0),  # 5 s since it was started 100 s ago
        (Usage((10, 0.5), 9.0, 1000.0, {TOP: 1.0}, 1.0), 5.0),  # the pid was another process's
        (Usage(TOP, 90.0, 990.0, {TOP: 2.0, CHILD: 1.0}, 1.0), 20.0),  # 1 s each of 10 s
        (Usage(TOP, 90.0, 990.0, {TOP: 2.0, (12, 1.0): 50.0}, 1.0), 30.0),  # one child is new, another has ended
        (Usage(TOP, 90.0, 1000.0, {TOP: 3.0, CHILD: 2.0}, 1.0), 0.0),
    ],
)
def test_cpu_is_told_for_the_time_between_two_measurements(before: Usage | None, percent: float) -> None:
    assert cpu_percent(Usage(TOP, 100.0, 1000.0, {TOP: 3.0, CHILD: 2.0}, 1.0), before) == percent


def test_ticks_come_only_while_active() -> None:
    ticks: queue.Queue[str] = queue.Queue()
    sampler = ProcessSampler(lambda: None)
    sampler.start(lambda: ticks.put(threading.current_thread().name), 0.01)
    try:
        assert ticks.empty()
        sampler.set_active(True)
        assert [ticks.get(timeout=TIMEOUT) for _ in range(2)] == ["process-sampler"] * 2
        sampler.set_active(False)
        wait_until(lambda: _sleeps(sampler), "the sampler's sleep")
        while not ticks.empty():
            ticks.get()
        sampler.set_active(True)
        ticks.get(timeout=TIMEOUT)
    finally:
        sampler.stop()
        sampler.join(TIMEOUT)


def _sleeps(sampler: ProcessSampler) -> bool:
    """Whether its thread waits without a time limit: the waiter has no timeout only while inactive."""
    with sampler._wanted:
        return not sampler._active and len(sampler._wanted._waiters) == 1  # type: ignore[attr-defined]


def test_a_long_interval_does_not_delay_the_stop() -> None:
    sampler = ProcessSampler(lambda: None)
    sampler.stop()
    sampler.join()
    sampler = ProcessSampler(lambda: None)
    sampler.start(lambda: None, 3600.0)
    sampler.set_active(True)
    sampler.stop()
    sampler.stop()
    sampler.join(TIMEOUT)
    assert "process-sampler" not in [thread.name for thread in threading.enumerate()]


def test_a_failing_tick_ends_the_sampler_with_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("tick")

    sampler = ProcessSampler(lambda: None)
    sampler.start(fail, 0.0)
    sampler.set_active(True)
    sampler.join(TIMEOUT)
    assert "the process-sampler ended" in caplog.text


def test_psutil_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, claude_mpm.system.processes, claude_mpm.system.instances; sys.exit('psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_second_process_of_the_name_in_the_directory_is_a_companion_and_nothing_else_is(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
    claude = tmp_path / "claude-x"
    claude.symlink_to(Path("/bin/sleep").resolve())
    started = [
        subprocess.Popen([str(name), "1000"], cwd=cwd)
        for name, cwd in ((claude, here), (claude, here), (claude, there), ("/bin/sleep", here))
    ]
    try:
        one, two, elsewhere, _ = (process.pid for process in started)
        wait_until(lambda: process_names({p.pid for p in started}) == ["claude-x"] * 3 + ["sleep"], "all four to run")
        assert others_in_directory(one) == [two]
        assert others_in_directory(elsewhere) == []
        assert others_in_directory(4_194_304) == []
    finally:
        for process in started:
            process.kill()
            process.wait()


def process_names(pids: set[int]) -> list[str]:
    return sorted(Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids)


# --- is it a claude? ---

NPM = "/usr/lib/node_modules/@anthropic-ai/claude-code"


@pytest.mark.parametrize(
    ("name", "executable", "argv"),
    [
        ("claude", "/usr/bin/node", ["claude"]),  # 1.0.128 and 2.0.77, which set their title
        ("node", "/usr/bin/node", ["node", f"{NPM}/cli.js", "--resume"]),  # before they do
        ("node", "/usr/bin/node", ["node", "--no-warnings", "--enable-source-maps", f"{NPM}/cli.js"]),
        ("MainThread", "/opt/node/bin/node", ["node", "/usr/local/bin/claude"]),  # by the link on PATH
        ("bun", "/usr/bin/bun", ["bun", f"{NPM}/cli.js"]),
        ("claude", f"{NPM}-linux-x64/claude", ["claude", "-p", "hello"]),  # 2.1.330
        ("claude.exe", f"{NPM}/bin/claude.exe", ["/usr/local/bin/claude"]),
        ("2.1.330", "/home/u/.local/share/claude/versions/2.1.330", ["/home/u/.local/bin/claude"]),
        ("2.1.330", "/home/u/.local/share/claude/versions/2.1.330", []),
        ("claude", "", []),  # of another user
        ("python3", "/usr/bin/python3.11", ["python3", "-m", "claude_mpm.demo.stand_in"]),
        ("python", "/venv/bin/python", ["/venv/bin/python", "-u", "/src/claude_mpm/demo/stand_in.py"]),
        ("sh", "/bin/dash", ["/bin/sh", "/home/u/bin/claude", "--resume"]),  # a wrapper script of the user's
    ],
)
def test_what_claude_code_looks_like(name: str, executable: str, argv: list[str]) -> None:
    assert is_claude(name, executable, argv)


@pytest.mark.parametrize(
    ("name", "executable", "argv"),
    [
        ("sleep", "/bin/sleep", ["sleep", "100"]),
        ("vim", "/usr/bin/vim", ["vim", "claude"]),
        ("less", "/usr/bin/less", ["less", f"{NPM}/cli.js"]),
        ("bash", "/bin/bash", ["bash", "-c", "claude"]),  # the shell above a claude
        ("bash", "/bin/bash", ["-bash"]),
        ("node", "/usr/bin/node", ["node", "/srv/app/cli.js", "claude"]),
        ("node", "/usr/bin/node", ["node"]),
        ("python3", "/usr/bin/python3", ["python3", "/usr/bin/claude-mpm", "--websocket"]),
        ("python3", "/usr/bin/python3", ["python3", "-m", "claude_mpm"]),
        ("Claude", "/opt/Claude/Claude", ["/opt/Claude/Claude"]),  # the desktop program
        ("", "", []),
    ],
)
def test_what_claude_code_does_not_look_like(name: str, executable: str, argv: list[str]) -> None:
    assert not is_claude(name, executable, argv)


def test_a_running_process_is_judged_by_its_program_or_by_its_session_file(tmp_path: Path) -> None:
    claude = tmp_path / "claude"
    claude.symlink_to(Path("/bin/sleep").resolve())
    started = [subprocess.Popen([program, "1000"]) for program in (str(claude), "/bin/sleep")]
    try:
        ours, sleep = (process.pid for process in started)
        wait_until(lambda: process_names({ours, sleep}) == ["claude", "sleep"], "both to run")
        assert looks_like_claude(ours)
        assert not looks_like_claude(sleep) and not looks_like_claude(sleep, tmp_path)
        (tmp_path / "sessions").mkdir()
        (tmp_path / "sessions" / f"{sleep}.json").write_text("{}")
        assert looks_like_claude(sleep, tmp_path)
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert not looks_like_claude(ours) and not looks_like_claude(2**31 - 1) and not looks_like_claude(-1)
