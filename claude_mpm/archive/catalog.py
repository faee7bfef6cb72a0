"""Which sessions Claude Code has kept: where their files are, and how a user names one.

Claude keeps one transcript per session, `projects/<slug>/<session id>.jsonl`, and its subagents' transcripts inside it
(1.x), beside it as `agent-<id>.jsonl` (2.0) or below it in `<session id>/subagents/` (2.1). Seen in 1.0.128, 2.0.77 and
2.1.330. Nothing here writes, follows a symbolic link or reads more than the beginning of a file. Any thread; blocks on
the disk.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from claude_mpm.errors import UsageError
from claude_mpm.sources.files.transcripts import slug
from claude_mpm.system.files import read_head
from claude_mpm.system.json_text import loads

Kind = Literal["transcript", "recording", "export"]

LAST = "last"  # names the session that was written to most recently
HEAD_BYTES = 64 * 1024  # of a file the user named: enough to tell what kind of file it is
MAX_NAMED = 5  # sessions an error message lists
# Claude Code accepts nothing but UUIDs as session ids (`--session-id`, 1.0.128 to 2.1.330).
_SESSION_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{0,35}", re.IGNORECASE)
_RECORD_BEGINS = (b'{"parentUuid":', b'{"isSidechain":', b'{"sessionId":')


@dataclass(frozen=True, slots=True)
class SessionFile:
    """The file a session is read from.

    Attributes:
        path: Claude's transcript, a recording (JSON Lines of this program's own events) or an exported page.
        session_id: Claude's id of the session; for a file that does not say, its name.
    """

    path: Path
    session_id: str
    kind: Kind = "transcript"


@dataclass(frozen=True, slots=True)
class Listed:
    """A transcript as its directory lists it, without a look inside. `mtime`: seconds since the epoch; `size`: bytes."""

    file: SessionFile
    mtime: float
    size: int


def config_dir(environ: Mapping[str, str]) -> Path:
    """Where Claude Code keeps its files: $CLAUDE_CONFIG_DIR, else ~/.claude."""
    chosen = environ.get("CLAUDE_CONFIG_DIR")
    return Path(chosen).absolute() if chosen else Path.home() / ".claude"


def transcripts(config_dir: Path, project: Path | None = None) -> list[Listed]:
    """Every session's transcript, the most recently written first.

    Symbolic links and files that are not named like a session are passed over.

    Args:
        project: only sessions that were started in this directory or below it.
    """
    listed = [
        found
        for directory in _directories(config_dir / "projects")
        if project is None or _may_be_below(directory.name, project)
        for found in _sessions_in(directory)
    ]
    return sorted(listed, key=lambda one: (one.mtime, one.file.session_id), reverse=True)


def find(session: str, config_dir: Path) -> SessionFile:
    """The file of the session that the user names by its id, the beginning of its id, `last`, or a path.

    Raises:
        UsageError: there is no such session, several begin like this, or the file holds no session.
    """
    if os.sep in session or session.endswith((".jsonl", ".html")) or Path(session).is_file():
        return identify(Path(session).resolve())  # the user may name a link; nothing else follows one
    found = transcripts(config_dir)
    if session != LAST:
        found = [one for one in found if _PREFIX.fullmatch(session) and _begins(one.file.session_id, session)]
    if not found and session == LAST:
        raise UsageError(f"Claude Code has kept no sessions in {config_dir / 'projects'}")
    if not found:
        raise UsageError(f"no session {session!r} was found; `claude-mpm sessions` lists them")
    ids = list(dict.fromkeys(one.file.session_id for one in found))
    if session != LAST and len(ids) > 1:
        some = ", ".join(ids[:MAX_NAMED]) + (", …" if len(ids) > MAX_NAMED else "")
        raise UsageError(f"{len(ids)} sessions begin with {session!r}: {some}")
    return found[0].file  # the same id in two directories: Claude goes on with the newest


def by_id(session_id: str, config_dir: Path) -> SessionFile | None:
    """The transcript of the session with exactly this id. Looks only for that name, in each project's directory."""
    if not _SESSION_ID.fullmatch(session_id):
        return None
    found = []
    for directory in _directories(config_dir / "projects"):
        path = directory / f"{session_id}.jsonl"
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append((status.st_mtime, path))
    return SessionFile(max(found)[1], session_id) if found else None


def identify(path: Path) -> SessionFile:
    """What kind of session's file this is, judged by how it begins.

    Raises:
        UsageError: it cannot be read, or holds no session.
    """
    try:
        head = read_head(path, HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if head[:1024].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return SessionFile(path, path.stem, "export")
    for line in head.split(b"\n"):
        record = _record(line)
        if "seq" in record and isinstance(record.get("data"), dict):
            return SessionFile(path, str(record.get("session_id") or path.stem), "recording")
        if "sessionId" in record or (record.get("type") == "summary" and "leafUuid" in record):
            return _transcript(path, record.get("sessionId"))
    if head.startswith(_RECORD_BEGINS) and b"\n" not in head:  # its first record is longer than what was read
        return _transcript(path, None)
    raise UsageError(
        f"{path} holds no session: it is neither a transcript of Claude Code nor a recording nor an export"
    )


def _transcript(path: Path, said: object) -> SessionFile:
    """A transcript. Its name is the session's id; the records of a fork or of a resumed 1.x may bear an older one."""
    if _SESSION_ID.fullmatch(path.stem) or not isinstance(said, str) or not said:
        return SessionFile(path, path.stem)
    return SessionFile(path, said)


def _record(line: bytes) -> Mapping[str, object]:
    try:
        record = loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _directories(projects: Path) -> Iterator[Path]:
    try:
        with os.scandir(projects) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    yield from (projects / name for name in names)


def _sessions_in(directory: Path) -> Iterator[Listed]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                stem, _, suffix = entry.name.rpartition(".")
                if suffix != "jsonl" or not _SESSION_ID.fullmatch(stem) or not entry.is_file(follow_symlinks=False):
                    continue
                status = entry.stat(follow_symlinks=False)
                yield Listed(SessionFile(directory / entry.name, stem), status.st_mtime, status.st_size)
    except OSError:
        return  # the directory has just been removed, or is not ours to read


def _may_be_below(name: str, project: Path) -> bool:
    """Whether a project's directory of this name may belong to `project`. The working directory itself decides later."""
    wanted = slug(os.path.realpath(project))[:200]  # Claude cuts a longer name and appends a hash (2.1.330)
    return name == wanted or name.startswith(f"{wanted.rstrip('-')}-")


def _begins(session_id: str, prefix: str) -> bool:
    return session_id.lower().startswith(prefix.lower())
