"""A session as one file to keep or to give away: a page, a text, JSON Lines or an asciicast. Blocks on the disk."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

from claude_mpm.archive import recording
from claude_mpm.archive.export import cast, markdown, page_bundle
from claude_mpm.archive.export.filming import OpenFilm, filmed
from claude_mpm.archive.export.frames import Frame
from claude_mpm.archive.export.redact import Frames, Redactor
from claude_mpm.feed import event as ev
from claude_mpm.sources.parse.json_values import seconds
from claude_mpm.system import json_text

Format = Literal["html", "jsonl", "md", "cast"]
FORMATS: tuple[Format, ...] = ("html", "jsonl", "md", "cast")
PAGE_OUTPUT = 2000  # newest claude.output events in a page, which shows no more of them
_OWN = frozenset({recording.START, recording.SIZE, recording.END})


def write(
    frames: Frames,
    form: Format,
    *,
    redactor: Redactor | None = None,
    size: tuple[int, int] | None = None,
    open_film: OpenFilm | None = None,
) -> Iterator[bytes]:
    """The file, in pieces. `frames` is called up to three times.

    Args:
        redactor: masks secrets, and has counted them once the last piece was made; None to leave them in.
        size: rows and columns of the terminal, where the frames do not say.
        open_film: opens the terminal that makes a page's pictures; without it the page has none.

    Raises:
        UsageError: the session has nothing to show in this format.
    """
    if form == "cast":
        begin = cast.beginning(frames(), size)
        return cast.lines(_masked(frames, redactor), begin)
    if form == "md":
        return (line.encode("utf-8", "replace") for line in markdown.lines(events(_masked(frames, redactor))))
    if form == "jsonl":
        return (json_text.dumps(frame) + b"\n" for frame in events(_masked(frames, redactor)))
    return _page(frames, redactor, size, open_film)


def _masked(frames: Frames, redactor: Redactor | None) -> Iterable[Frame]:
    return frames() if redactor is None else redactor.redact(frames)


def events(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames that a client could have received: not a recording's own lines, and no pictures of the screen."""
    return (frame for frame in frames if frame["type"] not in _OWN and frame["type"] != ev.CLAUDE_SCREEN)


def _page(
    frames: Frames, redactor: Redactor | None, size: tuple[int, int] | None, open_film: OpenFilm | None
) -> Iterator[bytes]:
    title, outputs = "claude-mpm", 0
    first = last = 0.0  # output, in seconds since the epoch
    for frame in frames():
        if frame["type"] == ev.CLAUDE_OUTPUT:
            outputs += 1
            last = seconds(frame["timestamp"]) or last
            first = first or last
        if frame["type"] == ev.SESSION_START and title == "claude-mpm":
            directory = str((frame["data"].get("instance_info") or {}).get("working_dir") or "")
            title = f"{directory.rstrip('/').rpartition('/')[2] or 'session'} · {frame['timestamp'][:10]} · claude-mpm"
    found = _masked(frames, redactor)
    if open_film is not None:
        found = filmed(found, open_film, size, last - first)
    found = (frame for frame in found if frame["type"] not in _OWN)
    return page_bundle.page(title, _packed(_without_old_output(found, outputs - PAGE_OUTPUT)))


def _without_old_output(frames: Iterable[Frame], surplus: int) -> Iterator[Frame]:
    for frame in frames:
        if frame["type"] == ev.CLAUDE_OUTPUT and surplus > 0:
            surplus -= 1
        else:
            yield frame


def _packed(frames: Iterable[Frame]) -> bytes:
    """JSON Lines, compressed with gzip, as base64."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: the gzip format (zlib.h, deflateInit2)
    packed = io.BytesIO()
    for frame in frames:
        packed.write(packer.compress(json_text.dumps(frame) + b"\n"))
    packed.write(packer.flush())
    return base64.b64encode(packed.getvalue())
