#!/usr/bin/env python3
"""Check that a claude-mpm is running: connect, ask for its status once, and print it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from checkout import use_checkout

EPILOG = """\
examples:
  test_websocket_quick.py                 the default port, or that of the first running instance
  test_websocket_quick.py 8766            that port
  test_websocket_quick.py --json | jq .   the complete reply to get_status

exit code: 0 it answered; 1 it did not, and stderr says why; 2 usage; 130 Ctrl-C
"""


def readable(status: dict[str, Any], where: str, seconds: float) -> str:
    """Return the data of a `system.status` as lines for people. Unknown values are left out."""
    from claude_mpm.cli.event_lines import plain

    info, todos = status.get("instance_info") or {}, (status.get("todos") or {}).get("stats") or {}
    agents, waiting = (status.get("agents") or {}).get("active_agents") or [], status.get("waiting_for") or {}
    branch = info.get("git_branch")
    claude = [status.get("claude_status"), status.get("activity"), waiting and f"for {waiting.get('kind')}"]
    claude += [f"pid {status['claude_pid']}" if status.get("claude_pid") else None, info.get("claude_version")]
    lines = {
        "works in": f"{info.get('working_dir', '')}{f' ({branch})' if branch else ''}",
        "session": status.get("session_id") or "no id yet",
        "since": status.get("session_start"),
        "claude": ", ".join(str(part) for part in claude if part),
        "todos": f"{todos['completed']} of {todos['total']} done" if todos.get("total") else None,
        "agents": ", ".join(f"{agent.get('agent')} ({agent.get('task')})" for agent in agents),
        "clients": status.get("connected_clients"),
        "events": status.get("seq"),
    }
    head = f"claude-mpm {plain(info.get('claude_mpm_version') or '')} at {where} answered in {seconds * 1000:.0f} ms"
    return "\n".join(
        [head, *(f"  {name:9} {plain(value)}" for name, value in lines.items() if value not in (None, ""))]
    )


def main(argv: Sequence[str] | None = None) -> int:
    from claude_mpm.cli.arguments import port_number
    from claude_mpm.cli.watch import running_port
    from claude_mpm.client import Client
    from claude_mpm.errors import ClaudeMpmError

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "port", nargs="?", type=port_number, help="default: 8765, or that of the first running instance"
    )
    parser.add_argument("--host", default="localhost", help="default: localhost")
    parser.add_argument(
        "--token",
        default=os.environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN"),
        help="default: $CLAUDE_MPM_WEBSOCKET_TOKEN, or what an instance of your own has written for you",
    )
    parser.add_argument("--json", action="store_true", help="print the reply as JSON")
    chosen = parser.parse_args(argv)

    started = time.monotonic()
    try:
        port = running_port() if chosen.port is None else chosen.port
        with Client(port, chosen.host, chosen.token) as client:
            status = client.get_status()
    except ClaudeMpmError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    seconds = time.monotonic() - started
    print(json.dumps(status, indent=2) if chosen.json else readable(status, f"{chosen.host}:{port}", seconds))
    return 0


if __name__ == "__main__":
    use_checkout()
    sys.exit(main())
