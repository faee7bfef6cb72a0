"""The command line: arguments to Config, errors to one line and an exit code. The only place that prints."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from claude_mpm import __version__
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import ClaudeMpmError, PortTaken, UsageError

if TYPE_CHECKING:
    import socket

COMMANDS = ("instances", "watch", "attach", "doctor", "monitor")

log = logging.getLogger(__name__)

DESCRIPTION = "Start Claude Code and see, from a browser or a script, what it is doing."
EPILOG = """\
commands:
  instances            what runs on this machine, a line each (--json)
  watch [PORT]         print events as they come (claude-mpm watch --help)
  attach PID           watch a claude that already runs
  monitor [PORT]       open the monitor page of what runs
  doctor               what can be seen of this claude, and what to do about the rest

examples:
  claude-mpm --demo --open                     see it without Claude
  claude-mpm --websocket                       claude, watched at http://localhost:8765/
  claude-mpm --websocket --launch-method subprocess -- -p "hello"
  claude-mpm --websocket --websocket-port 8766 --resume

Arguments that are not listed here go to claude unchanged, and so does all that follows `--`.
exit code: claude's own; 128+n when a signal ended it; 2 usage or port taken; 126 claude cannot be started; 127 not found.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code. Main thread only."""
    args = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("claude_mpm").addHandler(
        logging.NullHandler()
    )  # until there is a log file: nothing on the terminal
    try:
        if args and args[0] in COMMANDS:
            from claude_mpm.cli import commands

            code = commands.run(args[0], args[1:])
        else:
            code = _launch(args)
        sys.stdout.flush()  # here, where a failure is one line
        return code
    except ClaudeMpmError as error:
        _say(f"claude-mpm: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # our reader left (`| head`)
        _forget_stdout()
        return 141
    except Exception as error:  # a defect of ours: still one line, the rest is in the log
        log.exception("unexpected")
        _say(f"claude-mpm: internal error: {type(error).__name__}: {error}; please report it")
        _forget_stdout()
        return 1


def _forget_stdout() -> None:
    """What is still buffered goes nowhere: the interpreter would complain of it at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # nobody reads our stderr
        pass


# --- arguments -------------------------------------------------------------------------------------


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
        help="exec (default): become claude, a sidecar watches; subprocess: claude is a child, its output is served too",
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
        type=_port,
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
    group.add_argument("--open", action="store_true", help="open the monitor page in the browser")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")
    return int(text)


def config_from(args: Sequence[str], environ: Mapping[str, str]) -> tuple[Config, bool]:
    """What the user chose, and whether the demo was asked for. UsageError, or SystemExit as argparse does."""
    items = list(args)
    at = items.index("--") if "--" in items else len(items)
    chosen, unknown = parser().parse_known_args(items[:at])
    config = replace(
        server_config(chosen, environ),
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
    )


# --- starting --------------------------------------------------------------------------------------


def _launch(args: Sequence[str]) -> int:
    from claude_mpm.launch import command as claude

    try:
        config, demo = config_from(args, os.environ)
    except SystemExit as done:  # argparse has printed --help, --version or its complaint
        return int(done.code or 0)
    with _demo_world() if demo else nullcontext():
        command = (
            claude.demo(config.claude_args, os.environ)
            if demo
            else claude.build(config.claude, config.claude_args, os.environ)
        )
        if not config.websocket:
            from claude_mpm.launch.sidecar import become

            become(command)
        from claude_mpm.monitor import run  # only now: a plain launch needs nothing of it

        require_libraries()
        sockets = bind_port(config)
        announce(config, sockets)
        if demo and not (os.isatty(0) and os.isatty(1)):
            _say("claude-mpm: no terminal here, so the demo prints plain lines")
        if config.launch_method == "exec":
            run.beside_ourselves(config, command, sockets)
        return run.beside_a_child(config, command, sockets)


@contextmanager
def _demo_world() -> Iterator[None]:
    """A temporary directory with a project and a Claude configuration; nothing outside it is touched."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="claude-mpm-demo-", ignore_cleanup_errors=True) as directory:
        project = Path(directory) / "demo-project"
        project.mkdir()
        os.environ["CLAUDE_CONFIG_DIR"] = str(Path(directory) / "claude")
        os.chdir(project)
        try:
            yield
        finally:
            os.chdir(before)


def require_libraries() -> None:
    """UsageError when a library that watching needs is missing: better said now than found by the first client."""
    missing = [name for name in ("simple_websocket", "wsproto", "watchdog", "psutil") if find_spec(name) is None]
    if missing:
        words = " ".join(name.replace("_", "-") for name in missing)
        raise UsageError(
            f"missing: {words}; install it with `{sys.executable} -m pip install {words}`, or run bin/claude-mpm"
        )


def bind_port(config: Config) -> list[socket.socket]:
    """The listening sockets. PortTaken says who has the port and which one is free."""
    from claude_mpm.server.bind import bind, next_free, require_token

    try:
        sockets = bind(config.host, config.port)
        require_token(sockets, config.token)
        return sockets
    except PortTaken:
        from claude_mpm.system.instances import who_holds

        free = next_free(config.host, config.port)
        free_port = free[0].getsockname()[1]
        if config.port_given:
            for listening in free:
                listening.close()
            holder = who_holds(config.port, config.state_dir)
            raise PortTaken(
                f"port {config.port} is taken{f' by {holder}' if holder else ''}; free: --websocket-port {free_port}"
            ) from None
        _say(f"claude-mpm: port {config.port} is taken, so this one is on {free_port}")
        return free


def announce(config: Config, sockets: Sequence[socket.socket]) -> None:
    """One line before Claude has the screen; the token goes behind `#`, which no server and no log sees."""
    host = config.host or "localhost"
    url = f"http://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}/"
    _say(f"claude-mpm: watch this session at {url}{' (the token is asked for there)' if config.token else ''}")
    if config.open_page:
        from claude_mpm.cli.browser import open_page

        trouble = open_page(url, config.token)
        if trouble:
            _say(f"claude-mpm: {trouble}")
