"""Reading a file that somebody else may have put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_file(path: Path, limit: int) -> tuple[bytes, float]:
    """The content of a regular file of at most `limit` bytes, and its mtime. Does not block, whatever is there.

    Raises:
        OSError: it cannot be opened; it is a symbolic link: whoever can write there could point it at any file of ours.
        ValueError: it is no file, or too large.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a FIFO would hang
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        if found.st_size <= limit:
            with open(fd, "rb", closefd=False) as file:
                data = file.read(limit + 1)
            if len(data) <= limit:
                return data, found.st_mtime
        raise ValueError("too large")
    finally:
        os.close(fd)
