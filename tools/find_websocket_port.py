#!/usr/bin/env python3
"""Tell whether a port is free for claude-mpm and, if not, who holds it and which one is free."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from checkout import use_checkout

EPILOG = """\
A port counts as free if nobody listens on it on either 127.0.0.1 or ::1: a client of `localhost` may try both.

examples:
  find_websocket_port.py                  the default port
  find_websocket_port.py 9000             that port
  claude-mpm --websocket --websocket-port "$(find_websocket_port.py --json | jq .free_port)"

exit code: 0 the port is free; 1 it is in use; 2 usage, or no port nearby is free
"""


def look(port: int) -> dict[str, Any]:
    """Try to bind `port` on loopback, and release it again.

    Returns:
        `port`; `free`; `holder`: who listens there, None if nobody or unknown; `free_port`: `port`, or the next free one.

    Raises:
        ClaudeMpmError: no port nearby is free.
    """
    from claude_mpm.config import Config
    from claude_mpm.errors import PortTaken
    from claude_mpm.server.bind import bind, next_free
    from claude_mpm.system.instances import who_holds

    holder, is_free = None, True
    try:
        sockets = bind(None, port)
    except PortTaken:
        holder, is_free = who_holds(port, Config().state_dir), False
        sockets = next_free(None, port)
    free_port = int(sockets[0].getsockname()[1])
    for sock in sockets:
        sock.close()
    return {"port": port, "free": is_free, "holder": holder, "free_port": free_port}


def main(argv: Sequence[str] | None = None) -> int:
    from claude_mpm.cli.arguments import listening_port
    from claude_mpm.cli.event_lines import plain
    from claude_mpm.errors import ClaudeMpmError

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("port", nargs="?", type=listening_port, default=8765, help="default: 8765")
    parser.add_argument("--json", action="store_true", help="print port, free, holder and free_port as a JSON object")
    chosen = parser.parse_args(argv)

    try:
        result = look(chosen.port)
    except ClaudeMpmError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    if chosen.json:
        holder = result["holder"]
        print(json.dumps(result | {"holder": holder and holder._asdict()}))
    elif result["free"]:
        print(f"port {result['port']} is free")
    else:
        by = f" by {plain(str(result['holder']))}" if result["holder"] else ""
        print(f"port {result['port']} is in use{by}; port {result['free_port']} is free")
    return 0 if result["free"] else 1


if __name__ == "__main__":
    use_checkout()
    sys.exit(main())
