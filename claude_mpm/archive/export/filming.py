"""Puts pictures of the terminal between the events of a recorded session, so that a page can show it at any time.

The terminal itself belongs to another room; a `Film` is what is needed of it. Pure, but for what the film does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from claude_mpm.archive.export.frames import Frame
from claude_mpm.archive.recording import SIZE
from claude_mpm.feed import event as ev
from claude_mpm.sources.parse.json_values import seconds

log = logging.getLogger(__name__)

INTERVAL = 0.5  # seconds between two pictures; a cursor on a time line is not placed more exactly
MAX_PICTURES = 2000  # of one film, whatever its length: about as much again as the events of a long session


class Film(Protocol):
    """A terminal that is fed recorded output (see screen/film.py). Raises RuntimeError when it has broken down."""

    def resize(self, rows: int, cols: int) -> None: ...

    def feed(self, text: str) -> None: ...

    def picture(self) -> Mapping[str, Any] | None: ...

    def close(self) -> None: ...


OpenFilm = Callable[[int, int], Film]  # takes rows and columns; raises OSError


def filmed(
    frames: Iterable[Frame], open_film: OpenFilm, size: tuple[int, int] | None, duration: float
) -> Iterator[Frame]:
    """The frames, with a `claude.screen` frame after output that has changed the picture.

    A film that breaks down costs the pictures after that moment, nothing else.

    Args:
        size: rows and columns of the terminal, where the frames do not say; without either there are no pictures.
        duration: seconds from the first output to the last.
    """
    camera = _Camera(open_film, size, max(INTERVAL, duration / MAX_PICTURES))
    try:
        last: Frame | None = None
        for frame in frames:
            yield from camera.picture_before(frame)
            yield frame
            camera.see(frame)
            last = frame
        if last is not None:
            yield from camera.take()
    finally:
        camera.close()


class _Camera:
    """Takes pictures of what the frames draw, at an interval."""

    def __init__(self, open_film: OpenFilm, size: tuple[int, int] | None, interval: float) -> None:
        self._open = open_film
        self._size = size
        self._interval = interval
        self._film: Film | None = None
        self._is_broken = False
        self._drawn: Frame | None = None  # the last output that is in no picture yet
        self._next = 0.0  # the time from which on a picture is due, in seconds since the epoch

    def picture_before(self, frame: Frame) -> Iterator[Frame]:
        """The picture that is due before `frame`, if one is."""
        if self._drawn is not None and (seconds(frame["timestamp"]) or 0.0) >= self._next:
            yield from self.take()

    def take(self) -> Iterator[Frame]:
        """A picture of what was drawn last, stamped with the time at which it was drawn."""
        drawn, self._drawn = self._drawn, None
        if drawn is None or self._film is None or self._is_broken:
            return
        try:
            data = self._film.picture()
        except RuntimeError as error:
            self._break(error)
            return
        if data is None:
            return
        self._next = (seconds(drawn["timestamp"]) or 0.0) + self._interval
        yield {
            **{key: drawn[key] for key in ("timestamp", "instance_id") if key in drawn},
            "type": ev.CLAUDE_SCREEN,
            "data": data,
        }

    def see(self, frame: Frame) -> None:
        """Draw what the frame says."""
        try:
            if frame["type"] == SIZE:
                self._size = int(frame["data"]["rows"]), int(frame["data"]["cols"])
                if self._film is not None and not self._is_broken:
                    self._film.resize(*self._size)
            elif frame["type"] == ev.CLAUDE_OUTPUT and self._size is not None and not self._is_broken:
                self._film = self._film or self._open(*self._size)
                self._film.feed(str(frame["data"].get("content", "")))
                self._drawn = frame
        except (RuntimeError, OSError) as error:
            self._break(error)
        except (KeyError, TypeError, ValueError):
            pass  # a size that is none

    def _break(self, error: Exception) -> None:
        log.warning("there are no more pictures of the terminal: %s", error)
        self._is_broken = True

    def close(self) -> None:
        if self._film is not None:
            self._film.close()
