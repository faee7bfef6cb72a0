"""A recorded session as an asciicast, which asciinema and its players show as a film of the terminal.

The format is asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/): a header, then [seconds, "o", text] for output
and [seconds, "r", "COLSxROWS"] for a resize. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from claude_mpm.archive.export.frames import Frame
from claude_mpm.archive.recording import SIZE
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.sources.parse.json_values import seconds
from claude_mpm.system import json_text

USUAL_SIZE = (24, 80)  # rows and columns where none was recorded, as for output that went to a pipe


class Beginning(NamedTuple):
    """When the first output came, in seconds since the epoch, and the terminal's size at that moment."""

    time: float
    rows: int
    cols: int


def beginning(frames: Iterable[Frame], size: tuple[int, int] | None = None) -> Beginning:
    """Look for the first output. Reads no further.

    Args:
        size: rows and columns of the terminal, where the frames do not say.

    Raises:
        UsageError: the session has no output.
    """
    size = size or USUAL_SIZE
    for frame in frames:
        size = _size(frame) or size
        if frame["type"] == ev.CLAUDE_OUTPUT:
            return Beginning(_time(frame, 0.0), *size)
    raise UsageError(
        "this session has no recorded output: Claude's transcripts do not contain it, and it is seen only with "
        "--launch-method subprocess; record the next session with --record"
    )


def lines(frames: Iterable[Frame], begin: Beginning) -> Iterator[bytes]:
    """The lines of the asciicast, for the session that begins like this."""
    header: dict[str, Any] = {"version": 2, "width": begin.cols, "height": begin.rows, "timestamp": int(begin.time)}
    yield json_text.dumps(header) + b"\n"
    shown, now = (begin.rows, begin.cols), 0.0
    has_begun = False
    for frame in frames:
        now = max(now, round(_time(frame, begin.time + now) - begin.time, 6))  # players expect times that never fall
        if frame["type"] == ev.CLAUDE_OUTPUT:
            has_begun = True
            yield json_text.dumps([now, "o", frame["data"]["content"]]) + b"\n"
        elif has_begun and (size := _size(frame)) and size != shown:
            shown = size
            yield json_text.dumps([now, "r", f"{size[1]}x{size[0]}"]) + b"\n"


def _size(frame: Frame) -> tuple[int, int] | None:
    if frame["type"] != SIZE:
        return None
    rows, cols = frame["data"].get("rows"), frame["data"].get("cols")
    return (rows, cols) if isinstance(rows, int) and isinstance(cols, int) and rows > 0 and cols > 0 else None


def _time(frame: Frame, otherwise: float) -> float:
    at = seconds(frame["timestamp"])
    return otherwise if at is None else at
