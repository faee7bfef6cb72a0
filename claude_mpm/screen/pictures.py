"""Pictures of a terminal, numbered, and the differences between them. Pure.

A client may miss any screen event, because only the newest is kept for it. So an event holds every row that changed
since picture `base`, which lies some pictures back, and a client follows one rule for events and replies alike. Here
`mine` is the number of the picture that it holds, 0 when it holds none:

    frame <= mine       The event is older than what I have: ignore it.
    base > mine         I missed too much: ask for the whole picture with `get_screen`.
    otherwise           Replace the given rows and set mine = frame. With base 0, all rows are given: start a new grid.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event

REACH = 10  # events that a difference reaches back, about a second: a client that skips fewer loses nothing
PICTURE_BYTES = (
    4 * 1024 * 1024
)  # of a whole picture's JSON: a reply's bound; 200 x 60 cells of two colours each have 0.7
_RUN_BYTES = 128  # JSON of one run at most, beside its text: brackets and a style with everything set
_CHARACTER_BYTES = 4  # UTF-8 of one code point at most; quotes and backslashes take two with their escape

Style = Mapping[str, Any]
Line = Sequence[Sequence[Any]]  # the runs [text, style] of a row, from column 0 on


@dataclass(frozen=True, slots=True)
class Picture:
    """What a terminal shows. `lines` has one entry per row and is never changed."""

    cols: int
    rows: int
    cursor: Mapping[str, Any]
    title: str | None
    lines: list[Line]


def bounded(line: Line, rows: int) -> Line:
    """`line`, simplified if its JSON could exceed its share of PICTURE_BYTES in a picture of so many rows.

    The simplified row is one run without style; a wide character becomes two spaces and a letter loses its combining
    marks. Only rows of many hundred cells that all differ in style are affected.
    """
    size = _RUN_BYTES * len(line) + _CHARACTER_BYTES * sum(len(text) for text, _ in line)
    if size <= PICTURE_BYTES // rows:
        return line
    texts = (text if "w" not in style else text[0] if style["w"] == 1 else "  " for text, style in line)
    return [("".join(texts).rstrip(" "), {})]


class PictureDiffs:
    """The newest picture and, for each row, the number of the picture in which it last changed. For one thread."""

    def __init__(self) -> None:
        self._frame = 0  # the number of the newest picture
        self._picture: Picture | None = None
        self._changed: list[int] = []
        self._sent: deque[int] = deque(maxlen=REACH)  # the numbers of the last pictures that diff() returned

    def update(self, picture: Picture) -> None:
        """Make `picture` the newest. It gets a number of its own if it differs from the one before."""
        old = self._picture
        if picture == old:
            return
        self._frame += 1
        self._picture = picture
        if old is None or (old.cols, old.rows) != (picture.cols, picture.rows):
            self._changed = [self._frame] * picture.rows
            self.restart()
            return
        for row, (before, now) in enumerate(zip(old.lines, picture.lines, strict=True)):
            if before != now:
                self._changed[row] = self._frame

    def restart(self) -> None:
        """Make the next diff() the whole picture, for a client that is new."""
        self._sent.clear()

    def diff(self) -> Event | None:
        """What changed since the picture REACH diffs ago; None if the newest picture was returned already."""
        if self._sent and self._sent[-1] == self._frame:
            return None
        base = self._sent[0] if self._sent else 0
        self._sent.append(self._frame)
        return self._event(base)

    def full(self) -> Event:
        """The whole picture. Only after an update()."""
        return self._event(0)

    def _event(self, base: int) -> Event:
        picture = self._picture
        assert picture is not None
        changed = [row for row in range(picture.rows) if self._changed[row] > base]
        lines = [[row, [list(run) for run in picture.lines[row]]] for row in changed]
        return ev.claude_screen(
            picture.cols, picture.rows, picture.cursor, lines, picture.title, frame=self._frame, base=base
        )
