"""What the user's shell started, when Claude is its child: it copies, and does nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack

from claude_mpm.config import Limits
from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.channel.channel import Channel
from claude_mpm.launch.child.child import Child
from claude_mpm.launch.child.exit_status import ExitStatus
from claude_mpm.launch.child.pty_child import PtyChild
from claude_mpm.launch.child.terminal import Terminal
from claude_mpm.launch.command.command_line import Command
from claude_mpm.system.signals import Signals

MONITOR_DIED = "the monitor ended before Claude did; what came after that was not shown to clients"
MONITOR_STOPPED = "the monitor does not answer; clients may not have been told that Claude has ended"


def on_terminal(command: Command) -> bool:
    """Whether Claude gets a terminal of its own: it would have had ours."""
    return not command.print_mode and os.isatty(0) and os.isatty(1)


def run_child(
    command: Command, limits: Limits, channel: Channel, signals: Signals, say: Callable[[str], None]
) -> ExitStatus:
    """Run Claude as a child, on a PTY when it would have had a terminal, until it ends. Main thread only.

    Args:
        channel: to the monitor; closed at the end.
        signals: not entered yet.
        say: shows the user one sentence; never called while Claude has the terminal.

    Raises:
        LaunchFailed: Claude cannot be started; the monitor was told.
    """
    with ExitStack() as undo:
        undo.callback(channel.close)
        undo.enter_context(signals)
        terminal = Terminal()
        undo.callback(terminal.restore)
        child = _child(command, limits, channel, signals, terminal)
        channel.read()
        _show_notices(channel, say)
        try:
            child.spawn()
        except LaunchFailed as error:
            channel.tell("failed", reason=str(error))
            channel.release()
            raise
        channel.tell("started", pid=child.pid, time=time.time())
        status = child.run()
        stdout, stderr = channel.output.counts()
        channel.tell("exited", **status._asdict(), time=time.time(), stdout=stdout, stderr=stderr)
        is_released = channel.release()
        child.close()
        terminal.restore()
        _show_notices(channel, say)
        if not is_released and channel.fileno() is None:
            say(MONITOR_DIED)
        elif not is_released and channel.is_ready:  # one that is not ready yet has just begun
            say(MONITOR_STOPPED)
        return status


def _child(command: Command, limits: Limits, channel: Channel, signals: Signals, terminal: Terminal) -> Child:
    if on_terminal(command):
        return PtyChild(command, signals, limits, channel, terminal)
    from claude_mpm.launch.child.pipe_child import PipeChild  # loads subprocess, which a terminal does not need

    return PipeChild(command, signals, limits, channel)


def _show_notices(channel: Channel, say: Callable[[str], None]) -> None:
    for sentence in channel.notices:
        say(sentence)
    channel.notices.clear()
