"""A stand-in for claude 2.1: `python -m claude_mpm.demo.stand_in [arguments of claude's]`."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from claude_mpm.demo.hooks import load
from claude_mpm.demo.run import Run
from claude_mpm.demo.screen import LABEL
from claude_mpm.demo.shapes import VERSION
from claude_mpm.demo.story import Step, story

PASSED_OVER = (  # options of claude's that take a value and mean nothing here
    "--model", "--permission-mode", "--add-dir", "--append-system-prompt", "--system-prompt", "--allowedTools",
    "--disallowedTools", "--mcp-config", "--input-format", "--max-turns", "--fallback-model", "--agents",
)  # fmt: skip


def _signal_number(text: str) -> signal.Signals:
    try:
        return signal.Signals(int(text)) if text.isdigit() else signal.Signals[f"SIG{text.upper().removeprefix('SIG')}"]
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"no such signal: {text}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="claude (demo)",
        allow_abbrev=False,
        description=f"{LABEL}. Plays a fixed two-minute session.",
        epilog="It writes only in CLAUDE_CONFIG_DIR. CLAUDE_MPM_DEMO_SPEED=20 plays 20 times as fast. Other options of "
        "claude's are ignored. Exit code: 0 the session is over; 1 it cannot be played; 2 usage; 128+n signal n.",
    )  # fmt: skip
    parser.add_argument("prompt", nargs="?", help="replaces the first prompt of the story")
    parser.add_argument("-p", "--print", action="store_true", help="no terminal interface")
    parser.add_argument("--output-format", choices=("text", "json", "stream-json"), default="text")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--session-id", metavar="UUID")
    parser.add_argument("--settings", metavar="FILE_OR_JSON", help="run the command hooks in it")
    parser.add_argument("-v", "--version", action="version", version=f"{VERSION}-demo (claude-mpm demo stand-in)")
    for name in PASSED_OVER:
        parser.add_argument(name, help=argparse.SUPPRESS)
    tests = parser.add_argument_group("for tests: instead of the story, after the first screen")
    tests.add_argument("--demo-exit", type=int, metavar="CODE", help="exit at once with CODE")
    tests.add_argument("--demo-crash", type=_signal_number, metavar="SIGNAL", help="die of SIGNAL at once")
    tests.add_argument("--demo-burst", type=int, metavar="BYTES", help="print that much box-drawing text, then exit")
    tests.add_argument("--demo-wait", action="store_true", help="wait for keys and signals forever")
    tests.add_argument("--demo-size", action="store_true", help="print rows and columns now and on SIGWINCH, no screen")
    return parser


def _prepare(args: argparse.Namespace, steps: list[Step] | None) -> Run:
    """The run that was asked for.

    Raises:
        ValueError: it is impossible; the text is one line for the user.
    """
    named = os.environ.get("CLAUDE_CONFIG_DIR", "")
    root = Path(named).absolute()
    own = Path(os.path.expanduser("~/.claude"))  # not Path.home(), which fails for a user without a home directory
    if not named or root.resolve() == own.resolve():
        raise ValueError(
            "the demo writes only in a CLAUDE_CONFIG_DIR of its own, never in ~/.claude; start it with claude-mpm --demo"
        )
    try:
        speed = float(os.environ.get("CLAUDE_MPM_DEMO_SPEED") or 1)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e6:
        raise ValueError("CLAUDE_MPM_DEMO_SPEED must be a number above 0")
    try:
        args.session_id = str(uuid.UUID(args.session_id)) if args.session_id else None
    except ValueError:
        raise ValueError("Invalid session ID. Must be a valid UUID.") from None
    if args.output_format == "stream-json" and not args.verbose:
        raise ValueError("When using --print, --output-format=stream-json requires --verbose")
    return Run(args, root, speed, load(args.settings), story(args.prompt) if steps is None else steps)


def main(argv: Sequence[str] | None = None, steps: list[Step] | None = None) -> int:
    """Play the session and return the exit code. `steps`, if given, replace the story."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # --help has a dash that not every locale can show
    args, _ = _parser().parse_known_args(argv)
    try:
        return _prepare(args, steps).run()
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
    except KeyboardInterrupt:  # before the run has taken over SIGINT
        pass
    return 1


if __name__ == "__main__":
    sys.exit(main())
