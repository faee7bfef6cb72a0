"""What every command that serves does first: see that the libraries are there, take the port, say where the page is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from claude_mpm.cli.terminal_lines import say
from claude_mpm.config import Config
from claude_mpm.errors import PortTaken, UsageError

if TYPE_CHECKING:
    import socket

ENDING_TIME = 2.0  # seconds a port is waited for whose session has ended, while its monitor takes leave of clients
ENDING_POLL = 0.02  # seconds between two tries


def require_libraries() -> None:
    """Raise UsageError if a library is missing that watching needs, before the first client finds out."""
    missing = [name for name in ("simple_websocket", "wsproto", "watchdog", "psutil") if find_spec(name) is None]
    if missing:
        words = " ".join(name.replace("_", "-") for name in missing)
        raise UsageError(
            f"missing: {words}; install it with `{sys.executable} -m pip install {words}`, or run bin/claude-mpm"
        )


def bind_port(config: Config) -> list[socket.socket]:
    """The listening sockets. Blocks up to ENDING_TIME where a session that has just ended still has the port.

    Raises:
        PortTaken: it says who has the port and which one is free.
        UsageError: the system refuses the port, or other machines could connect and there is no token.
    """
    from claude_mpm.server.bind import bind, next_free, require_token

    deadline = time.monotonic() + ENDING_TIME
    while True:
        try:
            sockets = bind(config.host, config.port)
            break
        except PortTaken:
            if time.monotonic() < deadline and _is_being_released(config):
                time.sleep(ENDING_POLL)
                continue
        sockets = next_free(config.host, config.port)
        _say_which(config, sockets)
        break
    if config.host is not None:
        require_token(sockets, config.token)
    return sockets


def _is_being_released(config: Config) -> bool:
    """Whether a session of ours that has ended still has the port."""
    from claude_mpm.system.instances import is_ending

    return is_ending(config.port, config.state_dir)


def _say_which(config: Config, free: Sequence[socket.socket]) -> None:
    """Say which port is used instead of the taken one. Raises PortTaken for a port the user named: that is never replaced."""
    free_port = free[0].getsockname()[1]
    if not config.port_given:
        say(f"port {config.port} is taken, so this one is on {free_port}")
        return
    from claude_mpm.system.instances import who_holds

    for listening in free:
        listening.close()
    holder = who_holds(config.port, config.state_dir)
    raise PortTaken(
        f"port {config.port} is taken{f' by {holder}' if holder else ''}; free: --websocket-port {free_port}"
    )


def announce(config: Config, sockets: Sequence[socket.socket]) -> None:
    """Say where the page is, before Claude takes the screen, and open it if the user wants that."""
    host = config.host or "localhost"
    url = f"http://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}/"
    say(f"watch this session at {url}{' (the token is asked for there)' if config.token else ''}")
    if config.open_page:
        from claude_mpm.cli.browser import open_page

        trouble = open_page(url, config.token)
        if trouble:
            say(trouble)
