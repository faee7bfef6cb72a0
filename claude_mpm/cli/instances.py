"""`claude-mpm instances`: list what is running on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.cli.options import command_parser
from claude_mpm.cli.terminal_lines import note, printable
from claude_mpm.config import Config
from claude_mpm.system import instances


def run(args: Sequence[str]) -> int:
    """Print the list and return the exit code. An empty list is no error."""
    parser = command_parser(
        "instances",
        "List your claude-mpm instances that are running on this machine.",
        "exit code: 0, even when none is running; 2 usage",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON, as get_instances returns it")
    chosen = parser.parse_args(args)
    running = instances.live(Config().state_dir)
    if chosen.json:
        print(json.dumps(running, indent=2))
    elif not running:
        note("No instances are running. Start one with: claude-mpm --websocket")
    for info in [] if chosen.json else running:
        print(_line(info))
    return 0


def _line(info: Mapping[str, Any]) -> str:
    name = f"{printable(str(info['name']))}  " if info.get("name") else "hub  " if info.get("kind") == "hub" else ""
    branch = f" ({printable(str(info['git_branch']))})" if info.get("git_branch") else ""
    where = f"{printable(info['working_dir'])}{branch}"
    return f"http://localhost:{info['port']}/  {name}pid {info['pid']}  {where}  since {info['started_at']}"
