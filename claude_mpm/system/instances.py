"""Who else is running: one file per instance, `<state_dir>/instances/<instance_id>.json`, and who holds a port.

A file counts while the process that wrote it runs; pid and start time together say so. The rest is cleared away by
whoever looks. The token is in the file, which only its user can read, so that tools of the same user need no typing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from claude_mpm.config import Config
from claude_mpm.errors import UsageError
from claude_mpm.system.files import read_file
from claude_mpm.system.json_text import dumps, loads
from claude_mpm.system.processes import pid_namespace, process_identity

MAX_BYTES = 64 * 1024  # of one file
MAX_FILES = 1_000
DAY = 24 * 3600.0  # seconds; an unreadable file is kept that long, since a newer version may have written it
WEEK = 7 * DAY  # a file of another machine or container that shares the home directory
MAX_COMMAND = 100  # characters of a command line shown
INSTANCE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
NEEDED = {"instance_id": str, "port": int, "host": str, "working_dir": str, "pid": int, "started_at": str}


class Holder(NamedTuple):
    """The process that listens on a port. `cwd` is known only if it is a claude-mpm of this user."""

    pid: int
    command: str
    cwd: str | None = None

    def __str__(self) -> str:
        """Text that completes "port 8765 is taken by"."""
        if self.cwd is not None:
            return f"another claude-mpm, watching {self.cwd} (pid {self.pid})"
        return f"{self.command or 'a process'} (pid {self.pid})"


def register(state_dir: Path, info: Mapping[str, Any], token: str | None, watched_pid: int | None = None) -> None:
    """Say that this process serves `info` (as in `session.start`), and watches the Claude `watched_pid`.

    Raises:
        OSError: the file cannot be written.
        UsageError: `info` would not be read again by live().
    """
    import tempfile  # here, since it takes as long to load as all that a reader of the registry needs

    if (wrong := _wrong(info)) is not None:
        raise UsageError(f"not an instance: {wrong}")
    directory = state_dir / "instances"
    for made in (state_dir, directory):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(directory, 0o700)  # an older one may be open to others
    content = dumps(
        {
            "info": dict(info),
            "token": token,
            "where": pid_namespace(),
            "process": process_identity(os.getpid()),
            "watched": watched_pid and (process_identity(watched_pid) or (watched_pid, 0.0)),  # it may have ended
        }
    )
    fd, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=directory)  # mode 0600
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.replace(temporary, directory / f"{info['instance_id']}.json")
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def unregister(state_dir: Path, instance_id: str) -> None:
    """Undo register(). Does nothing if the instance is not registered."""
    if INSTANCE_ID.fullmatch(instance_id):
        _remove(state_dir / "instances" / f"{instance_id}.json")


def live(state_dir: Path) -> list[dict[str, Any]]:
    """`instance_info` of every running instance of this user, oldest first. Removes the files of those that died."""
    return [info for info, _ in live_with_tokens(state_dir)]


def live_with_tokens(state_dir: Path) -> list[tuple[dict[str, Any], str | None]]:
    """As live(), each with the token that it asks of its clients; None where it asks for none."""
    records = sorted(_records(state_dir), key=lambda record: str(record["info"]["started_at"]))
    return [(record["info"], _token(record)) for record in records]


def token_for(port: int, state_dir: Path | None = None) -> str | None:
    """The token of the running instance on `port`; None if there is none, or it needs no token."""
    for record in _records(state_dir or Config().state_dir):
        if record["info"]["port"] == port:
            return _token(record)
    return None


def who_holds(port: int, state_dir: Path | None = None) -> Holder | None:
    """The process that listens on `port` of the loopback interface; None if there is none, or we may not see it."""
    for record in _records(state_dir or Config().state_dir):
        info = record["info"]
        if info["port"] == port:
            return Holder(info["pid"], "claude-mpm", _printable(info["working_dir"]))
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
                continue
            if connection.pid and _reached_by_loopback(connection.laddr.ip):  # no pid: another user's
                return Holder(connection.pid, _command(connection.pid))
    except (psutil.Error, OSError) as error:
        _log("who holds port %s: %s", port, error)
    return None


def is_ending(port: int, state_dir: Path) -> bool:
    """Whether the Claude that the instance on `port` watched has ended: its monitor is about to give up the port."""
    for record in _records(state_dir):
        if record["info"]["port"] == port:
            watched = record.get("watched")
            return isinstance(watched, list) and len(watched) == 2 and process_identity(watched[0]) != tuple(watched)
    return False


def _records(state_dir: Path) -> Iterator[dict[str, Any]]:
    """The records of running instances."""
    directory = state_dir / "instances"
    try:
        names = sorted(os.listdir(directory))[:MAX_FILES]
    except OSError:
        return
    where = pid_namespace()
    for path in (directory / name for name in names):
        try:
            record = _read(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            _log("instance file left aside: %s: %s", path, error)
            _remove(path, older_than=DAY)
            continue
        pid, started = record["process"]
        if record["where"] != where:
            _remove(path, older_than=WEEK)
        elif process_identity(pid) == (pid, started):
            yield record
        else:
            _remove(path)


def _read(path: Path) -> dict[str, Any]:
    """Raises OSError and ValueError."""
    if path.suffix != ".json":
        raise ValueError("not an instance's")
    record = loads(read_file(path, MAX_BYTES)[0])
    if not isinstance(record, dict) or not isinstance(record.get("info"), dict):
        raise ValueError("another shape")
    if (wrong := _wrong(record["info"])) is not None:
        raise ValueError(wrong)
    process = record.get("process")
    if not (isinstance(process, list) and len(process) == 2 and isinstance(process[0], int) and "where" in record):
        raise ValueError("no process")
    return record


def _token(record: Mapping[str, Any]) -> str | None:
    token = record.get("token")
    return token if isinstance(token, str) else None


def _wrong(info: Mapping[str, Any]) -> str | None:
    for name, kind in NEEDED.items():
        if not isinstance(info.get(name), kind) or isinstance(info[name], bool):
            return f"{name} is missing or of another type"
    return None if INSTANCE_ID.fullmatch(info["instance_id"]) else "instance_id is not one"


def _log(message: str, *args: object) -> None:
    import logging  # here, since `claude-mpm status` has no time to load it for nothing

    logging.getLogger(__name__).debug(message, *args)


def _remove(path: Path, older_than: float | None = None) -> None:
    with suppress(OSError):
        if older_than is None or time.time() - path.lstat().st_mtime > older_than:
            path.unlink()


def _reached_by_loopback(address: str) -> bool:
    import ipaddress

    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _command(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return _printable(" ".join(process.cmdline()) or process.name())
    except psutil.Error:
        return ""


def _printable(text: str) -> str:
    """`text` on one line: without control characters, and cut to MAX_COMMAND."""
    shown = "".join(character if character.isprintable() else "?" for character in text.strip())
    return shown if len(shown) <= MAX_COMMAND else f"{shown[:MAX_COMMAND]}…"
