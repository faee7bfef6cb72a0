"""The registry: real files, real processes, real ports."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import ROOT, TIMEOUT

from claude_mpm.errors import UsageError
from claude_mpm.system import instances
from claude_mpm.system.instances import Holder, live, register, token_for, unregister, who_holds

REGISTER = """
import sys
from pathlib import Path
from claude_mpm.system.instances import register
register(Path(sys.argv[1]), eval(sys.argv[2]), "a token")
print("registered", flush=True)
sys.stdin.read()
"""


def info(port: int = 8765, started_at: str = "2026-11-23T12:00:00.000Z") -> dict[str, Any]:
    return {
        "port": port,
        "host": "localhost",
        "working_dir": "/home/u/project",
        "instance_id": str(uuid.uuid4()),
        "pid": os.getpid(),
        "hostname": "h",
        "user": "u",
        "git_branch": None,
        "started_at": started_at,
        "claude_mpm_version": "1",
        "claude_version": None,
        "capabilities": ["agents"],
    }


@pytest.fixture
def state_dir(home: Path) -> Path:
    return home / ".claude-mpm"


def files(state_dir: Path) -> list[str]:
    return sorted(os.listdir(state_dir / "instances"))


def aged(path: Path, days: float) -> None:
    then = path.lstat().st_mtime - days * instances.DAY
    os.utime(path, (then, then), follow_symlinks=False)


def test_what_is_registered_is_live_until_it_is_unregistered(state_dir: Path) -> None:
    one, two = info(8765, "2026-11-23T12:00:01.000Z"), info(8766, "2026-11-23T12:00:00.000Z")
    for each in (one, two):
        register(state_dir, each, None)
    assert live(state_dir) == [two, one]
    unregister(state_dir, one["instance_id"])
    unregister(state_dir, one["instance_id"])
    assert live(state_dir) == [two]


def test_only_the_user_can_read_the_files(state_dir: Path) -> None:
    (state_dir / "instances").mkdir(parents=True, mode=0o755)
    one = info()
    old_mask = os.umask(0)
    try:
        register(state_dir, one, "secret")
    finally:
        os.umask(old_mask)
    modes = [
        (state_dir / "instances").stat().st_mode,
        (state_dir / "instances" / f"{one['instance_id']}.json").stat().st_mode,
    ]
    assert [stat.S_IMODE(mode) for mode in modes] == [0o700, 0o600]
    assert files(state_dir) == [f"{one['instance_id']}.json"]


def test_the_state_directory_is_made_private(state_dir: Path) -> None:
    register(state_dir, info(), None)
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700


def test_the_token_is_told_for_its_port_only_and_never_by_live(state_dir: Path) -> None:
    register(state_dir, info(8765), "secret")
    register(state_dir, info(8766), None)
    assert "secret" not in json.dumps(live(state_dir))
    assert [token_for(port, state_dir) for port in (8765, 8766, 8767)] == ["secret", None, None]
    assert token_for(8765) == "secret"  # the user's own directory is the default


def test_a_registration_can_be_renewed(state_dir: Path) -> None:
    one = info()
    register(state_dir, one, None)
    register(state_dir, one | {"claude_version": "2.1.330"}, None)
    assert [each["claude_version"] for each in live(state_dir)] == ["2.1.330"]


@pytest.mark.parametrize("change", [{"instance_id": "../x"}, {"port": None}, {"pid": "1"}, {"port": True}])
def test_what_live_could_not_read_is_not_written(state_dir: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        register(state_dir, info() | change, None)
    assert not state_dir.exists()


def test_an_instance_that_was_killed_is_removed(state_dir: Path) -> None:
    theirs = info()
    command = [sys.executable, "-c", REGISTER, str(state_dir), repr(theirs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdout.readline() == b"registered\n"
        assert live(state_dir) == [theirs]
        assert token_for(theirs["port"], state_dir) == "a token"
        process.kill()
        process.wait(TIMEOUT)
        assert token_for(theirs["port"], state_dir) is None
    assert live(state_dir) == [] and files(state_dir) == []


def edited(state_dir: Path, **change: Any) -> Path:
    """A good file of this process, with something changed."""
    one = info()
    register(state_dir, one, None)
    path = state_dir / "instances" / f"{one['instance_id']}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return path


def test_a_pid_that_is_another_process_by_now_is_not_live(state_dir: Path) -> None:
    path = edited(state_dir, process=[os.getpid(), 1.0])
    assert live(state_dir) == [] and not path.exists()


def test_files_of_another_machine_are_not_ours_to_list_and_go_after_a_week(state_dir: Path) -> None:
    path = edited(state_dir, where="another boot")
    aged(path, 6)
    assert live(state_dir) == [] and path.exists()
    aged(path, 2)
    assert live(state_dir) == [] and not path.exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"info": 3}', '{"info": {}}', "\0" * 100, "x" * 100_000, "[" * 60_000]
    + [json.dumps({"info": info(), "process": process, "where": ""}) for process in (None, [], [1], ["1", 2])],
)
def test_a_corrupt_file_is_skipped_and_removed_after_a_day(state_dir: Path, content: str) -> None:
    good = info()
    register(state_dir, good, None)
    bad = state_dir / "instances" / "bad.json"
    bad.write_text(content)
    assert live(state_dir) == [good] and bad.exists()
    aged(bad, 1.1)
    assert live(state_dir) == [good] and not bad.exists()


def test_links_fifos_and_leftovers_are_skipped_without_hanging(state_dir: Path, tmp_path: Path) -> None:
    directory = state_dir / "instances"
    directory.mkdir(parents=True)
    one = info()
    register(tmp_path, one, "secret")
    (directory / "link.json").symlink_to(tmp_path / "instances" / f"{one['instance_id']}.json")
    os.mkfifo(directory / "fifo.json")
    (directory / "directory.json").mkdir()
    (directory / ".left.tmp").write_text("half")
    assert live(state_dir) == []
    for name in os.listdir(directory):
        aged(directory / name, 2)
    assert live(state_dir) == []
    assert files(state_dir) == ["directory.json"]


def test_without_a_directory_nobody_is_live(state_dir: Path) -> None:
    assert live(state_dir) == []
    unregister(state_dir, "../../x")


def test_a_directory_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        register(tmp_path / "file", info(), None)


def test_many_may_look_and_clear_away_at_once(state_dir: Path) -> None:
    for _ in range(20):
        edited(state_dir, process=[os.getpid(), 1.0])
    good = info()
    register(state_dir, good, None)
    found: list[list[dict[str, Any]]] = []
    threads = [threading.Thread(target=lambda: found.append(live(state_dir))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert found == [[good]] * 8


# --- who has the port ---


@pytest.fixture(params=["127.0.0.1", "::1", "0.0.0.0", "::"])
def listening(request: pytest.FixtureRequest) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((request.param, 0))
        except OSError:
            pytest.skip(f"no {request.param} here")
        listener.listen()
        yield listener.getsockname()[1]


def test_the_holder_of_a_port_is_found_in_both_families(listening: int, state_dir: Path) -> None:
    holder = who_holds(listening, state_dir)
    assert holder is not None and holder.pid == os.getpid() and holder.cwd is None
    assert "pytest" in holder.command
    assert str(holder) == f"{holder.command} (pid {os.getpid()})"


def test_a_claude_mpm_is_named_with_its_directory(state_dir: Path) -> None:
    register(state_dir, info(8790), None)
    assert str(who_holds(8790)) == f"another claude-mpm, watching /home/u/project (pid {os.getpid()})"


def test_a_free_port_has_no_holder(state_dir: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it meanwhile
        assert who_holds(bound.getsockname()[1], state_dir) is None


def test_a_port_of_another_address_is_not_the_one(state_dir: Path) -> None:
    assert not instances._reached_by_loopback("192.0.2.1")
    assert not instances._reached_by_loopback("fe80::1%eth0")
    assert instances._reached_by_loopback("::ffff:127.0.0.1")


def test_where_we_may_not_look_the_holder_is_unknown(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(kind: str) -> None:
        raise psutil.AccessDenied()

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert who_holds(8765, state_dir) is None


def test_a_command_line_is_shown_short_and_without_control_characters() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, "\x1b[31m" + "x" * 300]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        shown = instances._command(process.pid)
    assert shown.isprintable() and len(shown) <= 101 and shown.endswith("…")
    assert instances._command(process.pid) == ""
    assert str(Holder(3, "")) == "a process (pid 3)"
