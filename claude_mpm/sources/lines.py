"""Whole lines out of bytes that come in pieces."""

from __future__ import annotations


class Lines:
    """Cuts a stream of bytes into lines. Pure; one thread.

    A line longer than `max_line` bytes is passed over and counted: it is not held in memory.
    """

    def __init__(self, max_line: int) -> None:
        self.skipped = 0  # lines that were too long
        self._max = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their newlines; empty ones are left out."""
        *whole, rest = data.split(b"\n")
        found = []
        for piece in whole:
            line = self._finish(piece)
            if line:
                found.append(line)
        self._keep(rest)
        return found

    def rest(self) -> bytes:
        """The last line if it has no newline, and nothing is kept: for the end of the stream."""
        return self._finish(b"")

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._too_long or self._size > self._max:
            self._too_long = True
            self._parts = []
        elif piece:
            self._parts.append(piece)

    def _finish(self, piece: bytes) -> bytes:
        self._keep(piece)
        line = b"".join(self._parts).rstrip(b"\r")
        if self._too_long:
            self.skipped += 1
        self._parts, self._size, self._too_long = [], 0, False
        return line
