"""What we keep on disk besides the registry: the hooks' spools and the logs, and what is left of those that died."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

LOGS_KEPT = 20  # log files; a port picked by the system leaves one each
HOOK_SUFFIX = ".hook"  # a whole payload in the spool; anything else there is not one
_SPOOL = re.compile(r"run-(\d+)-\w+")


def make_spool(state_dir: Path) -> Path:
    """A private directory (0700) for this process's hooks. Raises OSError."""
    base = state_dir / "spool"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=base))


def log_path(state_dir: Path, port: int) -> Path:
    """One log per port: two instances never write to the same file."""
    return state_dir / "logs" / f"port-{port}.log"


def prune(state_dir: Path) -> None:
    """Remove the spools of processes that are gone, and all but the newest logs. Any thread; blocks on the disk."""
    for path in _entries(state_dir / "spool"):
        found = _SPOOL.fullmatch(path.name)
        if found is not None and not _runs(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)
    logs = sorted(_entries(state_dir / "logs"), key=_age)
    for path in logs[LOGS_KEPT:]:
        with contextlib.suppress(OSError):
            path.unlink()


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _runs(pid: int) -> bool:
    """A pid in use again keeps a spool for a while: that costs a few kilobytes, the other mistake costs events."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _age(path: Path) -> float:
    """For sorting: the newest first."""
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
