"""Lines of a growing file, read on from where the previous read ended. No thread, no watching."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from pathlib import Path

from claude_mpm.sources.files.watched_dir import Inode

CHUNK = 256 * 1024  # bytes per read, and so about what is held of a file of any size
MARK = 64  # bytes before the current offset, by which the file is recognised
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: opening a FIFO would block


class Lines:
    """Splits a stream of bytes into lines. Pure; for one thread.

    Args:
        max_line: bytes; a longer line is skipped and counted, and never held in memory.

    Attributes:
        skipped: how many lines were too long.
    """

    def __init__(self, max_line: int) -> None:
        self.skipped = 0
        self._max = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, without line endings; empty ones are left out."""
        *complete, rest = data.split(b"\n")
        lines = [line for piece in complete if (line := self._finish(piece))]
        self._keep(rest)
        return lines

    def rest(self) -> bytes:
        """Return, at the end of the stream, the last line if it has no newline; and start afresh."""
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
    """Follows one file through appending, truncation and replacement. For one thread.

    Args:
        path: the file, which need not exist yet.
        max_line: bytes; a longer line is skipped.
    """

    def __init__(self, path: Path, max_line: int) -> None:
        self.path = path
        self._max_line = max_line
        self._lines = Lines(max_line)
        self._inode: Inode | None = None
        self._offset = 0
        self._mark = b""
        self._skipped = 0  # in earlier files of this name

    @property
    def skipped(self) -> int:
        """How many lines were too long."""
        return self._skipped + self._lines.skipped

    def read(self) -> Generator[list[bytes], None, None]:
        """Yield the lines that are complete and new, as many at a time as CHUNK bytes hold.

        Nothing is yielded when the file does not exist or cannot be read. A caller that stops early loses only the
        rest of the list it was given; the next read() goes on behind it.
        """
        try:
            fd = os.open(self.path, _FLAGS)
        except OSError:
            return
        try:
            if self._recognise(fd):
                yield from self._chunks(fd)
        except OSError:
            return
        finally:
            os.close(fd)

    def _recognise(self, fd: int) -> bool:
        """Go back to the start if this is not the file read before. Returns False if it is not a regular file."""
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return False
        inode = (status.st_dev, status.st_ino)
        # A file rewritten from the start may be as long as it was, or longer: only its content tells.
        if inode != self._inode or os.pread(fd, len(self._mark), self._offset - len(self._mark)) != self._mark:
            self._skipped += self._lines.skipped
            self._lines = Lines(self._max_line)
            self._inode, self._offset, self._mark = inode, 0, b""
        return True

    def _chunks(self, fd: int) -> Iterator[list[bytes]]:
        while chunk := os.pread(fd, CHUNK, self._offset):
            self._offset += len(chunk)
            self._mark = (self._mark + chunk[-MARK:])[-MARK:]
            if lines := self._lines.feed(chunk):
                yield lines


def first_line(path: Path, max_line: int) -> bytes | None:
    """Return a file's first line without its newline, reading no more of the file than that.

    Returns None when the line is not complete yet or longer than `max_line` bytes, or when this is not a regular file.

    Raises:
        OSError: the file cannot be opened or read.
    """
    fd = os.open(path, _FLAGS)
    with open(fd, "rb", buffering=4096) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        line = file.readline(max_line + 1)
    return line[:-1] if line.endswith(b"\n") else None
