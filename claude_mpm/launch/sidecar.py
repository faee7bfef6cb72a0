"""exec mode: this process becomes Claude; a second one stays beside it and watches."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Collection
from typing import NoReturn

from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.command import Command
from claude_mpm.launch.job import open_max

log = logging.getLogger(__name__)


def fork_sidecar(run: Callable[[int], None], keep: Collection[int]) -> int:
    """Fork a sidecar that calls `run(report_fd)` and ends with it. Returns the report's other end here.

    The sidecar has a session of its own, no terminal and none of our descriptors but `keep`; it is no child of ours,
    so Claude never has to collect it. `report_fd` gives EOF when Claude has been started, else the reason why not.
    Must be called while no other thread runs.

    Raises:
        LaunchFailed: the system has no process or descriptor left.
    """
    try:
        report, to_sidecar = os.pipe()
        middle = os.fork()
    except OSError as error:  # no process left, or no descriptor: no claude could start either
        raise LaunchFailed(f"the sidecar cannot be started: {error.strerror or error}") from None
    if middle == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _detach({*keep, report})
                run(report)
        except BaseException:
            log.exception("the sidecar failed")
        finally:
            os._exit(0)
    os.waitpid(middle, 0)
    os.close(report)
    return to_sidecar


def become(command: Command, report_fd: int | None = None) -> NoReturn:
    """Become Claude. Returns only by exception.

    Raises:
        LaunchFailed: the system refused; the sidecar was told.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; Claude should not inherit that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(command.executable, command.argv, dict(command.env))
    except OSError as error:
        reason = error.strerror or str(error)
        if report_fd is not None:
            os.write(report_fd, reason.encode())
            os.close(report_fd)
        raise LaunchFailed(f"{command.executable} cannot be started: {reason}") from None


def read_report(report_fd: int) -> str | None:
    """In the sidecar: blocks until Claude has been started (None) or could not be (the reason)."""
    reason = b""
    while data := os.read(report_fd, 4096):
        reason += data
    os.close(report_fd)
    return reason.decode("utf-8", "replace") or None


def _detach(keep: set[int]) -> None:
    """No terminal, no directory held, nobody's pipes kept open."""
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    last = 2
    for fd in sorted(keep):
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, open_max())
