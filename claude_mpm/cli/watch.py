"""`claude-mpm watch` and tools/test_websocket.py: print events as they come."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from claude_mpm.cli.arguments import port_number
from claude_mpm.cli.event_lines import plain, render
from claude_mpm.client import CONNECTED, LOST, Client
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import ClaudeMpmError
from claude_mpm.feed.patterns import is_pattern

INTERRUPTED, READER_GONE = 130, 141  # exit codes: 128 + SIGINT, 128 + SIGPIPE
# Everything but claude.output, which is most of the traffic and, on a terminal, mostly the spinner being redrawn.
DEFAULT_CHANNELS = (
    "session.*", "claude.status", "claude.question", "claude.message", "claude.usage", "tool.*", "agent.*", "todo.*",
    "system.*",
)  # fmt: skip

EPILOG = """\
Channels are patterns: `*` (all), `agent.*`, `todo.update`. Give several as --channels 'todo.*' 'agent.*', or separated
by commas. By default you see everything but claude.output, the text on Claude's terminal; --channels '*' adds it.

When the connection is lost, it is made again and resumes where it was; events that are lost for good are reported.
Events go to stdout, everything about the connection goes to stderr.

exit code: 0 help was shown; 1 no claude-mpm there, or it refused; 2 usage; 130 Ctrl-C; 141 the reader of stdout left
"""


def watch(client: Client, channels: Sequence[str], since: int | None, jsonl: bool, out: TextIO, notes: TextIO) -> int:
    """Write events to `out`, and what happens to the connection to `notes`, until Ctrl-C. Returns the exit code.

    Blocks. Closes the client.

    Args:
        since: the seq to start after; 0 for the oldest event the server has; None for new events only.
        jsonl: write the server's frames as JSON, one a line, instead of lines for people.

    Raises:
        ClaudeMpmError: nothing to connect to, or refused.
        BrokenPipeError: the reader of `out` has left.
    """
    try:
        for frame in client.follow(channels, since):
            to, as_json = (notes, False) if frame["type"] in (CONNECTED, LOST) else (out, jsonl)
            to.write((json.dumps(frame) if as_json else render(frame)) + "\n")  # ASCII: any terminal, any locale
            to.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        client.close()
    return 0


def running_port() -> int:
    """The port to connect to when none was named: the default, unless our instances use only others.

    A hub is meant only if there is nothing else.
    """
    from claude_mpm.system import instances  # loads psutil, which whoever names a port and a token does not need

    running = instances.live(Config().state_dir)
    sessions = [info for info in running if info.get("kind") != "hub"]
    ports = [int(info["port"]) for info in sessions or running]
    return min(ports) if ports and DEFAULT_PORT not in ports else DEFAULT_PORT


def run(args: Sequence[str]) -> int:
    """`claude-mpm watch`."""
    return main(args)


def main(argv: Sequence[str] | None = None, prog: str = "claude-mpm watch") -> int:
    """Run the command line and return the exit code. SystemExit as argparse raises it."""
    parser = _parser(prog)
    chosen = parser.parse_args(argv)
    channels = [pattern for text in chosen.channels for pattern in text.split(",") if pattern]
    for pattern in channels:
        if not is_pattern(pattern):
            parser.error(f"{plain(pattern)!r} is not a channel pattern; try '*', 'agent.*' or 'todo.update'")
    if chosen.since is not None and chosen.since < 0:
        parser.error("--since takes the seq of an event, or 0 for the oldest one kept")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # on a terminal without UTF-8, a `?` rather than an exception
    try:
        client = Client(
            running_port() if chosen.port is None else chosen.port, chosen.host, chosen.token, attending=False
        )
        return watch(client, channels, chosen.since, chosen.jsonl, sys.stdout, sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise the interpreter complains when it flushes at exit
        return READER_GONE
    except ClaudeMpmError as error:
        sys.stderr.write(f"{prog}: {error}\n")
        return error.exit_code


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Print the events of a claude-mpm as they come, one a line.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "port", nargs="?", type=port_number, help=f"default: {DEFAULT_PORT}, or that of the first running instance"
    )
    parser.add_argument(
        "--channels",
        nargs="+",
        default=list(DEFAULT_CHANNELS),
        metavar="PATTERN",
        help="which events to print (default: all but claude.output)",
    )
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a line, as the server sent it")
    parser.add_argument("--since", type=int, metavar="SEQ", help="start after this event; 0: with the oldest one kept")
    parser.add_argument("--host", default="localhost", help="default: localhost")
    parser.add_argument(
        "--token",
        default=os.environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN"),
        help="default: $CLAUDE_MPM_WEBSOCKET_TOKEN, or what an instance of your own has written for you",
    )
    return parser
