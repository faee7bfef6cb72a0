"""`claude-mpm sessions [TEXT]`: the sessions Claude has kept, newest first."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from claude_mpm.cli.options import command_parser
from claude_mpm.cli.terminal_lines import printable
from claude_mpm.config import Config

EPILOG = """\
TEXT is searched for in prompts, answers and tools' inputs, without regard to the case of ASCII letters.

exit code: 0, also when there are none; 2 usage
"""
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # seconds
PROGRESS_AFTER = 0.5  # seconds; a search that is done by then needs no progress
PROGRESS_EVERY = 0.1  # seconds
MAX_TITLE, MAX_PROJECT = 60, 24  # characters of a line


def run(args: Sequence[str]) -> int:
    parser = command_parser("sessions", "List the sessions Claude Code has kept, newest first.", EPILOG)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="only sessions in which it occurs, with the line")
    parser.add_argument("--project", type=Path, metavar="DIR", help="only sessions started in DIR or below")
    parser.add_argument(
        "--since", type=_since, metavar="WHEN", help="only sessions written to since: 90m, 12h, 7d, 2w or 2026-01-31"
    )
    parser.add_argument("--json", action="store_true", help="the list as JSON, as get_sessions gives it")
    chosen = parser.parse_args(args)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # on a terminal without UTF-8, a `?` rather than an exception
    rows = _rows(chosen.text, chosen.project, chosen.since)
    if chosen.json:
        print(json.dumps(list(rows), indent=2))
        return 0
    any_found = False
    for row in rows:
        any_found = True
        print(_line(row), flush=True)
        if "match" in row:
            print(f"    {row['match']['role']}: {printable(row['match']['line'])}", flush=True)
    if not any_found:
        print("No sessions were found.", file=sys.stderr)
    return 0


def _rows(text: str | None, project: Path | None, since: float | None) -> Iterator[dict[str, Any]]:
    """The rows of get_sessions, each as soon as it is found."""
    from claude_mpm.archive import catalog
    from claude_mpm.archive.merge import AgentPaths
    from claude_mpm.archive.past import recorded_sessions, row_of
    from claude_mpm.archive.search import Needle

    listed = catalog.transcripts(catalog.config_dir(os.environ), project)
    recorded, agents = recorded_sessions(Config().recordings_dir), AgentPaths()
    needle = Needle(text) if text else None
    progress = _Progress(len(listed))
    for number, one in enumerate(listed):
        if since is not None and one.mtime < since:
            break
        progress.show(number)
        row = row_of(one, project, needle, agents)
        if row is not None:
            progress.clear()
            yield row | {"recorded": one.file.session_id in recorded}
    progress.clear()


class _Progress:
    """How far a search has come, on a terminal's last line, while it takes long."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next = time.monotonic() + PROGRESS_AFTER if sys.stderr.isatty() else float("inf")
        self._is_shown = False

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            print(f"\rsearched {done} of {self._total} sessions", end="", file=sys.stderr, flush=True)
            self._next, self._is_shown = now + PROGRESS_EVERY, True

    def clear(self) -> None:
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False


def _line(row: Mapping[str, Any]) -> str:
    started, ended = _moment(row["started_at"]), _moment(row["ended_at"])
    at = started or ended
    when = at.astimezone().strftime("%Y-%m-%d %H:%M") if at else "?"
    length = _length((ended - started).total_seconds()) if started and ended else "?"
    project = _cut(printable(Path(row["working_dir"]).name if row["working_dir"] else "?"), MAX_PROJECT)
    title = _cut(printable(row["title"] or "(no prompt)"), MAX_TITLE)
    return f"{when:16}  {length:>7}  {_size(row['bytes']):>7}  {project:12}  {title}  {row['session_id']}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _length(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if hours < 2 else f"{hours:.0f} h"


def _size(size: float) -> str:
    if size < 1e6:
        return f"{math.ceil(size / 1e3)} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _since(text: str) -> float:
    """An argparse type: seconds since the epoch."""
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if match is not None:
        return time.time() - int(match[1]) * UNITS[match[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; give 90m, 12h, 7d, 2w or a date such as 2026-01-31"
        ) from None
