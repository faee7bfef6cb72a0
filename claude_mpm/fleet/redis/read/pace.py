"""How many entries a reader takes at once: many when it is behind, few when they are large. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

FEWEST, FIRST, MOST = 8, 64, 512  # entries of one stream
LARGE = 8 * 1024 * 1024  # bytes in one answer: the next one asks for fewer


class Pace:
    """COUNT of the next XREAD. Belongs to one thread."""

    def __init__(self) -> None:
        self.count = FIRST

    def note(self, rows_by_stream: Iterable[Sequence[Any]], was_cut: bool) -> None:
        """Note an answer: the rows of each stream, and whether there may have been more."""
        if not was_cut:
            return  # it had everything there was, so it does not matter what more it might have taken
        size = sum(len(flat[-1]) for rows in rows_by_stream for _, flat in rows if flat)
        if size > LARGE:
            self.count = max(self.count // 2, FEWEST)
        elif size < LARGE // 4:
            self.count = min(self.count * 2, MOST)
