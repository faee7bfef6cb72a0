"""Pictures of a terminal, numbered, and what changed between them. Pure.

A client may miss any event of the screen: only the newest is kept for it. So each holds every row that
changed after picture `base`, some pictures back, and the client needs one rule, for events and replies alike:

    frame ≤ mine        older than what I have: ignore
    base > mine         I missed too much (or have none: mine is 0): ask for the whole picture, `get_screen`
    otherwise           set the rows told; mine = frame. With base 0 all rows are told, of a grid made anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event

REACH = 10  # events that a diff reaches back, about a second: what a client skips in that time costs it nothing

Style = Mapping[str, Any]
Line = Sequence[Sequence[Any]]  # runs [text, style] from column 0 on


@dataclass(frozen=True, slots=True)
class Picture:
    """What a terminal shows. `lines` has one entry per row and is never changed."""

    cols: int
    rows: int
    cursor: Mapping[str, Any]
    title: str | None
    lines: list[Line]


class Frames:
    """The newest picture and, of every row, the number of the picture it last changed in. For one thread."""

    def __init__(self) -> None:
        self._frame = 0
        self._picture: Picture | None = None
        self._changed: list[int] = []
        self._shown: deque[int] = deque(maxlen=REACH)

    def take(self, picture: Picture) -> None:
        """This is the newest picture. It gets a number of its own when it differs from the last."""
        old = self._picture
        if picture == old:
            return
        self._frame += 1
        self._picture = picture
        if old is None or (old.cols, old.rows) != (picture.cols, picture.rows):
            self._changed = [self._frame] * picture.rows
            self.begin()
            return
        for row, (before, now) in enumerate(zip(old.lines, picture.lines, strict=True)):
            if before != now:
                self._changed[row] = self._frame

    def begin(self) -> None:
        """Somebody new looks: the next diff is the whole picture."""
        self._shown.clear()

    def diff(self) -> Event | None:
        """What changed in the last REACH diffs and since; None when the newest picture was told already."""
        if self._shown and self._shown[-1] == self._frame:
            return None
        base = self._shown[0] if self._shown else 0
        self._shown.append(self._frame)
        return self._event(base)

    def full(self) -> Event:
        """The whole picture. There must be one."""
        return self._event(0)

    def _event(self, base: int) -> Event:
        picture = self._picture
        assert picture is not None
        changed = [row for row in range(picture.rows) if self._changed[row] > base]
        lines = [[row, [list(run) for run in picture.lines[row]]] for row in changed]
        return ev.claude_screen(
            picture.cols, picture.rows, picture.cursor, lines, picture.title, frame=self._frame, base=base
        )
