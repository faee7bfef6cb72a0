"""What the tests of the archive share: homes of Claude with sessions that are over."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightings import SESSION, as_line
from support import DATA

from claude_mpm.archive.catalog import SessionFile
from claude_mpm.feed.event import Event

PROJECT = "-home-u-proj1"
PROCESS = {"session.start", "session.end"}  # told by the monitor about the process while Claude runs


def recorded_home(config_dir: Path, version: str) -> SessionFile:
    """The recorded session of a version, as Claude left it."""
    project = config_dir / "projects" / PROJECT
    shutil.copytree(DATA / "transcripts" / version, project)
    return SessionFile(project / f"{SESSION}.jsonl", SESSION)


def write_session(
    config_dir: Path, session_id: str, *records: Mapping[str, Any], project: str = "-w", at: float
) -> Path:
    """A transcript with these records, last written at `at` (seconds since the epoch)."""
    path = config_dir / "projects" / project / f"{session_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(as_line(record) + b"\n" for record in records))
    os.utime(path, (at, at))
    return path


def session_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def prompt(text: str, at: str = "2026-11-01T10:00:00.000Z", **fields: Any) -> dict[str, Any]:
    record = {
        "parentUuid": None,
        "type": "user",
        "cwd": "/w",
        "version": "2.1.330",
        "gitBranch": "main",
        "timestamp": at,
    }
    return record | {"message": {"role": "user", "content": text}, "uuid": f"u {text}", "sessionId": "s"} | fields


def answer(text: str, at: str = "2026-11-01T10:00:05.000Z", **fields: Any) -> dict[str, Any]:
    message = {"id": f"msg {text}", "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "sessionId": "s", "message": message, "uuid": text, "timestamp": at} | fields


def calls(tool: str, given: Any, at: str = "2026-11-01T10:00:06.000Z", **fields: Any) -> dict[str, Any]:
    content = [{"type": "tool_use", "id": f"toolu {tool}", "name": tool, "input": given}]
    message = {"id": f"msg {tool}", "role": "assistant", "model": "m", "content": content}
    return {"type": "assistant", "sessionId": "s", "message": message, "uuid": tool, "timestamp": at} | fields


def comparable(event: Event) -> str:
    """An event as a text that is equal for equal events."""
    at = None if event.time is None else round(event.time, 3)
    return json.dumps([event.type, at, event.session_id, event.source, event.data], sort_keys=True, default=dict)
