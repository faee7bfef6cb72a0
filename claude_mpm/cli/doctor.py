"""`claude-mpm doctor`: which sources a given claude offers, and what to do about those that are missing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_mpm.cli.options import command_parser
from claude_mpm.errors import ClaudeMpmError
from claude_mpm.launch.command.command_line import SETTINGS_SINCE, Command, build

VERSION_TIME = 15.0  # seconds; `claude --version` takes one with node, and several on a cold disk
INOTIFY = Path("/proc/sys/fs/inotify")
Version = tuple[int, ...]


def run(args: Sequence[str]) -> int:
    """Print the findings and return the exit code. Blocks up to VERSION_TIME."""
    parser = command_parser(
        "doctor",
        "Say what can be seen of the installed claude, and how to see more.",
        "exit code: 0 Claude and its transcript can be followed; 1 they cannot; 2 usage",
    )
    parser.add_argument(
        "--claude",
        default=os.environ.get("CLAUDE_MPM_CLAUDE") or "claude",
        metavar="PATH",
        help="the claude to examine (default: $CLAUDE_MPM_CLAUDE, or claude)",
    )
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
    """One source of events, or one thing they need.

    Attributes:
        ok: whether it is there.
        says: what it gives, or why it is missing.
        hint: what to do when it is missing.
    """

    name: str
    ok: bool
    says: str
    hint: str | None = None


def examine(claude: str, environ: Mapping[str, str]) -> list[Finding]:
    """Examine one claude and this machine. Runs `claude --version` and nothing else; blocks up to VERSION_TIME."""
    try:
        command = build(claude, ("--version",), environ)
    except ClaudeMpmError as error:
        return [Finding("claude", False, "not found", str(error)), *_machine()]
    version, said = version_of(command)
    if version is None:
        return [
            Finding("claude", False, f"{command.executable}: {said}", "choose another with --claude PATH"),
            *_machine(),
        ]
    found = [Finding("claude", True, f"{said}, {command.executable}")]
    return found + sources(version, environ) + _files(command.config_dir) + _machine()


def version_of(command: Command) -> tuple[Version | None, str]:
    """The version as numbers, or None, and the line that claude printed, or why there is none."""
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
        return None, f"--version exited with code {done.returncode} and printed no version"
    return tuple(int(part) for part in number.groups()), said


def sources(version: Version, environ: Mapping[str, str]) -> list[Finding]:
    """What a version of Claude Code records; docs/claude-code.md has the table. Pure."""
    session_file, hooks = version >= (2, 1), version >= SETTINGS_SINCE
    todo_tools = environ.get("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1") not in ("0", "false")
    return [
        Finding("transcript", True, "messages, tools, usage, agents" + ("" if version >= (2,) else "; an agent's messages appear when it ends")),
        Finding(
            "hooks", hooks, "permission dialogs, session changes, ends of agents" if hooks else "this version has no --settings",
            None if hooks else "update claude to see permission dialogs",
        ),
        Finding(
            "session file", session_file, "idle, busy or waiting, at any moment" if session_file else "not written by this version",
            None if session_file else "an interrupt with Esc is read from the transcript; update claude to see it at once",
        ),
        Finding(
            "todos", version < (2, 1, 250) or todo_tools, "the todo list" if todo_tools else "turned off by CLAUDE_CODE_ENABLE_TODO_TOOLS",
            None if todo_tools else "unset CLAUDE_CODE_ENABLE_TODO_TOOLS",
        ),
    ]  # fmt: skip


def _files(config_dir: Path) -> list[Finding]:
    if not config_dir.exists():
        return [Finding("config directory", True, f"{config_dir} (claude creates it at its first start)")]
    ok = os.access(config_dir, os.R_OK | os.X_OK)
    hint = (
        None
        if ok
        else f"make {config_dir} readable for yourself; without it only the process and its output can be seen"
    )
    return [Finding("config directory", ok, str(config_dir), hint)]


def _machine() -> list[Finding]:
    watches = _number(INOTIFY / "max_user_watches")
    few = watches is not None and watches < 1024
    screen = importlib.util.find_spec("pyghostty") is not None
    return [
        Finding(
            "file events", not few, "inotify" if watches is not None else "of the operating system",
            "when the few inotify watches run out, files are polled; more: sysctl fs.inotify.max_user_watches=65536" if few else None,
        ),
        Finding(
            "screen", screen, "a live picture of the terminal on the page" if screen else "pyghostty is not installed",
            None if screen else f"{sys.executable} -m pip install 'pyghostty>=0.1.3,<0.2' (wheels for Linux with glibc, and macOS 13 or later)",
        ),
    ]  # fmt: skip


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
