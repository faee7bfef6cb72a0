"""What a step of the story makes happen, and how the file system sees it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line to append to a transcript."""

    path: Path
    record: Record


@dataclass(frozen=True)
class File:
    """A small file: `create` and `in place` write it, `rename` replaces it atomically, `remove` deletes it."""

    path: Path
    how: str
    record: Record = field(default_factory=dict)


@dataclass(frozen=True)
class Hook:
    """The payload of a hook to run."""

    payload: Record


@dataclass(frozen=True)
class Out:
    """A line of print mode's stream-json output."""

    record: Record


Effect = Line | File | Hook | Out


def append_line(line: Line) -> None:
    """Append to the transcript in a single write, as Claude does: a reader never sees half a line of ours.

    Raises:
        OSError: the file cannot be written.
    """
    line.path.parent.mkdir(parents=True, exist_ok=True)
    with line.path.open("ab", buffering=0) as file:
        file.write(json.dumps(line.record, ensure_ascii=False).encode() + b"\n")


def write_file(file: File) -> None:
    """Write, replace or delete a small file the way Claude does it.

    Raises:
        OSError: the file cannot be written.
    """
    if file.how == "remove":
        file.path.unlink(missing_ok=True)
        return
    file.path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(file.record, ensure_ascii=False, indent=None if file.how == "in place" else 2)
    if file.how == "rename":
        fresh = file.path.with_name(f"{file.path.name}.tmp.{uuid.uuid4().hex[:8]}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file.path)
    else:
        file.path.write_text(text, encoding="utf-8")
