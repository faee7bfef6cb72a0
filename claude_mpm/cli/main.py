"""The command line: picks the command, and turns every error into one line and an exit code."""

from __future__ import annotations

import importlib
import io
import re
import sys
from collections.abc import Sequence

from claude_mpm.cli.terminal_lines import forget_stdout, printable, say
from claude_mpm.errors import ClaudeMpmError, UsageError

# each a module of this package, with run(args)
COMMANDS = (
    *("status", "instances", "watch", "answer", "attach", "monitor", "sessions", "replay", "export", "doctor"),
    *("hub", "bridge"),
)
INTERRUPTED, READER_GONE = 130, 141  # exit codes: 128 + SIGINT, 128 + SIGPIPE

# How alike a word and a command must be (difflib's ratio) to be taken for a slip of the finger. `hello` and `help`
# have 0.67 and must stay apart; two letters swapped in `help` or in `watch` have 0.75 and 0.8.
ALIKE = 0.75
_WORD = re.compile(r"[A-Za-z][A-Za-z-]*")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code. Main thread only; blocks until Claude or the command ends.

    Does not return when this process becomes Claude.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the locale cannot show a character, print a `?` instead
    try:
        code = _run(args)
        _flush_stdout()
        return code
    except ClaudeMpmError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has left (`| head`)
        forget_stdout()
        return READER_GONE
    except Exception as error:  # a defect of ours: still one line
        say(f"internal error: {type(error).__name__}: {error}; please report it")
        forget_stdout()
        return 1


def _flush_stdout() -> None:
    """Write out what stdout still buffers, here, where a failure can still be reported.

    Raises:
        BrokenPipeError: the reader has left.
        ClaudeMpmError: stdout cannot be written to, for instance because the disk is full.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise ClaudeMpmError(f"cannot write to stdout: {error.strerror}") from None


def _run(args: Sequence[str]) -> int:
    try:
        if args and args[0] == "help":
            return _help(args[1:])
        if args and args[0] in COMMANDS:
            return _run_command(args[0], args[1:])
        if args and (meant := _near_miss(args[0])):
            word = printable(args[0])
            raise UsageError(
                f"there is no command `{word}`; did you mean `claude-mpm {meant}`? "
                f"To give Claude this word as its prompt: claude-mpm -- {word}"
            )
        from claude_mpm.cli import launch

        return launch.run(args)
    except SystemExit as done:  # argparse has printed help, the version or a complaint
        return int(done.code or 0)


def _run_command(name: str, args: Sequence[str]) -> int:
    from claude_mpm.cli.startup import require_home

    if not {"-h", "--help"} & set(args):
        require_home()
    if name != "status":  # it warns of nothing, and has no time to load what it does not need
        import logging

        # Without a handler, logging would print warnings to stderr; commands that keep a log add its file themselves.
        logging.getLogger("claude_mpm").addHandler(logging.NullHandler())
    return int(importlib.import_module(f"claude_mpm.cli.{name}").run(args))


def _help(args: Sequence[str]) -> int:
    """`claude-mpm help [COMMAND]`: the same text as --help.

    Raises:
        UsageError: there is no such command.
        SystemExit: argparse has printed the text.
    """
    if not args:
        from claude_mpm.cli.options import parser

        parser().print_help()
        return 0
    if len(args) == 1 and args[0] in COMMANDS:
        return _run_command(args[0], ["--help"])
    raise UsageError(
        f"there is no help on `{printable(' '.join(args))}`; the commands are {', '.join(COMMANDS)}, "
        "and `claude-mpm --help` has the options"
    )


def _near_miss(word: str) -> str | None:
    """The command that `word` is probably a misspelling of; None for a prompt and for Claude's own subcommands."""
    from claude_mpm.launch.command.command_line import SUBCOMMANDS

    if not _WORD.fullmatch(word) or word in SUBCOMMANDS:
        return None
    import difflib  # not needed by a plain start

    close = difflib.get_close_matches(word.lower(), (*COMMANDS, "help"), n=1, cutoff=ALIKE)
    return close[0] if close else None
