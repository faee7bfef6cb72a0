"""What tells one instance from another: `instance_info` of the protocol."""

from __future__ import annotations

import contextlib
import getpass
import socket
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from claude_mpm import __version__
from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.monitor.run_info import RunInfo


def instance_info(config: Config, port: int, run: RunInfo, pid: int) -> dict[str, Any]:
    """`instance_info` of the protocol, for a new instance.

    Args:
        pid: of the process a user would call claude-mpm: what he started, or what was left to watch.
    """
    return {
        "name": config.name,
        "port": port,
        "host": config.host or "localhost",
        "working_dir": str(run.cwd),
        "instance_id": str(uuid.uuid4()),
        "pid": pid,
        "hostname": socket.gethostname(),
        "user": _user(),
        "git_branch": git_branch(run.cwd),
        "started_at": ev.rfc3339(time.time()),
        "claude_mpm_version": __version__,
        "claude_version": ".".join(map(str, run.version)) if run.version else None,
        "capabilities": _capabilities(config, run),
    }


def _capabilities(config: Config, run: RunInfo) -> list[str]:
    """What clients can expect of this instance."""
    has_screen = run.terminal_size is not None and find_spec("pyghostty") is not None
    chosen = {
        "output": run.has_output,
        "hooks": run.spool is not None,
        "control": config.control,
        "answers": config.control and run.unanswerable is None,
        "screen": has_screen,
    }
    return ["agents", "todos", "messages", "status", *(name for name, is_there in chosen.items() if is_there)]


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name
        return None


def git_branch(directory: Path) -> str | None:
    """The branch checked out in `directory` or above it, read from git's files: no process is started."""
    for parent in (directory, *directory.parents):
        marker = parent / ".git"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if marker.is_file():  # a worktree or submodule: "gitdir: PATH"
                marker = parent / marker.read_text()[:4096].partition(":")[2].strip()
            if not (marker / "HEAD").is_file():  # reading a FIFO of that name would keep Claude from starting
                continue
            head = (marker / "HEAD").read_text()[:4096].strip()
            return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else head[:12]
    return None
