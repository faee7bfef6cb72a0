"""What every command that serves does first: check the libraries, bind the port, say where the page is."""

from __future__ import annotations

import os
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

ENDING_TIME = 2.0  # seconds; how long to wait for the port of a session whose monitor is still closing connections
ENDING_POLL = 0.02  # seconds between two attempts to bind


def require_libraries() -> None:
    """Check for the libraries that watching needs, before Claude takes the screen.

    Raises:
        UsageError: one is missing; the text has the command that installs it.
    """
    missing = [name for name in ("simple_websocket", "wsproto", "watchdog", "psutil") if find_spec(name) is None]
    if missing:
        words = " ".join(name.replace("_", "-") for name in missing)
        raise UsageError(
            f"missing: {words}; install it with `{sys.executable} -m pip install {words}`, or run bin/claude-mpm"
        )


def require_home() -> None:
    """Check that there is a home directory to keep the registry of instances and the logs in.

    Raises:
        UsageError: HOME is not set, and the system knows no home directory of this user (often so in containers).
    """
    if os.path.expanduser("~") == "~":
        raise UsageError("this user has no home directory; set HOME to a directory that claude-mpm may write to")


def hide_password(url: str | None) -> None:
    """Take the password of a Redis's URL out of the process list, or tell the user that it shows there.

    What is forked later inherits the hidden form; exec replaces it.
    """
    if url is None or not any(url in argument for argument in sys.argv):
        return
    from claude_mpm.monitor.redis_url import password_in
    from claude_mpm.system.argv import hide

    password = password_in(url)
    if password is not None and not hide(f":{password}@"):
        say("the password of Redis shows in the process list here; put it in CLAUDE_MPM_REDIS_PASSWORD instead")


def bind_port(config: Config, what: str = "this session") -> list[socket.socket]:
    """Bind the port the user named, or else the default port or the next free one; returns listening sockets.

    Args:
        what: what is served, for the user.

    Blocks for up to ENDING_TIME while the monitor of a session that has just ended still holds the port.

    Raises:
        PortTaken: the named port is in use; the text says by whom, and which port is free.
        UsageError: the system refuses the port, or other machines could connect and there is no token.
    """
    from claude_mpm.server.bind import bind, next_free, require_token

    deadline = time.monotonic() + ENDING_TIME
    was_released = True  # the last try comes after the last look, or a port that became free in between is missed
    while True:
        try:
            sockets = bind(config.host, config.port)
            break
        except PortTaken:
            if time.monotonic() < deadline and was_released:
                was_released = _is_being_released(config)
                time.sleep(ENDING_POLL)
                continue
        sockets = next_free(config.host, config.port)
        _say_which(config, sockets, what)
        break
    if config.host is not None:
        require_token(sockets, config.token)
    return sockets


def _is_being_released(config: Config) -> bool:
    """Whether a monitor of ours holds the port whose session is over."""
    from claude_mpm.system.instances import is_ending

    return is_ending(config.port, config.state_dir)


def _say_which(config: Config, free: Sequence[socket.socket], what: str) -> None:
    """Tell the user that the default port is in use, and which port is used instead.

    Raises:
        PortTaken: the user named the port, and a named port is never replaced. `free` is closed.
    """
    free_port = free[0].getsockname()[1]
    if not config.port_given:
        say(f"port {config.port} is in use; {what} is on port {free_port}")
        return
    from claude_mpm.system.instances import who_holds

    for listening in free:
        listening.close()
    holder = who_holds(config.port, config.state_dir)
    raise PortTaken(
        f"port {config.port} is taken{f' by {holder}' if holder else ''}; free: --websocket-port {free_port}"
    )


def page_url(config: Config, sockets: Sequence[socket.socket]) -> str:
    """The address of the page, without the token."""
    host = config.host or "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}/"


def announce(config: Config, sockets: Sequence[socket.socket], what: str = "this session") -> None:
    """Say where the page is, before Claude takes the screen, and open it when the user asked for that."""
    url = page_url(config, sockets)
    say(f"watch {what} at {url}{' (the page asks for the token)' if config.token else ''}")
    if config.open_page:
        from claude_mpm.cli.browser import open_page

        trouble = open_page(url, config.token)
        if trouble:
            say(trouble)
