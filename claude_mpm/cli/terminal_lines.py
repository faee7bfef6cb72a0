"""Words for the user's terminal."""

from __future__ import annotations

import os
import sys


def say(sentence: str) -> None:
    """Show the user a sentence, on stderr."""
    try:
        print(f"claude-mpm: {sentence}", file=sys.stderr, flush=True)
    except OSError:  # nobody reads our stderr
        pass


def printable(text: str) -> str:
    """A name somebody else chose, on one line of our terminal: without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def forget_stdout() -> None:
    """Send what is still buffered nowhere, or the interpreter would complain of it at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
