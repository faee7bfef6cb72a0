"""What tells one instance from another: `instance_info` of the protocol."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from pathlib import Path
from typing import Any

from claude_mpm import __version__
from claude_mpm.config import Config
from claude_mpm.feed import event as ev


def instance_info(
    config: Config,
    port: int,
    instance_id: str,
    cwd: Path,
    start_time: float,
    has_output: bool,
    claude_version: str | None,
) -> dict[str, Any]:
    """`instance_info` of the protocol: what tells one instance from another."""
    capabilities = ["agents", "todos", "messages", "status"]
    capabilities += ["output"] if has_output else []
    capabilities += ["hooks"] if config.hooks else []
    capabilities += ["control"] if config.control else []
    return {
        "port": port,
        "host": config.host or "localhost",
        "working_dir": str(cwd),
        "instance_id": instance_id,
        "pid": os.getpid(),
        "hostname": socket.gethostname(),
        "user": _user(),
        "git_branch": git_branch(cwd),
        "started_at": ev.rfc3339(start_time),
        "claude_mpm_version": __version__,
        "claude_version": claude_version,
        "capabilities": capabilities,
    }


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
