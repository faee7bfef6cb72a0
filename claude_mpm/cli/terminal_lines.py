"""Lines for the user's terminal."""

from __future__ import annotations

import os
import sys


def say(sentence: str) -> None:
    """Print a sentence for the user to stderr, with the program's name. Blocks while the terminal takes nothing."""
    note(f"claude-mpm: {sentence}")


def note(line: str) -> None:
    """Print a line to stderr. Blocks while the terminal takes nothing; any thread may call it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads stderr, or it has been closed: there is nobody left to tell
        pass


def printable(text: str) -> str:
    """Make a text that somebody else chose safe for one line of a terminal: `?` replaces every control character."""
    return "".join(character if character.isprintable() else "?" for character in text)


def forget_stdout() -> None:
    """Discard what stdout still buffers; otherwise the interpreter complains when it flushes at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
