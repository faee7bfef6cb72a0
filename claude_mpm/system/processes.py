"""Processes: which one a pid is, what is below it, where it works, and whether it is a claude.

psutil is loaded on first use, which is after Claude was started.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psutil

Identity = tuple[int, float]  # a pid and when its process was started; no later process has both

_INTERPRETER = re.compile(r"(node|nodejs|bun|deno|sh|bash|dash|zsh|python[\d.]*)")
_NATIVE_INSTALL = re.compile(r"/claude/versions/\d+\.\d+\.\d+[^/ ]*")  # ~/.local/share/claude/versions/2.1.330
_SCRIPTS = ("@anthropic-ai/claude-code/cli.js", "claude_mpm/demo/stand_in.py")
_FLAGS = ("-u", "-I", "-E", "-s", "-S", "-B")  # options of python that take no argument
_STAND_IN = "claude_mpm.demo.stand_in"


def process_identity(pid: int) -> Identity | None:
    """Return `pid` and when its process was started; None if there is no such process, or only its zombie.

    The start time is only good for comparing, and only within one pid_namespace(). On Linux it is in clock ticks since
    boot: seconds since the epoch would change for every process when the clock is set.
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
    """Return what a pid and a start time are relative to: this boot of the kernel and this pid namespace.

    Whoever records a process on disk records this with it: containers may share a home directory, and after a reboot
    pids are used again. Empty on systems without /proc.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def descendants(pid: int) -> list[Identity]:
    """Return the processes below `pid`, without ourselves; none if it has ended."""
    identities = [process_identity(process.pid) for process in tree(pid)[1:]]
    return [identity for identity in identities if identity is not None]


def signal_all(identities: Iterable[Identity], number: int) -> None:
    """Send signal `number` to those that still run; a pid that belongs to another process by now is spared."""
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
    """Return `pid` and everything below it, but not ourselves: after an exec we are Claude's child."""
    import psutil

    try:
        top = psutil.Process(pid)
        return [top, *(child for child in top.children(recursive=True) if child.pid != os.getpid())]
    except (psutil.Error, ValueError):
        return []


class Surroundings(NamedTuple):
    """Where a process works and where its user's files are.

    Nothing else of its environment is kept, because there are secrets in it.
    """

    cwd: Path
    home: str | None
    claude_config_dir: str | None


def surroundings(pid: int) -> Surroundings:
    """Return the surroundings of a process of our own user.

    Raises:
        ProcessLookupError: there is no such process.
        PermissionError: it belongs to another user.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if hasattr(os, "getuid") and process.uids().real != os.getuid():
            raise PermissionError(f"process {pid} belongs to another user")
        environ = process.environ()
        return Surroundings(Path(process.cwd()), environ.get("HOME"), environ.get("CLAUDE_CONFIG_DIR"))
    except (psutil.NoSuchProcess, ValueError):
        raise ProcessLookupError(f"no process {pid}") from None
    except psutil.AccessDenied:
        raise PermissionError(f"process {pid} may not be inspected") from None


def others_in_directory(pid: int) -> list[int]:
    """Return the pids of a second claude in the same project, given the first.

    These are the processes of the same user, name and working directory that are neither above nor below `pid`. None
    if it has ended. Looks at every process of the machine, which takes tens of milliseconds.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        name, cwd, user = process.name(), process.cwd(), process.uids().real
        family = {pid, *(p.pid for p in process.parents()), *(p.pid for p in process.children(recursive=True))}
    except (psutil.Error, ValueError):
        return []
    others = []
    for other in psutil.process_iter():
        with suppress(psutil.Error):
            if other.pid not in family and other.name() == name and other.uids().real == user and other.cwd() == cwd:
                others.append(other.pid)
    return others


def looks_like_claude(pid: int, config_dir: Path | None = None) -> bool:
    """Return whether process `pid` is a Claude Code, as far as can be seen; False if it has ended.

    Args:
        config_dir: Claude's directory (`~/.claude`) of that process, if known. From 2.1 on its terminal interface
            keeps a file sessions/<pid>.json there, whatever its executable is called.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        name, argv = process.name(), process.cmdline()
    except (psutil.Error, ValueError):
        return False
    try:
        executable = process.exe()
    except psutil.Error:
        executable = ""
    if config_dir is not None and (config_dir / "sessions" / f"{pid}.json").is_file():
        return True
    return is_claude(name, executable, argv)


def is_claude(name: str, executable: str, argv: Sequence[str]) -> bool:
    """Return whether a process of this name, executable and command line is a Claude Code. Pure.

    Seen of Claude Code: 1.0.128 and 2.0.77 are node running cli.js, and set their title, which overwrites name and
    argv, to `claude`; from about 2.1.150 on it is a native executable `claude` or, installed by itself,
    `…/claude/versions/2.1.330`. The demo's stand-in counts as one.
    """
    if name == "claude" or _is_program(executable) or (argv and _is_program(argv[0])):
        return True
    if not any(_INTERPRETER.fullmatch(PurePath(each).name) for each in (executable, *argv[:1])):
        return False
    script = _script(argv[1:])
    return script == _STAND_IN or script.endswith(_SCRIPTS) or _is_program(script)


def _is_program(path: str) -> bool:
    return PurePath(path).name in ("claude", "claude.exe") or _NATIVE_INSTALL.search(path) is not None


def _script(arguments: Sequence[str]) -> str:
    """Return the script or module an interpreter runs; empty if it runs something else, as with `sh -c`."""
    for position, argument in enumerate(arguments):
        if argument == "-m":
            return "".join(arguments[position + 1 : position + 2])
        if not argument.startswith("-"):
            return argument
        if not argument.startswith("--") and argument not in _FLAGS:
            return ""
    return ""
