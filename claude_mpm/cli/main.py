"""The command line: errors become one line and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from claude_mpm.cli.terminal_lines import forget_stdout, say
from claude_mpm.errors import ClaudeMpmError

COMMANDS = ("instances", "watch", "attach", "doctor", "monitor", "sessions", "replay")  # each a module here, with run(args)
INTERRUPTED, READER_LEFT = 130, 141  # exit codes: 128 + SIGINT, 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code. Main thread only."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(args)
        sys.stdout.flush()  # here, where a failure is one line
        return code
    except ClaudeMpmError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # our reader left (`| head`)
        forget_stdout()
        return READER_LEFT
    except Exception as error:  # a defect of ours: still one line
        say(f"internal error: {type(error).__name__}: {error}; please report it")
        forget_stdout()
        return 1


def _run(args: Sequence[str]) -> int:
    try:
        if args and args[0] in COMMANDS:
            import logging

            logging.getLogger("claude_mpm").addHandler(logging.NullHandler())  # until there is a log file: not here
            command = importlib.import_module(f"claude_mpm.cli.{args[0]}")
            return int(command.run(args[1:]))
        from claude_mpm.cli import launch

        return launch.run(args)
    except SystemExit as done:  # argparse has printed help, the version or its complaint
        return int(done.code or 0)
