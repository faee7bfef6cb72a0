"""The process that watches: forked before Claude starts, in a session of its own.

In a process of its own, because threads of one Python process share the interpreter: a client that asked for a long
history froze the user's terminal for a quarter of a second while both lived in one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.channel.channel import Channel, close_all, socket_pair
from claude_mpm.launch.child.job import open_max

NICENESS = 5  # where clients keep the machine busy, keys still reach Claude at once

Watch = Callable[[int, "int | None"], None]  # control descriptor, data descriptor


def fork_monitor(watch: Watch, keep: Collection[int], *, with_output: bool, wake: Callable[[], None]) -> Channel:
    """Fork a process that calls `watch` with its ends of the channel, and ends when that returns.

    It has no terminal, no directory, and none of our descriptors but the listening sockets in `keep`. It is not our
    child, so that neither we nor the Claude we may become ever has to collect it. Must be called while no other
    thread runs.

    Args:
        with_output: whether Claude's output will pass through us.
        wake: see Channel.

    Raises:
        LaunchFailed: the system has no process or descriptor left.
    """
    fds: list[int | None] = []
    try:
        fds += socket_pair()
        fds += socket_pair() if with_output else (None, None)
        control, monitors_control, data, monitors_data = fds
        assert control is not None and monitors_control is not None
        middle = os.fork()
    except OSError as error:  # Claude could not be started either
        close_all(*fds)
        raise LaunchFailed(f"the monitor cannot be started: {error.strerror or error}") from None
    if middle == 0:
        _become_monitor(watch, keep, monitors_control, monitors_data)
    close_all(monitors_control, monitors_data)
    os.waitpid(middle, 0)
    return Channel(control, data, wake)


def _become_monitor(watch: Watch, keep: Collection[int], control: int, data: int | None) -> None:
    """In the forked child; does not return."""
    try:
        os.setsid()
        if os.fork() == 0:
            _detach({*keep, control, *(() if data is None else (data,))})
            watch(control, data)
    finally:
        os._exit(0)


def _detach(keep: set[int]) -> None:
    """Hold no terminal, no directory and nobody's pipes, and let Claude and the front have the processor first."""
    os.nice(NICENESS)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    last = 2
    for fd in sorted(keep):
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, open_max())
