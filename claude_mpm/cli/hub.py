"""`claude-mpm hub [SOURCE...]`: the sessions of many machines on one page and one WebSocket."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from claude_mpm.cli.options import add_notify_arg, add_server_args, command_parser, notify_url, server_config
from claude_mpm.cli.startup import announce, bind_port, hide_password, require_libraries
from claude_mpm.cli.terminal_lines import printable
from claude_mpm.config import Config
from claude_mpm.errors import UsageError

if TYPE_CHECKING:
    from claude_mpm.fleet.source import Source

DESCRIPTION = """\
Show the sessions of this machine and of others on one page.

Two machines: claude-mpm is installed on both, and `ssh build-box` works without a password. Then, here:

  claude-mpm hub ssh://build-box --open

Nothing listens on the other machine, and nothing has to be started there but the sessions themselves
(claude-mpm --websocket). ssh's own configuration, keys and host names apply.
"""
EPILOG = """\
sources:
  (this machine)                     always
  ssh://[USER@]HOST[:PORT]           sessions of that user on another machine
  redis://[[USER]:PASSWORD@]HOST     sessions started with --publish; rediss:// for TLS (needs claude-mpm[fleet])

Everything the API of one session can do, the hub's can: see docs/fleet.md. To answer Claude or to type through the
hub, give it --websocket-control and a token, and start the sessions with --websocket-control as well.

exit code: 0 after Ctrl-C; 2 usage, or the port is taken; 1 anything else went wrong
"""


def run(args: Sequence[str]) -> int:
    """Serve until Ctrl-C and return the exit code. Blocks."""
    parser = command_parser("hub", DESCRIPTION, EPILOG)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="where else to look for sessions; see below")
    add_server_args(parser)
    parser.add_argument(
        "--websocket-control",
        action="store_true",
        help="let clients with the token act on sessions that were started with --websocket-control",
    )
    add_notify_arg(parser)
    chosen = parser.parse_args(args)
    config = server_config(chosen, os.environ)._replace(
        control=chosen.websocket_control, notify_url=notify_url(chosen, os.environ)
    )
    if config.control and not config.token:
        raise UsageError("--websocket-control needs --websocket-token: only clients that know it may act on sessions")
    require_libraries()
    from claude_mpm.archive.catalog import config_dir
    from claude_mpm.monitor import hub

    for word in chosen.sources:
        hide_password(word)
    sources = _sources(config, chosen.sources)  # what is wrong with them is said before anything is served
    sockets = bind_port(config, "the hub")
    directory = config_dir(os.environ)
    info = hub.hub_info(config, sockets[0].getsockname()[1], directory)
    announce(config, sockets, "all sessions")
    hub.serve(config, info, directory, sockets, sources)
    return 0


def _sources(config: Config, words: Sequence[str]) -> list[Source]:
    """This machine, and the sources that the user named, each once.

    Raises:
        UsageError: a word is not a source.
    """
    from claude_mpm.fleet.local import LocalSource

    sources: list[Source] = [LocalSource(config.state_dir)]
    for word in dict.fromkeys(words):
        scheme = word.partition("://")[0]
        if scheme == "ssh":
            from claude_mpm.fleet.ssh.source import SshSource

            sources.append(SshSource(word))
        elif scheme in ("redis", "rediss"):
            from claude_mpm.monitor.redis_url import redis_url

            url = redis_url(word, os.environ)  # which says so where redis-py, which the next line loads, is missing
            from claude_mpm.fleet.redis.read.source import RedisSource

            sources.append(RedisSource(url, config.token, str(uuid.uuid4())))
        elif word != "local":
            raise UsageError(
                f"`{printable(word)}` is not a source; give ssh://[USER@]HOST[:PORT] or redis://HOST, "
                "see claude-mpm hub --help"
            )
    return sources
