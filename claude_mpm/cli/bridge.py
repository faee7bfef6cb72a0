"""`claude-mpm bridge`: what a hub starts over ssh."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from claude_mpm.cli.options import command_parser
from claude_mpm.errors import UsageError
from claude_mpm.fleet.ssh.bridge import Bridge


def run(args: Sequence[str]) -> int:
    """Serve on stdin and stdout until either ends, and return the exit code.

    Raises:
        UsageError: nobody, or no hub, is at the other end.
    """
    command_parser(
        "bridge",
        "Pass on what your claude-mpm instances on this machine tell, as JSON lines on stdin and stdout.\n"
        "A hub on another machine starts it over ssh, as: claude-mpm hub ssh://this-machine\n"
        "It opens no port, and ends when its stdin does.",
        "exit code: 0 stdin has ended, or nobody reads stdout any more; 2 usage, or stdin is not a hub's",
    ).parse_args(args)
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty():
        raise UsageError(
            "a bridge is started by a hub over ssh; on the other machine: claude-mpm hub ssh://this-machine"
        )
    Bridge(sys.stdin.fileno(), sys.stdout.fileno()).run()
    return 0
