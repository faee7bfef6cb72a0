"""`claude-mpm monitor [PORT]`: open the page."""

from __future__ import annotations

import os
from collections.abc import Sequence

from claude_mpm.cli.arguments import listening_port
from claude_mpm.cli.browser import open_page
from claude_mpm.cli.options import command_parser
from claude_mpm.cli.startup import bind_port, require_libraries
from claude_mpm.cli.terminal_lines import say
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import ClaudeMpmError, UsageError
from claude_mpm.system import instances


def run(args: Sequence[str]) -> int:
    """Open the page and return the exit code.

    Raises:
        UsageError: none of your instances serves the given port.
        ClaudeMpmError: there is no browser; the text has the address of the page.
    """
    parser = command_parser(
        "monitor",
        "Open the monitor page of a running hub or instance. It shows all instances at once.",
        "With nothing running, this serves the page with the earlier sessions, until Ctrl-C.\n\n"
        "exit code: 0 the page was opened, or served; 1 there is no browser here; 2 usage; 130 Ctrl-C",
    )
    parser.add_argument(
        "port",
        nargs="?",
        type=listening_port,
        metavar="PORT",
        help=f"whose page to open (default: a hub's, else {DEFAULT_PORT}, or the lowest port in use)",
    )
    chosen = parser.parse_args(args)
    running = instances.live(Config().state_dir)
    ports = [info["port"] for info in running]
    if chosen.port is not None and chosen.port not in ports:
        raise UsageError(
            f"no instance of yours serves port {chosen.port}; `claude-mpm instances` lists those that are running"
        )
    if not ports:
        return _serve_past()
    hubs = [info["port"] for info in running if info.get("kind") == "hub"]
    port = chosen.port or (hubs[0] if hubs else DEFAULT_PORT if DEFAULT_PORT in ports else min(ports))
    url = f"http://localhost:{port}/"
    trouble = open_page(url, instances.token_for(port, Config().state_dir))
    if trouble:
        raise ClaudeMpmError(trouble)
    print(f"opened {url}")
    return 0


def _serve_past() -> int:
    """Nothing is running: serve the overview and the earlier sessions. Blocks until Ctrl-C."""
    config = Config()
    require_libraries()
    from claude_mpm.archive.catalog import config_dir
    from claude_mpm.monitor import replay

    sockets = bind_port(config)
    say(f"no instances are running; serving earlier sessions at http://localhost:{sockets[0].getsockname()[1]}/")
    trouble = open_page(f"http://localhost:{sockets[0].getsockname()[1]}/", None)
    if trouble:
        say(trouble)
    replay.overview(config, config_dir(os.environ), sockets)
    return 0
