"""Where a directory is that may be missing at any depth: itself, or the existing ancestor to observe until it appears."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

OnChange = Callable[["frozenset[str] | None"], None]
Identity = tuple[int, int]  # st_dev, st_ino


class Place:
    """One directory somebody wants to know about. For one thread."""

    def __init__(self, path: str, on_change: OnChange) -> None:
        self.path = path
        self.on_change = on_change
        self.everything = True  # `on_change` is to be told: look at everything
        self.observed = ""  # the real path to observe
        self.identity: Identity = (0, 0)  # of `observed`
        self.awaited: str | None = ""  # the name in `observed` that brings `path` nearer; None: `observed` is `path`
        self._mtime_ns = 0
        self._suspect = False

    def find(self, quiet: bool = False) -> None:
        """Look where it is now: a few os.stat calls, one when nothing moved.

        `quiet`: no event came since the last look. When its time stamp moved all the same, and still no event comes
        until the next look, events are being lost (the kernel's queue overflowed, a network file system).
        """
        path, awaited = self.path, None
        while (found := _directory(path)) is None:
            parent, awaited = os.path.split(path)
            if parent == path:
                return  # not even "/"
            path = parent
        identity = (found.st_dev, found.st_ino)
        if (identity, awaited) != (self.identity, self.awaited):
            self.everything |= awaited is None or self.awaited is None
            self.observed, self.identity, self.awaited = os.path.realpath(path), identity, awaited
            self._suspect = False
        elif quiet:
            self.everything |= self._suspect
            self._suspect = awaited is None and found.st_mtime_ns != self._mtime_ns
        else:
            self._suspect = False
        self._mtime_ns = found.st_mtime_ns


def _directory(path: str) -> os.stat_result | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found if stat.S_ISDIR(found.st_mode) else None
