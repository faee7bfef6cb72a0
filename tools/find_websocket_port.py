#!/usr/bin/env python3
"""Is a port free for claude-mpm? If not: who has it, and which one is free."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from checkout import use_checkout

EPILOG = """\
A port is free when nobody listens on it on 127.0.0.1 nor on ::1: a client of `localhost` may try either.

examples:
  find_websocket_port.py                  the usual port
  find_websocket_port.py 9000             that port
  claude-mpm --websocket --websocket-port "$(find_websocket_port.py --json | jq .free_port)"

exit code: 0 the port is free; 1 it is in use; 2 usage, or no port nearby is free
"""


def look(port: int) -> dict[str, Any]:
    """What is so of `port`: `free`, `holder` (None: nobody, or not known), `free_port`. ClaudeMpmError: none to be had."""
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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("port", nargs="?", type=_port, default=8765, help="default: 8765")
    parser.add_argument("--json", action="store_true", help="port, free, holder and free_port as a JSON object")
    chosen = parser.parse_args(argv)

    from claude_mpm.cli.watch import plain
    from claude_mpm.errors import ClaudeMpmError

    try:
        found = look(chosen.port)
    except ClaudeMpmError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(found, default=vars))
    elif found["free"]:
        print(f"port {found['port']} is free")
    else:
        by = f" by {plain(str(found['holder']))}" if found["holder"] else ""
        print(f"port {found['port']} is in use{by}; port {found['free_port']} is free")
    return 0 if found["free"] else 1


if __name__ == "__main__":
    use_checkout()
    sys.exit(main())
