from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from claude_mpm.system.state_dir import LOGS_KEPT, log_path, make_spool, prune


def test_a_spool_is_private_and_its_own(tmp_path: Path) -> None:
    one, other = make_spool(tmp_path), make_spool(tmp_path)
    assert one != other
    assert stat.S_IMODE(one.stat().st_mode) == 0o700


def test_what_dead_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    ours = make_spool(tmp_path)
    for name in (f"run-{dead.pid}-abc", "something", "run-x-y"):
        (tmp_path / "spool" / name).mkdir()
    (tmp_path / "spool" / f"run-{dead.pid}-abc" / "1.hook").write_text("{}")
    prune(tmp_path)
    assert {path.name for path in (tmp_path / "spool").iterdir()} == {ours.name, "something", "run-x-y"}


def test_the_newest_logs_are_kept(tmp_path: Path) -> None:
    for number in range(LOGS_KEPT + 5):
        path = log_path(tmp_path, number)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (number, number))
    prune(tmp_path)
    kept = {path.name for path in (tmp_path / "logs").iterdir()}
    assert kept == {f"port-{number}.log" for number in range(5, LOGS_KEPT + 5)}


def test_nothing_there_is_nothing_to_do(tmp_path: Path) -> None:
    prune(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
