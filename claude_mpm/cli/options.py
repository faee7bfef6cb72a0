"""The options: from what the user typed to a Config."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from claude_mpm import __version__
from claude_mpm.cli.arguments import port_number
from claude_mpm.cli.terminal_lines import printable
from claude_mpm.config import DEFAULT_PORT, Config, Limits
from claude_mpm.errors import UsageError

DESCRIPTION = "Start Claude Code and watch, from a browser or a script, what it is doing."
EPILOG = """\
commands:
  status               say in one line how many sessions need you, for a status bar (--json)
  instances            list what is running on this machine (--json)
  watch [PORT]         print events as they come
  answer [PORT]        list what Claude asks, or answer it (needs --websocket-control)
  attach PID           watch a claude that is already running
  monitor [PORT]       open the monitor page of a running instance
  sessions [TEXT]      list the sessions Claude has kept, newest first; TEXT searches them
  replay SESSION       serve one of them as if it were running, until Ctrl-C
  doctor               say what can be seen of the installed claude, and how to see more
  export SESSION       write a session to one file: a page, a text, JSON Lines or an asciicast
  hub [SOURCE...]      show the sessions of this machine and of others on one page
  bridge               pass on what runs here; a hub starts it over ssh
  help [COMMAND]       show this text, or that of a command

examples:
  claude-mpm --demo --open                     see it without Claude
  claude-mpm --websocket                       run claude, watched at http://localhost:8765/
  claude-mpm --websocket --launch-method subprocess -- -p "hello"
  claude-mpm --websocket --websocket-port 8766 --name review --resume

Arguments that are not listed here go to claude unchanged, and so does everything after `--`.
Claude has a --name of its own since 2.1.76; such a claude gets the given name, too.

exit code: claude's own; 128+n when signal n ended it; 2 usage, or the port is taken; 126 claude cannot be started;
127 claude was not found; 1 anything else went wrong
"""
NAME_LENGTH = 60  # characters; longer names fit neither a card of the page nor the title of a tab


def parser() -> argparse.ArgumentParser:
    """The parser of claude-mpm without a command."""
    own = argparse.ArgumentParser(
        prog="claude-mpm",
        usage="claude-mpm [options] [CLAUDE ARGS...] [-- CLAUDE ARGS...]\n       claude-mpm COMMAND [--help]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_launch_args(own)
    group = own.add_argument_group("watching it")
    group.add_argument("--websocket", action="store_true", help="serve the WebSocket API and the monitor page")
    add_server_args(group)
    add_notify_arg(group)
    group.add_argument(
        "--websocket-control",
        action="store_true",
        help="let clients with the token answer Claude, type, interrupt and stop",
    )
    group.add_argument(
        "--record",
        action="store_true",
        help="keep every event of this session, its output too, in ~/.claude-mpm/recordings/ (needs --websocket or --demo)",
    )
    add_publish_arg(group)
    own.add_argument("--version", action="version", version=f"claude-mpm {__version__}")
    return own


def _add_launch_args(own: argparse.ArgumentParser) -> None:
    group = own.add_argument_group("starting Claude")
    group.add_argument(
        "--launch-method",
        choices=("exec", "subprocess"),
        default=None,
        help="exec (default): become claude, with a monitor beside it; subprocess: run claude as a child and serve its output too",
    )
    group.add_argument(
        "--claude", metavar="PATH", default=None, help="the claude to start (default: $CLAUDE_MPM_CLAUDE, or claude)"
    )
    group.add_argument(
        "--no-hooks",
        action="store_true",
        help="add no hooks to Claude's settings; permission dialogs of 1.x then go unseen",
    )
    group.add_argument(
        "--demo",
        action="store_true",
        help="play a two-minute session of a stand-in for claude, in a temporary directory",
    )


def add_server_args(group: argparse._ActionsContainer) -> None:
    """Add the options of every command that serves; server_config() reads them."""
    group.add_argument(
        "--name",
        type=_name,
        metavar="NAME",
        help="what the page, `instances` and `watch` call this session (default: $CLAUDE_MPM_NAME)",
    )
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
        "--websocket-token",
        metavar="TOKEN",
        help="a secret that every client must present (default: $CLAUDE_MPM_WEBSOCKET_TOKEN)",
    )
    group.add_argument(
        "--websocket-allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a further web page that may connect; repeatable",
    )
    group.add_argument(
        "--websocket-allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a further host name that clients may use; repeatable",
    )
    group.add_argument(
        "--websocket-max-clients",
        type=_count,
        metavar="N",
        help=f"how many clients may be connected at once (default {Limits().clients})",
    )
    group.add_argument("--open", action="store_true", help="open the monitor page in the browser")


def add_notify_arg(group: argparse._ActionsContainer) -> None:
    """Add the option that notify_url() reads."""
    group.add_argument(
        "--notify-url",
        metavar="URL",
        help="gets a POST when a session starts to need you, or ends (default: $CLAUDE_MPM_NOTIFY_URL)",
    )


def add_publish_arg(group: argparse._ActionsContainer) -> None:
    """Add the option of commands that serve a session; publish_url() reads it."""
    group.add_argument(
        "--publish",
        metavar="URL",
        help="send the session's events to a Redis, from which `claude-mpm hub URL` reads them: redis://host, or rediss:// "
        "for TLS (default: $CLAUDE_MPM_PUBLISH; a password is best given there, or as $CLAUDE_MPM_REDIS_PASSWORD)",
    )


def publish_url(chosen: argparse.Namespace, environ: Mapping[str, str]) -> str | None:
    """The Redis that add_publish_arg() asks for.

    Raises:
        UsageError: the URL cannot be used, or redis-py is not installed.
    """
    text: str | None = chosen.publish or environ.get("CLAUDE_MPM_PUBLISH") or None
    if text is not None:
        from claude_mpm.monitor.redis_url import redis_url  # loaded by those who publish

        redis_url(text, environ)
    return text


def command_parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of `claude-mpm NAME`. The epilog is printed as it is; it lists the exit codes."""
    return argparse.ArgumentParser(
        prog=f"claude-mpm {name}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 5 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of clients: give one from 1 to 99999")
    return int(text)


def _name(text: str) -> str:
    """A name that is safe to show on a terminal, where control characters and bidirectional ones are not."""
    if not (text.strip() and text.isprintable() and len(text) <= NAME_LENGTH):
        raise argparse.ArgumentTypeError(f"a name has 1 to {NAME_LENGTH} printable characters")
    return text.strip()


def config_from(args: Sequence[str], environ: Mapping[str, str]) -> tuple[Config, bool]:
    """What the user chose, and whether the demo was asked for.

    Raises:
        UsageError: the options do not fit together.
        SystemExit: argparse has printed help, the version or a complaint.
    """
    items = list(args)
    at = items.index("--") if "--" in items else len(items)
    chosen, unknown = parser().parse_known_args(items[:at])
    if chosen.demo and unknown:
        raise UsageError(f"--demo plays a fixed story and does not take `{printable(unknown[0])}`")
    config = server_config(chosen, environ)._replace(
        claude=chosen.claude or environ.get("CLAUDE_MPM_CLAUDE") or "claude",
        claude_args=(*unknown, *items[at + 1 :]),
        claude_name=chosen.name,
        launch_method="subprocess" if chosen.demo else chosen.launch_method or "exec",
        websocket=chosen.websocket or chosen.demo,
        record=chosen.record,
        control=chosen.websocket_control,
        notify_url=notify_url(chosen, environ),
        hooks=not chosen.no_hooks,
    )
    for option, given in (
        ("--publish", chosen.publish),
        ("--record", chosen.record),
        ("--notify-url", chosen.notify_url),
    ):
        if given and not config.websocket:
            raise UsageError(f"{option} needs --websocket: without it, claude-mpm does not watch the session")
    if config.websocket:
        config = config._replace(publish=publish_url(chosen, environ))
    if config.control and not config.token:
        raise UsageError("--websocket-control needs --websocket-token: only clients that know it may type into Claude")
    return config, chosen.demo


def server_config(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The part of the configuration that add_server_args() asks for.

    Raises:
        UsageError: the token, or a name from the environment, cannot be used.
    """
    token = chosen.websocket_token or environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN") or None
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(
            "the token must have 16 or more printable ASCII characters and no spaces; "
            "`openssl rand -hex 16` prints a good one"
        )
    return Config(
        name=chosen.name or _name_from(environ),
        port=DEFAULT_PORT if chosen.websocket_port is None else chosen.websocket_port,
        port_given=chosen.websocket_port is not None,
        host=None if chosen.websocket_host in (None, "localhost") else chosen.websocket_host,
        token=token,
        allow_origins=tuple(chosen.websocket_allow_origin),
        allow_hosts=tuple(chosen.websocket_allow_host),
        open_page=chosen.open,
        limits=Limits() if chosen.websocket_max_clients is None else Limits(clients=chosen.websocket_max_clients),
    )


def notify_url(chosen: argparse.Namespace, environ: Mapping[str, str]) -> str | None:
    """What add_notify_arg() asks for; None for no notifications.

    Raises:
        UsageError: it is not a URL that could be used. The text does not repeat it, since it may hold a secret.
    """
    url = chosen.notify_url or environ.get("CLAUDE_MPM_NOTIFY_URL") or None
    if url is not None:
        from claude_mpm.system.post_target import Target

        try:
            Target(url)
        except UsageError as error:
            raise UsageError(f"{'--notify-url' if chosen.notify_url else 'CLAUDE_MPM_NOTIFY_URL'}: {error}") from None
    return url


def _name_from(environ: Mapping[str, str]) -> str | None:
    """CLAUDE_MPM_NAME; an empty one counts as unset."""
    if not (text := environ.get("CLAUDE_MPM_NAME")):
        return None
    try:
        return _name(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"CLAUDE_MPM_NAME: {error}") from None
