"""The program as a user starts it: its environment built from nothing, an explicit executable in claude's place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import ROOT, TIMEOUT, wait_until

PROGRAM = [sys.executable, "-m", "claude_mpm"]
_URL = re.compile(r"http://localhost:(\d+)/")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing inherited."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        **more,
    }


def script(directory: Path, text: str, name: str = "claude") -> Path:
    """An executable shell script in claude's place."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def port_in(text: str | bytes) -> int | None:
    """The port of the page's URL the program announced."""
    found = _URL.search(text.decode(errors="replace") if isinstance(text, bytes) else text)
    return int(found[1]) if found else None


def registered(home: Path) -> list[dict[str, Any]]:
    """The instance files of this home."""
    return [json.loads(path.read_text()) for path in (home / ".claude-mpm" / "instances").glob("*.json")]


def run(
    *args: str | os.PathLike[str], home: Path, cwd: Path, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the program without a terminal to its end."""
    return subprocess.run(
        [*PROGRAM, *args], env=environment(home, **more), cwd=cwd, input=stdin, capture_output=True, timeout=TIMEOUT * 3
    )


def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_gone(pid: int) -> None:
    wait_until(lambda: gone(pid), f"the end of process {pid}")
