"""Reads files that somebody else may have put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_file(path: Path, limit: int) -> tuple[bytes, float]:
    """Return the content of a regular file, and its modification time in seconds since the epoch.

    Does not block, whatever is there. Symbolic links are refused: whoever can write in that directory could point one
    at any file of ours.

    Args:
        limit: bytes; a larger file is refused.

    Raises:
        OSError: it cannot be opened or read, or is a symbolic link.
        ValueError: it is not a regular file, or is too large.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a FIFO would block
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size <= limit:
            with open(fd, "rb", closefd=False) as file:
                data = file.read(limit + 1)
            if len(data) <= limit:
                return data, status.st_mtime
        raise ValueError("too large")
    finally:
        os.close(fd)


def read_head(path: Path, limit: int) -> bytes:
    """Return the first `limit` bytes of a regular file. Does not block, and follows no symbolic link.

    Raises:
        OSError: it cannot be opened or read, or is a symbolic link.
        ValueError: it is not a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
        return os.pread(fd, limit, 0)
    finally:
        os.close(fd)
