"""`claude-mpm export SESSION`: a session as one file."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from claude_mpm.archive import catalog, recording
from claude_mpm.archive.export import export, frames
from claude_mpm.archive.export.export import FORMATS, Format
from claude_mpm.archive.export.filming import OpenFilm
from claude_mpm.archive.export.frames import Frame
from claude_mpm.archive.export.redact import Frames, Redactor
from claude_mpm.cli.options import command_parser
from claude_mpm.cli.terminal_lines import printable, say
from claude_mpm.client import Client, ProtocolError
from claude_mpm.config import Config
from claude_mpm.errors import ClaudeMpmError, UsageError
from claude_mpm.screen import emulator
from claude_mpm.screen.film import Film

PAGE_EVENTS = 10_000  # events asked for at a time, the most a server gives
_PORT = re.compile(r":(\d{1,5})")
_SUFFIXES: dict[str, Format] = {".html": "html", ".htm": "html", ".jsonl": "jsonl", ".md": "md", ".cast": "cast"}

EPILOG = """\
SESSION is the id of a session or its beginning, `last`, a transcript of Claude Code, a recording, an exported page, or
:PORT for a running claude-mpm, which has the newest events of its session.

formats:
  html    the monitor page with the session inside; it opens from disk, offline, in any browser (the default)
  md      a text to read: prompts, answers, tool calls, what was edited as diffs
  jsonl   the events, one JSON object a line, as docs/protocol.md describes them
  cast    the terminal as an asciicast v2, for asciinema; needs a recording (--record), or a running session

API keys, tokens, private keys, passwords in URLs and in assignments are masked, and how many were is said. Look at the file
before you give it away all the same: nothing recognises every secret.

exit code: 0; 1 the running claude-mpm cannot be reached, or the file cannot be written; 2 usage, or there is no such session
"""


class _Session(NamedTuple):
    name: str  # for the file's name
    frames: Frames
    size: tuple[int, int] | None = None  # rows and columns of the terminal, where the frames do not say


def run(args: Sequence[str]) -> int:
    """`claude-mpm export`. Returns the exit code. SystemExit as argparse raises it, ClaudeMpmError for `main`."""
    parser = command_parser("export", "Write a session to one file.", EPILOG)
    parser.add_argument("session", metavar="SESSION", help="an id or its beginning, `last`, a file, or :PORT")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: named after the session; - for stdout")
    parser.add_argument("--format", choices=FORMATS, help="default: by the suffix of FILE, else html")
    parser.add_argument("--no-redact", action="store_true", help="leave secrets in")
    chosen = parser.parse_args(args)
    form = _format(chosen)
    session = _running(chosen.session) or _ended(chosen.session, form)
    redactor = None if chosen.no_redact else Redactor()
    contents = export.write(session.frames, form, redactor=redactor, size=session.size, open_film=_film())
    path = chosen.output or f"claude-{session.name}.{form}"
    size = _write(path, contents)
    _report(path, size, redactor)
    return 0


def _format(chosen: argparse.Namespace) -> Format:
    if chosen.format:
        return next(form for form in FORMATS if form == chosen.format)
    return _SUFFIXES.get(Path(chosen.output).suffix.lower(), "html") if chosen.output else "html"


def _film() -> OpenFilm | None:
    """What makes pictures of the terminal, where its library is installed."""
    if not emulator.available():
        return None
    return Film.open


def _ended(name: str, form: Format) -> _Session:
    file = catalog.find(name, catalog.config_dir(os.environ))
    if form == "cast" and file.kind == "transcript":  # which has no output
        recorded = recording.of_session(Config().recordings_dir, file.session_id)
        file = file if recorded is None else catalog.identify(recorded)
    return _Session(re.sub(r"[^\w.-]", "_", file.session_id)[:80], lambda: frames.of_file(file))


# --- a session that is running ---------------------------------------------------------------------


def _running(name: str) -> _Session | None:
    """The session of the claude-mpm at :PORT; None for any other name."""
    port = _PORT.fullmatch(name)
    if port is None:
        return None
    if not 1 <= int(port[1]) <= 65535:
        raise UsageError(f"{name} is not a port: give one from :1 to :65535")
    token = os.environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN")
    with Client(int(port[1]), token=token) as client:
        history = _history(client)
        size = _terminal_size(client)
        session_id = client.greeting.get("session_id") or client.instance_id
    return _Session(str(session_id), lambda: history, size)


def _history(client: Client) -> list[Frame]:
    """Everything the server still has, oldest first. It keeps at most 32 MiB. Blocks and raises as Client.request()."""
    pages: list[list[Frame]] = []
    before: int | None = None
    while True:
        page = client.get_history(limit=PAGE_EVENTS, before=before)
        pages.append(page["events"])
        if not page["more"] or not page["events"]:
            return [frame for events in reversed(pages) for frame in events]
        before = int(page["events"][0]["seq"])


def _terminal_size(client: Client) -> tuple[int, int] | None:
    try:
        screen = client.request("get_screen")["data"]
        return int(screen["rows"]), int(screen["cols"])
    except (ProtocolError, KeyError, ValueError):  # it has no terminal, or no picture of it
        return None


# --- the file --------------------------------------------------------------------------------------


def _write(path: str, contents: Iterator[bytes]) -> int:
    """Write the file, which appears only once it is whole; `-` is stdout. Returns its size in bytes.

    Raises:
        ClaudeMpmError: it cannot be written.
    """
    if path == "-":
        return sum(sys.stdout.buffer.write(piece) for piece in contents)
    target = Path(path)
    partial: str | None = None
    try:
        # Beside the file, private to the user: a session is nobody else's business until he hands it on.
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name[:60]}-", delete=False) as file:
            partial = file.name
            size = sum(file.write(piece) for piece in contents)
        os.replace(partial, target)
        partial = None
        return size
    except OSError as error:
        raise ClaudeMpmError(f"{printable(path)} cannot be written: {error.strerror}") from None
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                os.unlink(partial)


def _report(path: str, size: int, redactor: Redactor | None) -> None:
    where = "" if path == "-" else f"{printable(path)}, {_bytes(size)}: "
    if redactor is None:
        say(f"{where}secrets were left in")
    else:
        say(f"{where}{_masked(redactor.counts)}")


def _masked(counts: Counter[str]) -> str:
    if not counts:
        return "no secrets were found"
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
    return f"{counts.total()} secrets were masked ({kinds})"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size // 1000, 1)} kB"
