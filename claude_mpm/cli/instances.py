"""`claude-mpm instances`: what runs on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from claude_mpm.cli.options import command_parser
from claude_mpm.cli.terminal_lines import printable
from claude_mpm.config import Config
from claude_mpm.system import instances


def run(args: Sequence[str]) -> int:
    parser = command_parser(
        "instances", "List the claude-mpm instances of this user that are running.", "exit code: 0, also when there are none; 2 usage"
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the list as JSON, as get_instances gives it")
    chosen = parser.parse_args(args)
    running = instances.live(Config().state_dir)
    if chosen.json:
        print(json.dumps(running, indent=2))
    elif not running:
        print("No instances are running. Start one with: claude-mpm --websocket", file=sys.stderr)
    for info in [] if chosen.json else running:
        branch = f" ({printable(info['git_branch'])})" if info.get("git_branch") else ""
        directory = printable(info["working_dir"])
        print(f"http://localhost:{info['port']}/  pid {info['pid']}  {directory}{branch}  since {info['started_at']}")
    return 0
