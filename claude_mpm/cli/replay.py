"""`claude-mpm replay SESSION`: a session that is over, on the page and the API as if it ran."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from claude_mpm.cli.options import add_server_args, command_parser, server_config
from claude_mpm.cli.startup import announce, bind_port, require_libraries
from claude_mpm.feed.event import Event


def run(args: Sequence[str]) -> int:
    parser = command_parser(
        "replay",
        "Serve a session that is over, as if it ran: the page and the API on the usual port, until Ctrl-C.",
        "exit code: 0 after Ctrl-C; 2 usage, or there is no such session",
    )
    parser.add_argument(
        "session",
        metavar="SESSION",
        help="its id or the beginning of its id (`claude-mpm sessions` lists them), `last`, or a file: a transcript of Claude's or a recording",
    )
    parser.add_argument(
        "--speed", type=_speed, metavar="N", help="play it in time, N times as fast as it was (default: all at once)"
    )
    add_server_args(parser)
    chosen = parser.parse_args(args)
    config = server_config(chosen, os.environ)
    require_libraries()
    from claude_mpm.archive import catalog, reader
    from claude_mpm.monitor import replay

    config_dir = catalog.config_dir(os.environ)
    file = catalog.find(chosen.session, config_dir)

    def read(info: Mapping[str, Any]) -> Generator[Event, None, None]:
        return reader.events(file, info)

    read({}).close()  # an exported page cannot be replayed: said before anything is served
    sockets = bind_port(config)
    announce(config, sockets)
    replay.replay(config, config_dir, reader.about(file), sockets, read, chosen.speed)
    return 0


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (speed > 0 and math.isfinite(speed)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed; give a number above 0, such as 1 or 10")
    return speed
