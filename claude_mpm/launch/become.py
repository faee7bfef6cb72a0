"""exec mode: this process becomes Claude."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from claude_mpm.errors import LaunchFailed
from claude_mpm.launch.channel.channel import Channel
from claude_mpm.launch.command.command_line import Command


def become(command: Command, channel: Channel | None = None) -> NoReturn:
    """Become Claude. Returns only by exception.

    The monitor learns of it without a word: exec closes our end of the channel.

    Raises:
        LaunchFailed: the system refused; the monitor was told.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; Claude should not inherit that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(command.executable, command.argv, dict(command.env))
    except OSError as error:
        reason = error.strerror or str(error)
        if channel is not None:
            channel.tell("failed", reason=reason)
            channel.release()
            channel.close()
        raise LaunchFailed(f"{command.executable} cannot be started: {reason}") from None
