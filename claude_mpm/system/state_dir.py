"""The state directory's hook spools and log files: where they are, and removing what ended processes left there.

The registry of running instances, in the same directory, is `instances.py`.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from claude_mpm.system.files import read_file
from claude_mpm.system.json_text import dumps, loads
from claude_mpm.system.processes import pid_namespace, process_identity

LOGS_KEPT = 20  # log files; every port picked by the system leaves one behind
HOOK_SUFFIX = ".hook"  # ends the name of a complete payload in a spool; nothing else there is a payload
WEEK = 7 * 24 * 3600.0  # seconds; how long a spool is kept when we cannot tell whether its owner still runs
OWNER_FILE = "owner.json"
MAX_OWNER = 4096  # bytes of an owner file
_SPOOL = re.compile(r"run-\d+-\w+")


def make_spool(state_dir: Path) -> Path:
    """Create a private directory (0700) for the payloads of this run's hooks, owned by the calling process.

    Raises:
        OSError: it cannot be created.
    """
    base = state_dir / "spool"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    spool = base / f"run-{os.getpid()}-{os.urandom(8).hex()}"
    spool.mkdir(mode=0o700)
    own_spool(spool)
    return spool


def own_spool(spool: Path) -> None:
    """Make the calling process the owner of `spool`; prune() keeps the spool for as long as its owner runs.

    Call this in the process that reads the spool if another one has created it.

    Raises:
        OSError: the owner file cannot be written.
    """
    owner = {"pid_namespace": pid_namespace(), "process": process_identity(os.getpid())}
    (spool / OWNER_FILE).write_bytes(dumps(owner))


def log_path(state_dir: Path, port: int) -> Path:
    """Return the log file of the instance on `port`. Two running instances never share a port, nor then a log."""
    return state_dir / "logs" / f"port-{port}.log"


def prune(state_dir: Path) -> None:
    """Remove spools whose owner has ended, and all but the newest LOGS_KEPT logs. Any thread; blocks on the disk."""
    for spool in _entries(state_dir / "spool"):
        if _SPOOL.fullmatch(spool.name) and _is_abandoned(spool):
            import shutil

            shutil.rmtree(spool, ignore_errors=True)
    for path in sorted(_entries(state_dir / "logs"), key=_mtime, reverse=True)[LOGS_KEPT:]:
        with suppress(OSError):
            path.unlink()


def _is_abandoned(spool: Path) -> bool:
    """Whether the owner is known to have ended or, where that cannot be known, the spool is a week old.

    It cannot be known for a container that shares the home directory: its pids mean nothing here, and a pid that is
    free here may belong to a running Claude there.
    """
    try:
        owner = loads(read_file(spool / OWNER_FILE, MAX_OWNER)[0])
        pid, started = owner["process"]
        if owner["pid_namespace"] == pid_namespace():
            return process_identity(pid) != (pid, started)
    except (OSError, ValueError, TypeError, KeyError):
        pass  # being created just now, or written by another version
    return time.time() - _mtime(spool) > WEEK


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _mtime(path: Path) -> float:
    """Return the modification time; one that cannot be read is "now", so that such a path is kept."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()
