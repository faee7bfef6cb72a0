"""Locates a directory that may be missing at any depth: itself or, until it appears, its nearest existing ancestor."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

OnChange = Callable[["frozenset[str] | None"], None]
Inode = tuple[int, int]  # st_dev, st_ino


class WatchedDir:
    """One directory somebody wants to hear about. For one thread.

    Attributes:
        path: the directory's absolute path.
        on_change: whom to tell.
        observed: the real path to observe now.
        inode: the inode of `observed`; another one means that the directory was replaced.
        awaited: the name in `observed` whose appearance brings `path` nearer; None when `observed` is `path` itself.
        full_scan_due: `on_change` has yet to be told to look at everything.
    """

    def __init__(self, path: str, on_change: OnChange) -> None:
        self.path = path
        self.on_change = on_change
        self.observed = ""
        self.inode: Inode = (0, 0)
        self.awaited: str | None = ""
        self.full_scan_due = True
        self._mtime_ns = 0
        self._may_lose_events = False

    def locate(self, quiet: bool = False) -> None:
        """Find out where the directory is now: a few calls of os.stat, a single one if nothing has moved.

        Args:
            quiet: no event has come since the previous call. If the directory's time stamp has changed all the same,
                and no event comes before the next call either, events are being lost (the kernel's queue has
                overflowed, or this is a network file system): a full scan is due then.
        """
        path, awaited = self.path, None
        while (status := _stat_directory(path)) is None:
            parent, awaited = os.path.split(path)
            if parent == path:
                return  # not even "/" can be read
            path = parent
        inode = (status.st_dev, status.st_ino)
        if (inode, awaited) != (self.inode, self.awaited):
            self.full_scan_due |= awaited is None or self.awaited is None
            self.observed, self.inode, self.awaited = os.path.realpath(path), inode, awaited
            self._may_lose_events = False
        elif quiet:
            self.full_scan_due |= self._may_lose_events
            self._may_lose_events = awaited is None and status.st_mtime_ns != self._mtime_ns
        else:
            self._may_lose_events = False
        self._mtime_ns = status.st_mtime_ns


def _stat_directory(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISDIR(status.st_mode) else None
