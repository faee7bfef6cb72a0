"""`claude-mpm doctor`: which sources a given claude offers, and what to do about a missing one."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_mpm.cli.options import command_parser
from claude_mpm.errors import ClaudeMpmError
from claude_mpm.launch.command import SETTINGS_SINCE, Command, build

VERSION_TIME = 15.0  # seconds; a node-based claude needs one, on a cold disk several
INOTIFY = Path("/proc/sys/fs/inotify")
Version = tuple[int, ...]


def run(args: Sequence[str]) -> int:
    parser = command_parser(
        "doctor",
        "Say what can be seen of a given claude, and what to do about the rest.",
        "exit code: 0 when Claude and its transcript can be followed, 1 when not, 2 usage",
    )
    parser.add_argument("--claude", default=os.environ.get("CLAUDE_MPM_CLAUDE") or "claude", metavar="PATH")
    chosen = parser.parse_args(args)
    findings = examine(chosen.claude, os.environ)
    for finding in findings:
        print(f"{'ok     ' if finding.ok else 'missing'}  {finding.name:16}  {finding.says}")
        if finding.hint and not finding.ok:
            print(f"{'':27}{finding.hint}")
    needed = {finding.name: finding.ok for finding in findings}
    return 0 if needed["claude"] and needed.get("config directory", True) else 1


@dataclass(frozen=True)
class Finding:
    """One source or need: is it there, what it gives, and what to do when it is not."""

    name: str
    ok: bool
    says: str
    hint: str | None = None


def examine(claude: str, environ: Mapping[str, str]) -> list[Finding]:
    """Look at one claude and this machine. Starts `claude --version` and nothing else; blocks up to VERSION_TIME."""
    try:
        command = build(claude, ("--version",), environ)
    except ClaudeMpmError as error:
        return [Finding("claude", False, "not found", str(error)), *_machine()]
    version, said = version_of(command)
    if version is None:
        return [
            Finding("claude", False, f"{command.executable}: {said}", "name another with --claude PATH"),
            *_machine(),
        ]
    found = [Finding("claude", True, f"{said}, {command.executable}")]
    return found + sources(version, environ) + _files(command.config_dir) + _machine()


def version_of(command: Command) -> tuple[Version | None, str]:
    """The version as numbers, and what claude said (or why it said nothing)."""
    try:
        done = subprocess.run(
            command.argv,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_TIME,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        return None, f"--version failed ({type(error).__name__})"
    said = done.stdout.strip().partition("\n")[0]
    number = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
    if done.returncode or number is None:
        return None, f"--version ended with code {done.returncode} and no version"
    return tuple(int(part) for part in number.groups()), said


def sources(version: Version, environ: Mapping[str, str]) -> list[Finding]:
    """What a version records (docs/claude-code.md has the table). Pure."""
    session_file, hooks = version >= (2, 1), version >= SETTINGS_SINCE
    todo_tools = environ.get("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1") not in ("0", "false")
    return [
        Finding("transcript", True, "messages, tools, usage, agents" + ("" if version >= (2,) else "; an agent's own lines come at its end")),
        Finding(
            "hooks", hooks, "permission dialogs, session changes, agents' ends" if hooks else "this version does not know --settings",
            None if hooks else "update claude to see permission dialogs",
        ),
        Finding(
            "session file", session_file, "idle, busy, waiting at any moment" if session_file else "not written by this version",
            None if session_file else "an interrupt by Esc is seen from the transcript; update claude for more",
        ),
        Finding(
            "todos", version < (2, 1, 250) or todo_tools, "the todo list" if todo_tools else "turned off by CLAUDE_CODE_ENABLE_TODO_TOOLS",
            None if todo_tools else "unset CLAUDE_CODE_ENABLE_TODO_TOOLS",
        ),
    ]  # fmt: skip


def _files(config_dir: Path) -> list[Finding]:
    if not config_dir.exists():
        return [Finding("config directory", True, f"{config_dir} (made by claude at its first start)")]
    ok = os.access(config_dir, os.R_OK | os.X_OK)
    hint = None if ok else f"make {config_dir} readable for you: without it only the process and its output are seen"
    return [Finding("config directory", ok, str(config_dir), hint)]


def _machine() -> list[Finding]:
    watches = _number(INOTIFY / "max_user_watches")
    few = watches is not None and watches < 1024
    screen = importlib.util.find_spec("pyghostty") is not None
    return [
        Finding(
            "file events", not few, "inotify" if watches is not None else "the system's own",
            "few inotify watches: files are polled when they run out; sysctl fs.inotify.max_user_watches=65536" if few else None,
        ),
        Finding(
            "screen", screen, "the terminal's picture on the page" if screen else "pyghostty is not installed",
            None if screen else "pip install pyghostty",
        ),
    ]  # fmt: skip


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
