"""Processes: which is which, what is below one, and where one works.

psutil is loaded on first need: not before Claude is started.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

Identity = tuple[int, float]  # a pid and when that process started: no later process has both


def process_identity(pid: int) -> Identity | None:
    """`pid` and when it started; None: there is no such process, or only its zombie.

    The start is only good for comparing on this machine. On Linux it is in clock ticks since boot, because seconds
    since the epoch would change for all processes when the clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in b"ZXx" else (pid, float(fields[19]))
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return None
    except (OSError, IndexError, ValueError):
        return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else (pid, process.create_time())
    except (psutil.Error, ValueError):
        return None


def pid_namespace() -> str:
    """Return what a pid, and a start time, must be compared within: this boot of the kernel and this pid namespace.

    A record of a process says where it was made: containers share a home directory, and pids are used again after a
    reboot. Empty on systems without /proc.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def descendants(pid: int) -> list[Identity]:
    """The processes below `pid`, without ourselves. Empty when it is gone."""
    found = [process_identity(process.pid) for process in tree(pid)[1:]]
    return [identity for identity in found if identity is not None]


def signal_all(identities: Iterable[Identity], number: int) -> None:
    """Send signal `number` to those that still run; a pid that is another process by now is spared."""
    for identity in identities:
        with suppress(ProcessLookupError, PermissionError):
            if not hasattr(os, "pidfd_open"):
                if process_identity(identity[0]) == identity:
                    os.kill(identity[0], number)
                continue
            pidfd = os.pidfd_open(identity[0])
            try:
                if process_identity(identity[0]) == identity:
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)


def tree(pid: int) -> list[psutil.Process]:
    """`pid` and all below it, but not ourselves: after an exec we are Claude's child."""
    import psutil

    try:
        top = psutil.Process(pid)
        return [top, *(child for child in top.children(recursive=True) if child.pid != os.getpid())]
    except (psutil.Error, ValueError):
        return []


@dataclass(frozen=True)
class Surroundings:
    """Where a process works and where its user's files are. Nothing else of its environment is kept: it has secrets."""

    cwd: Path
    home: str | None
    claude_config_dir: str | None


def surroundings(pid: int) -> Surroundings:
    """Of a process of our own user.

    Raises:
        ProcessLookupError: there is none.
        PermissionError: it is somebody else's.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if hasattr(os, "getuid") and process.uids().real != os.getuid():
            raise PermissionError(f"process {pid} is another user's")
        environ = process.environ()
        return Surroundings(Path(process.cwd()), environ.get("HOME"), environ.get("CLAUDE_CONFIG_DIR"))
    except (psutil.NoSuchProcess, ValueError):
        raise ProcessLookupError(f"no process {pid}") from None
    except psutil.AccessDenied:
        raise PermissionError(f"process {pid} does not let itself be looked at") from None


def others_in_directory(pid: int) -> list[int]:
    """Other processes of the same user, name and working directory, but those above and below `pid`: a second claude
    in the same project. Empty when `pid` is gone. Looks at every process: tens of milliseconds."""
    import psutil

    try:
        process = psutil.Process(pid)
        name, cwd, user = process.name(), process.cwd(), process.uids().real
        family = {pid, *(p.pid for p in process.parents()), *(p.pid for p in process.children(recursive=True))}
    except (psutil.Error, ValueError):
        return []
    found = []
    for other in psutil.process_iter():
        with suppress(psutil.Error):
            if other.pid not in family and other.name() == name and other.uids().real == user and other.cwd() == cwd:
                found.append(other.pid)
    return found
