"""`claude-mpm monitor [PORT]`: open the page."""

from __future__ import annotations

from collections.abc import Sequence

from claude_mpm.cli.arguments import listening_port
from claude_mpm.cli.browser import open_page
from claude_mpm.cli.options import command_parser
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import ClaudeMpmError, UsageError
from claude_mpm.system import instances


def run(args: Sequence[str]) -> int:
    """Open the page and return the exit code.

    Raises:
        UsageError: no instance is running, or none on the given port.
        ClaudeMpmError: there is no browser; the text has the address of the page.
    """
    parser = command_parser(
        "monitor",
        "Open the monitor page of a running instance. It shows all instances at once.",
        "exit code: 0 the page was opened; 1 there is no browser here; 2 usage, or nothing is running",
    )
    parser.add_argument(
        "port",
        nargs="?",
        type=listening_port,
        metavar="PORT",
        help=f"whose page to open (default: {DEFAULT_PORT}, or the lowest port in use)",
    )
    chosen = parser.parse_args(args)
    ports = [info["port"] for info in instances.live(Config().state_dir)]
    if chosen.port is not None and chosen.port not in ports:
        raise UsageError(
            f"no instance of yours serves port {chosen.port}; `claude-mpm instances` lists those that are running"
        )
    if not ports:
        raise UsageError("no instances are running; start one with: claude-mpm --websocket")
    port = chosen.port or (DEFAULT_PORT if DEFAULT_PORT in ports else min(ports))
    url = f"http://localhost:{port}/"
    trouble = open_page(url, instances.token_for(port, Config().state_dir))
    if trouble:
        raise ClaudeMpmError(trouble)
    print(f"opened {url}")
    return 0
