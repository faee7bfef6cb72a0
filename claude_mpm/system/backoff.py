"""Pauses between attempts at something that fails for a while."""

from __future__ import annotations


class Backoff:
    """Each pause is twice the one before, up to a limit. Belongs to one thread.

    Args:
        first, most: seconds.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most = first, most
        self._pause = first

    def reset(self) -> None:
        """It works again: the next pause is the first one."""
        self._pause = self._first

    def next(self) -> float:
        """Seconds to wait now."""
        pause, self._pause = self._pause, min(self._pause * 2, self._most)
        return pause
