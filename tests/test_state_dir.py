"""The state directory: whose spools and which logs are removed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from claude_mpm.system.state_dir import LOGS_KEPT, log_path, make_spool, own_spool, prune


def test_a_spool_is_private_and_its_own(tmp_path: Path) -> None:
    one, other = make_spool(tmp_path), make_spool(tmp_path)
    assert one != other
    assert stat.S_IMODE(one.stat().st_mode) == 0o700


MAKE_SPOOL = (
    "import sys, pathlib; from claude_mpm.system.state_dir import make_spool; make_spool(pathlib.Path(sys.argv[1]))"
)


def spool_of_a_dead_process(state_dir: Path) -> Path:
    before = set((state_dir / "spool").glob("*"))
    subprocess.run([sys.executable, "-c", MAKE_SPOOL, str(state_dir)], check=True, cwd=ROOT)
    (spool,) = set((state_dir / "spool").glob("*")) - before
    return spool


def spools(state_dir: Path) -> set[str]:
    return {path.name for path in (state_dir / "spool").iterdir()}


def test_what_dead_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    ours = make_spool(tmp_path)
    dead = spool_of_a_dead_process(tmp_path)
    for name in ("something", "run-x-y"):
        (tmp_path / "spool" / name).mkdir()
    (dead / "1.hook").write_text("{}")
    prune(tmp_path)
    assert spools(tmp_path) == {ours.name, "something", "run-x-y"}


def test_a_spool_of_another_pid_namespace_is_kept_for_a_week(tmp_path: Path) -> None:
    """A container that shares the home directory: its pid is free here, while its Claude runs there."""
    theirs = spool_of_a_dead_process(tmp_path)
    owner = json.loads((theirs / "owner.json").read_text())
    (theirs / "owner.json").write_text(json.dumps(owner | {"pid_namespace": "the same boot pid:[1]"}))
    prune(tmp_path)
    assert spools(tmp_path) == {theirs.name}
    os.utime(theirs, (0, 0))
    prune(tmp_path)
    assert spools(tmp_path) == set()


@pytest.mark.parametrize("owner", [None, "", "{", "[]", "{}", '{"pid_namespace": "", "process": null}'])
def test_a_spool_that_names_no_owner_is_kept_for_a_week(tmp_path: Path, owner: str | None) -> None:
    spool = make_spool(tmp_path)
    (spool / "owner.json").unlink()
    if owner is not None:
        (spool / "owner.json").write_text(owner)
    prune(tmp_path)
    assert spools(tmp_path) == {spool.name}
    os.utime(spool, (0, 0))
    prune(tmp_path)
    assert spools(tmp_path) == set()


def test_a_pid_in_use_again_does_not_keep_a_spool(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    owner = json.loads((spool / "owner.json").read_text())
    (spool / "owner.json").write_text(json.dumps(owner | {"process": [os.getpid(), 1.0]}))
    prune(tmp_path)
    assert spools(tmp_path) == set()


def test_a_spool_can_be_handed_to_another_process(tmp_path: Path) -> None:
    spool = spool_of_a_dead_process(tmp_path)
    own_spool(spool)
    prune(tmp_path)
    assert spools(tmp_path) == {spool.name}


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
