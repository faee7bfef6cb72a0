"""A growing file of lines, read on from where it was left; no thread, no watching."""

from __future__ import annotations

import os
import stat
from pathlib import Path

CHUNK = 1024 * 1024  # bytes of one read
MARK = 64  # bytes before the place we are at, by which we know the file again


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


class Tail:
    """Follows one file through truncation and replacement. One thread.

    Args:
        max_line: bytes; a longer line is passed over.
    """

    def __init__(self, path: Path, max_line: int) -> None:
        self.path = path
        self._max_line = max_line
        self._lines = Lines(max_line)
        self._place: tuple[int, int] | None = None  # device, inode
        self._offset = 0
        self._mark = b""
        self._skipped = 0  # in earlier files of this name

    @property
    def skipped(self) -> int:
        """Lines that were too long."""
        return self._skipped + self._lines.skipped

    def read(self) -> list[bytes]:
        """The lines that are whole and new. Empty as well when the file is not there or cannot be read."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return self._read_on(fd)
        except OSError:
            return []
        finally:
            os.close(fd)

    def _read_on(self, fd: int) -> list[bytes]:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return []
        place = (found.st_dev, found.st_ino)
        before = self._offset - len(self._mark)
        # rewritten from the start it may be as long as it was, or longer
        if place != self._place or os.pread(fd, len(self._mark), before) != self._mark:
            self._skipped += self._lines.skipped
            self._lines = Lines(self._max_line)
            self._place, self._offset, self._mark = place, 0, b""
        lines: list[bytes] = []
        while chunk := os.pread(fd, CHUNK, self._offset):
            self._offset += len(chunk)
            self._mark = (self._mark + chunk[-MARK:])[-MARK:]
            lines += self._lines.feed(chunk)
        return lines
