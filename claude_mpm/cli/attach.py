"""`claude-mpm attach PID`: watch a claude that is already running."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from claude_mpm.cli.options import (
    add_notify_arg,
    add_publish_arg,
    add_server_args,
    command_parser,
    notify_url,
    publish_url,
    server_config,
)
from claude_mpm.cli.startup import announce, bind_port, hide_password, require_libraries
from claude_mpm.errors import UsageError


def run(args: Sequence[str]) -> int:
    """Watch until that claude ends or Ctrl-C; returns the exit code. Main thread only; blocks.

    Raises:
        UsageError: there is no such claude of this user, or the port cannot be had.
    """
    parser = command_parser(
        "attach",
        "Watch a claude of yours that is already running: everything but its output and its screen.",
        "Ctrl-C stops watching; that claude goes on untouched.\n\n"
        "exit code: 0 that claude has ended; 2 usage, or it cannot be watched; 130 Ctrl-C",
    )
    parser.add_argument(
        "pid",
        type=_pid,
        metavar="PID",
        help="the process id of that claude; `pgrep -a claude` lists those that are running",
    )
    add_server_args(parser)
    add_notify_arg(parser)
    add_publish_arg(parser)
    chosen = parser.parse_args(args)
    config = server_config(chosen, os.environ)._replace(
        notify_url=notify_url(chosen, os.environ), publish=publish_url(chosen, os.environ)
    )
    hide_password(config.publish)
    require_libraries()
    from claude_mpm.monitor import entry
    from claude_mpm.monitor.run_info import RunInfo

    config_dir, cwd = _directories(chosen.pid)
    sockets = bind_port(config)
    announce(config, sockets)
    return 0 if entry.beside_process(config, RunInfo(config_dir, cwd), sockets, chosen.pid) else 130


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id; `pgrep -a claude` lists those of Claude")
    return int(text)


def _directories(pid: int) -> tuple[Path, Path]:
    """The configuration directory and the working directory of that claude.

    Raises:
        UsageError: there is no such process of this user, or it is not a claude.
    """
    from claude_mpm.system.processes import looks_like_claude, surroundings

    try:
        found = surroundings(pid)
    except (ProcessLookupError, PermissionError) as error:
        raise UsageError(f"{error}; name the pid of a claude of your own") from None
    home = found.cwd / (found.home or Path.home())
    config_dir = found.cwd / found.claude_config_dir if found.claude_config_dir else home / ".claude"
    if not looks_like_claude(pid, config_dir):
        raise UsageError(f"process {pid} is not a claude; `pgrep -a claude` lists those that are running")
    return config_dir, found.cwd
