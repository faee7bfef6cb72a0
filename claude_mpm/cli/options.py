"""The options: what the user typed, to a Config."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from claude_mpm import __version__
from claude_mpm.config import DEFAULT_PORT, Config, Limits
from claude_mpm.errors import UsageError

DESCRIPTION = "Start Claude Code and see, from a browser or a script, what it is doing."
EPILOG = """\
commands:
  instances            what runs on this machine, a line each (--json)
  watch [PORT]         print events as they come (claude-mpm watch --help)
  attach PID           watch a claude that already runs
  monitor [PORT]       open the monitor page of what runs
  sessions [TEXT]      the sessions Claude has kept, newest first; TEXT searches them
  replay SESSION       serve one of them as if it ran, until Ctrl-C
  doctor               what can be seen of this claude, and what to do about the rest

examples:
  claude-mpm --demo --open                     see it without Claude
  claude-mpm --websocket                       claude, watched at http://localhost:8765/
  claude-mpm --websocket --launch-method subprocess -- -p "hello"
  claude-mpm --websocket --websocket-port 8766 --resume

Arguments that are not listed here go to claude unchanged, and so does all that follows `--`.
exit code: claude's own; 128+n when a signal ended it; 2 usage or port taken; 126 claude cannot be started; 127 not found.
"""


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(
        prog="claude-mpm",
        usage="claude-mpm [options] [-- CLAUDE ARGS...]\n       claude-mpm COMMAND [--help]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_launch_args(own)
    group = own.add_argument_group("watching it")
    group.add_argument("--websocket", action="store_true", help="serve the WebSocket API and the monitor page")
    add_server_args(group)
    group.add_argument(
        "--websocket-control", action="store_true", help="let clients with the token type, interrupt and stop"
    )
    own.add_argument("--version", action="version", version=f"claude-mpm {__version__}")
    return own


def _add_launch_args(own: argparse.ArgumentParser) -> None:
    group = own.add_argument_group("starting Claude")
    group.add_argument(
        "--launch-method",
        choices=("exec", "subprocess"),
        default=None,
        help="exec (default): become claude, and leave a monitor beside it; subprocess: claude is a child, its output is served too",
    )
    group.add_argument("--claude", metavar="PATH", default=None, help="the claude to start (or CLAUDE_MPM_CLAUDE)")
    group.add_argument(
        "--no-hooks", action="store_true", help="add no hooks: permission dialogs are then not seen by 1.x"
    )
    group.add_argument(
        "--demo", action="store_true", help="a two-minute session of a stand-in for claude, in a temporary directory"
    )


def add_server_args(group: argparse._ActionsContainer) -> None:
    """The options of whatever serves; server_config() reads them."""
    group.add_argument(
        "--websocket-port",
        type=port_number,
        metavar="N",
        help=f"the port (default {DEFAULT_PORT}, or the next free one; 0: any free one)",
    )
    group.add_argument(
        "--websocket-host", metavar="HOST", help="the address to serve on (default: loopback, IPv4 and IPv6)"
    )
    group.add_argument(
        "--websocket-token", metavar="TOKEN", help="ask every client for it (or CLAUDE_MPM_WEBSOCKET_TOKEN)"
    )
    group.add_argument(
        "--websocket-allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web page that may connect; repeatable",
    )
    group.add_argument(
        "--websocket-allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a host name clients may use; repeatable",
    )
    group.add_argument(
        "--websocket-max-clients",
        type=_count,
        metavar="N",
        help=f"how many clients may be connected at once (default {Limits().clients})",
    )
    group.add_argument("--open", action="store_true", help="open the monitor page in the browser")


def command_parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of `claude-mpm NAME`."""
    return argparse.ArgumentParser(
        prog=f"claude-mpm {name}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def port_number(text: str) -> int:
    """An argparse type."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number; ports go from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 5 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of clients from 1 to 99999")
    return int(text)


def config_from(args: Sequence[str], environ: Mapping[str, str]) -> tuple[Config, bool]:
    """What the user chose, and whether the demo was asked for.

    Raises:
        UsageError: the options do not fit together.
        SystemExit: as argparse does.
    """
    items = list(args)
    at = items.index("--") if "--" in items else len(items)
    chosen, unknown = parser().parse_known_args(items[:at])
    config = server_config(chosen, environ)._replace(
        claude=chosen.claude or environ.get("CLAUDE_MPM_CLAUDE") or "claude",
        claude_args=(*unknown, *items[at + 1 :]),
        launch_method="subprocess" if chosen.demo else chosen.launch_method or "exec",
        websocket=chosen.websocket or chosen.demo,
        control=chosen.websocket_control,
        hooks=not chosen.no_hooks,
    )
    if config.control and not config.token:
        raise UsageError("--websocket-control needs --websocket-token: only clients that know it may type into Claude")
    return config, chosen.demo


def server_config(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The part of the configuration that add_server_args() asks for. UsageError."""
    token = chosen.websocket_token or environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN") or None
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(
            "the token must be 16 or more printable characters without spaces; for one: openssl rand -hex 16"
        )
    return Config(
        port=DEFAULT_PORT if chosen.websocket_port is None else chosen.websocket_port,
        port_given=chosen.websocket_port is not None,
        host=None if chosen.websocket_host in (None, "localhost") else chosen.websocket_host,
        token=token,
        allow_origins=tuple(chosen.websocket_allow_origin),
        allow_hosts=tuple(chosen.websocket_allow_host),
        open_page=chosen.open,
        limits=Limits() if chosen.websocket_max_clients is None else Limits(clients=chosen.websocket_max_clients),
    )
