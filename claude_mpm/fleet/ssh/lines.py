"""JSON lines, as a hub and a bridge exchange them: one object a line, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from claude_mpm.system import json_text

LINE_BYTES = 16 * 1024 * 1024  # of one line; a reply carries at most 4 MiB of events, an event far less


class TooLong(ValueError):
    """A line is longer than it may be."""


class LineSplitter:
    """Cuts a stream of bytes into lines. Not thread-safe.

    Args:
        max_bytes: of one line.
    """

    def __init__(self, max_bytes: int = LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []  # of the line that has not ended
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, without their ends.

        Raises:
            TooLong: a line exceeds `max_bytes`, whether it has ended or not.
        """
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            yield b"".join(self._parts)
            self._parts, self._size = [], 0
        self._add(rest)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            raise TooLong(f"a line is longer than {self._max_bytes} bytes")
        if part:
            self._parts.append(part)


def encode(message: object) -> bytes:
    """One line, with its end."""
    return json_text.dumps(message) + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None if it holds anything else."""
    try:
        value = json_text.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
