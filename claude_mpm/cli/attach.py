"""`claude-mpm attach PID`: watch a claude that already runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from claude_mpm.cli.options import add_server_args, command_parser, server_config
from claude_mpm.cli.startup import announce, bind_port, require_libraries
from claude_mpm.errors import UsageError


def run(args: Sequence[str]) -> int:
    parser = command_parser(
        "attach",
        "Watch a claude of your own that is already running: everything but its output and its screen.",
        "It goes on untouched when this ends. Ctrl-C stops watching.\n\n"
        "exit code: 0 when that claude ended; 2 usage, or it cannot be watched; 130 after Ctrl-C",
    )
    parser.add_argument(
        "pid", type=_pid, metavar="PID", help="which claude; `ps -C claude` or `pgrep -a claude` lists them"
    )
    add_server_args(parser)
    chosen = parser.parse_args(args)
    config = server_config(chosen, os.environ)
    require_libraries()
    from claude_mpm.monitor import entry
    from claude_mpm.monitor.run_info import RunInfo

    config_dir, cwd = _directories(chosen.pid)
    sockets = bind_port(config)
    announce(config, sockets)
    return 0 if entry.beside_process(config, RunInfo(config_dir, cwd), sockets, chosen.pid) else 130


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id; `pgrep -a claude` lists those of claude")
    return int(text)


def _directories(pid: int) -> tuple[Path, Path]:
    """Where that claude keeps its files, and where it works.

    Raises:
        UsageError: there is no such process of ours, or it is not a claude.
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
