"""The pictures of a terminal whose output was recorded, one after another.

Where screen.py shows a running terminal to clients that may miss pictures, this makes all of them in order, for a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.screen.emulator_process import EmulatorProcess
from claude_mpm.screen.pictures import PictureDiffs
from claude_mpm.screen.screen import MAX_SIZE, MIN_SIZE

WHOLE_EVERY = 100  # pictures; a reader that jumps back goes on from a whole picture, at most this many before


class Film:
    """A terminal that is fed recorded output. For one thread. Every method may block while the emulator is busy.

    Every method but close() raises RuntimeError once the emulator has ended, which hostile output can bring about.
    """

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._emulator = emulator
        self._diffs = PictureDiffs()
        self._taken = 0  # pictures

    @classmethod
    def open(cls, rows: int, cols: int) -> Film:
        """Start with an empty terminal of this size; close() ends it.

        Raises:
            OSError: the emulator's process cannot be started.
        """
        return cls(EmulatorProcess.spawn(*_bounded(rows, cols)))

    def resize(self, rows: int, cols: int) -> None:
        """The terminal has this size from now on."""
        self._emulator.resize(*_bounded(rows, cols))

    def feed(self, text: str) -> None:
        """The program writes `text`."""
        self._emulator.feed(text)

    def picture(self) -> Mapping[str, Any] | None:
        """The data of a `claude.screen` event with what has changed; None if nothing has, or a repaint is half done."""
        picture = self._emulator.picture()
        if self._emulator.is_held:
            return None
        self._diffs.update(picture)
        if self._taken % WHOLE_EVERY == 0:
            self._diffs.restart()
        event = self._diffs.diff()
        if event is None:
            return None
        self._taken += 1
        return event.data

    def close(self) -> None:
        """End the emulator's process."""
        self._emulator.close()


def _bounded(rows: int, cols: int) -> tuple[int, int]:
    """The nearest size that the emulator may have."""
    return (
        min(max(rows, MIN_SIZE[0]), MAX_SIZE[0]),
        min(max(cols, MIN_SIZE[1]), MAX_SIZE[1]),
    )
