"""`claude-mpm monitor [PORT]`: open the page."""

from __future__ import annotations

from collections.abc import Sequence

from claude_mpm.cli.browser import open_page
from claude_mpm.cli.options import command_parser, port_number
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import UsageError
from claude_mpm.system import instances


def run(args: Sequence[str]) -> int:
    parser = command_parser(
        "monitor",
        "Open the monitor page of a running instance; it shows all instances at once.",
        "exit code: 0 when the page was opened, 2 usage or nothing is running",
    )
    parser.add_argument(
        "port",
        nargs="?",
        type=port_number,
        metavar="PORT",
        help=f"whose page to open (default: {DEFAULT_PORT}, or the first that is running)",
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
        raise UsageError(trouble)
    print(f"opened {url}")
    return 0
