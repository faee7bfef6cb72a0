"""Claude as a job on a terminal of its own: a session leader that stands where a shell would.

Why the extra process: claude 2.x suspends itself (Ctrl-Z) with `kill(0, SIGTSTP)`, which the kernel drops in an
orphaned process group, and a group is orphaned when nobody of its session waits outside it. So a small process leads
the session, as the user's shell does, and tells us what becomes of Claude. It is a fork of ours that does nothing but
wait; when it goes, the kernel hangs up Claude's terminal, so Claude never outlives us unseen.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import termios
from typing import NamedTuple, NoReturn

from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.command.command_line import Command

_WORD = struct.Struct("=i")  # on the status pipe: Claude's pid, then each status of waitpid()


class Job(NamedTuple):
    """A running claude.

    Attributes:
        leader: pid of the session leader, our child.
        pid: of Claude, the leader's child.
        status_fd: what read_status() reads.
    """

    leader: int
    pid: int
    status_fd: int

    def read_status(self) -> list[int]:
        """The waitpid() statuses of Claude since the last call. Blocks until there is one; [] when the leader has died."""
        data = os.read(self.status_fd, 64 * _WORD.size)
        return [status for (status,) in _WORD.iter_unpack(data)]


def spawn(command: Command, slave: int) -> Job:
    """Start Claude on the PTY `slave` as the foreground job of a new session.

    Must be called while no other thread runs (it forks without exec).

    Raises:
        LaunchFailed: the system refused.
    """
    status_fd, leader_write = os.pipe()
    failed_read, failed_write = os.pipe()  # closed by a successful exec
    leader = os.fork()
    if leader == 0:
        _lead(command, slave, leader_write, failed_write)
    os.close(leader_write)
    os.close(failed_write)
    with open(failed_read, "rb") as pipe:
        reason = pipe.read(4096).decode("utf-8", "replace")
    first = os.read(status_fd, _WORD.size)
    if reason or len(first) < _WORD.size:
        os.close(status_fd)
        os.waitpid(leader, 0)
        raise LaunchFailed(f"{command.executable} cannot be started: {reason or 'its terminal could not be set up'}")
    return Job(leader, _WORD.unpack(first)[0], status_fd)


def _lead(command: Command, slave: int, status_fd: int, failed_fd: int) -> NoReturn:
    """What the session leader does, from its fork to its end."""
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN, signal.SIGWINCH):
            signal.signal(number, signal.SIG_IGN)  # they are for the foreground job
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGCONT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        for fd in (0, 1, 2) if os.isatty(2) else (0, 1):  # `2>file` stays the user's
            os.dup2(slave, fd)
        inherited = {n for n in (signal.SIGHUP,) if signal.getsignal(n) is signal.SIG_IGN}
        pid = os.fork()
        if pid == 0:
            _become(command, failed_fd, inherited)
        os.close(failed_fd)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the child does it too, so it is done whichever runs first
        os.dup2(slave, 2)
        _close_others(status_fd)
        os.write(status_fd, _WORD.pack(pid))
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            os.write(status_fd, _WORD.pack(status))
            if not os.WIFSTOPPED(status):
                break
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(failed_fd, str(error).encode())
    finally:
        os._exit(0)


def _become(command: Command, failed_fd: int, ignored: set[signal.Signals]) -> NoReturn:
    """Become Claude, in the foreground in a process group of its own, with the signal handling a shell would give it."""
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - ignored:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command.executable, command.argv, dict(command.env))
    except OSError as error:
        os.write(failed_fd, (error.strerror or str(error)).encode())
    finally:
        os._exit(127)


def _close_others(keep: int) -> None:
    """Close everything but the terminal and the status pipe, so that the leader holds no port, file or pipe of ours."""
    os.closerange(3, keep)
    os.closerange(keep + 1, open_max())


def open_max() -> int:
    """An upper bound of the descriptors a process of ours may have open. A system without a limit reports -1."""
    limit = os.sysconf("SC_OPEN_MAX")
    return limit if 0 < limit < 65536 else 65536
