"""The real claude in a world of its own: installed into a cache, a temporary home, a scripted API, no network.

Nothing here may run where more than loopback can be reached: see in_namespace() and require_namespace().
"""

from __future__ import annotations

import difflib
import fcntl
import functools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from messages_api import MessagesApi
from support import DATA, ROOT, wait_until
from terminal import Terminal
from watching import SLOW, Watcher

Json = dict[str, Any]

HOME = Path.home()  # the user's own, looked up before any fixture replaces it
CACHE = Path(os.environ.get("CLAUDE_MPM_TEST_CACHE") or HOME / ".cache/claude-mpm-test-cli")
LATEST = "2.1.330"
OLD = "1.0.60"  # knows no --settings; every other case needs 1.0.128 or later
OLDEST = (1, 0, 128)
INSTALL_TIME = 300.0  # seconds; 175 MB from the registry
KEY = "sk-test-not-real"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, net/if.h


# --- which claude ----------------------------------------------------------------------------------


def executable(version: str) -> Path:
    """Where the claude of this version is in the cache, or will be."""
    return CACHE / version / "node_modules/.bin/claude"


def versions() -> list[str]:
    """CLAUDE_MPM_TEST_VERSIONS (comma between), else the latest known and whatever the cache has."""
    chosen = os.environ.get("CLAUDE_MPM_TEST_VERSIONS")
    if chosen:
        return [version.strip() for version in chosen.split(",") if version.strip()]
    cached = {path.name for path in CACHE.iterdir() if executable(path.name).exists()} if CACHE.is_dir() else set()
    known = sorted(cached | {LATEST}, key=_numbers)
    return [version for version in known if tuple(_numbers(version)) >= OLDEST]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


Case = Callable[..., None]


def latest_only(case: Case) -> Case:
    """A case for the latest of versions() only: what it shows is ours or the kernel's, or only that version can do it."""
    case.latest_only = True  # type: ignore[attr-defined]
    return case


def old_only(case: Case) -> Case:
    """A case for OLD and no other version."""
    case.old_only = True  # type: ignore[attr-defined]
    return case


def runs_with(case: Case, version: str) -> bool:
    if getattr(case, "old_only", False) or version == OLD:
        return version == OLD and getattr(case, "old_only", False)
    return not getattr(case, "latest_only", False) or version == versions()[-1]


@functools.cache  # without a network npm tries for half a minute: once is enough
def trouble_installing(version: str) -> str | None:
    """Put this version into the cache unless it is there. Returns why that cannot be done; None: it is there."""
    if executable(version).exists():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return f"claude {version} is not in {CACHE}, and there is no npm to install it with"
    package = f"@anthropic-ai/claude-code@{version}"
    command = [npm, "install", "--prefix", str(CACHE / version), package, "--no-audit", "--no-fund"]
    env = {**os.environ, "HOME": str(HOME)}
    try:
        subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=INSTALL_TIME)
    except subprocess.CalledProcessError as error:
        return f"npm could not install claude {version}: {error.stderr.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        return f"npm did not install claude {version} in {INSTALL_TIME:g} s"
    return None


# --- nowhere to call home to -----------------------------------------------------------------------


@functools.cache
def in_namespace() -> list[str]:
    """The command prefix that runs a program where only loopback is. Skips the test where the system forbids it."""
    flags = "-n" if os.geteuid() == 0 else "-rn"  # -r: as root of a user namespace of our own
    tried = (
        subprocess.run(["unshare", flags, "true"], capture_output=True, text=True) if shutil.which("unshare") else None
    )
    if tried is None or tried.returncode:
        pytest.skip(f"no network namespace to run claude in: {tried.stderr.strip() if tried else 'unshare is missing'}")
    return ["unshare", flags]


def require_namespace() -> None:
    """Bring loopback up; end the test run if there is any other way out."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        pytest.exit("the real claude is only run in a network namespace: use tests/test_real_cli.py", returncode=4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


# --- the world -------------------------------------------------------------------------------------


class World:
    """A home, a project and a scripted API; nothing of the environment outside is in it."""

    def __init__(self, version: str, api: MessagesApi, home: Path, project: Path) -> None:
        self.version, self.api, self.home, self.project = version, api, home, project
        self.claude = executable(version)
        self.env = {
            "PATH": os.pathsep.join(
                [str(Path(shutil.which("node") or "/usr/bin/node").parent), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "HOME": str(home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            "PYTHONPATH": str(ROOT),
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": KEY,
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_ENABLE_TODO_TOOLS": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }
        if os.geteuid() == 0:
            self.env["IS_SANDBOX"] = "1"  # else claude refuses to skip permissions as root
        self._seed()

    @property
    def background_agents(self) -> bool:
        """Whether subagents run beside the conversation (2.1.200 and later)."""
        return [int(part) for part in self.version.split(".")] >= [2, 1, 200]

    def _seed(self) -> None:
        """Past the first-run dialogs. 1.0.128 crashes without `allowedTools`."""
        self.project.mkdir(exist_ok=True)
        (self.home / ".claude").mkdir(parents=True)
        seed = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "bypassPermissionsModeAccepted": True,
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {str(self.project): {"hasTrustDialogAccepted": True, "allowedTools": [], "history": []}},
        }
        (self.home / ".claude.json").write_text(json.dumps(seed))

    def bare(self, *args: str) -> list[str]:
        """claude alone."""
        return [str(self.claude), *args]

    def wrapped(self, *args: str, options: Sequence[str] = (), method: str = "subprocess") -> list[str]:
        """claude through claude-mpm with these `options` of ours, as a child, on a port of its choice."""
        ours = ["--websocket", "--websocket-port", "0", "--launch-method", method, "--claude", str(self.claude)]
        return [sys.executable, "-m", "claude_mpm", *ours, *options, "--", *args]

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run to the end with nothing to read, as in a script."""
        return subprocess.run(
            argv, env=self.env, cwd=self.project, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SLOW
        )

    def terminal(self, argv: Sequence[str]) -> Terminal:
        return Terminal(argv, env=self.env, cwd=self.project, rows=40, cols=120)

    def registered(self) -> Json | None:
        """What the running claude-mpm tells of itself on disk."""
        for path in (self.home / ".claude-mpm/instances").glob("*.json"):
            try:
                found: Json = json.loads(path.read_text())["info"]
            except ValueError:  # being written
                continue
            return found
        return None

    def watch(self) -> Watcher:
        """A client of the running claude-mpm, subscribed to everything from its beginning."""
        instance = wait_until(self.registered, "claude-mpm registered", SLOW)
        assert instance is not None
        return Watcher(instance["port"])

    def transcripts(self) -> list[tuple[str, list[str]]]:
        """What claude wrote about its sessions: files and their lines, without ids, times and measurements: comparable."""
        base = self.home / ".claude/projects"
        found = [(path.relative_to(base), _lines(path, self.home)) for path in base.rglob("*") if path.is_file()]
        return sorted((without_ids(str(path)), lines) for path, lines in found if lines)


_IDS = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b(toolu|msg|req)_\w+|\bagent-[0-9a-f]{7,17}\b|\ba[0-9a-f]{16}\b"
    r"|(?<=<local-command-stdout>)[^<]*"  # how it says goodbye is drawn by lot
)
_MEASURED = re.compile(
    r"(?i)time|duration|_ms$|Ms$|hash|port$|cost|usage|tokens|pid$|messagecount|digest|^tail$|^stop_reason$"
)
_TALK = re.compile(
    r'"type": "(user|assistant|attachment|system)"'
)  # in order; claude's notes to itself come as they come
_STOP_HOOK = '"subtype": "stop_hook_summary"'  # 2.x notes each turn that had a Stop hook, ours or any
_WARMUP = '"content": "Warmup"'  # 2.0.77 starts hidden agents, in no particular order


def differences(one: World, other: World) -> str:
    """What the transcripts of two worlds differ in, line by line, long lines cut around the place; empty when nothing."""
    left, right = ([line for _, lines in world.transcripts() for line in lines] for world in (one, other))
    names = [[name for name, _ in world.transcripts()] for world in (one, other)]
    found = [] if names[0] == names[1] else [f"files: {names[0]} {names[1]}"]
    for line in difflib.unified_diff(left, right, lineterm="", n=0):
        found.append(line[:600])
    return "\n".join(found)


def without_ids(text: str) -> str:
    return _IDS.sub("ID", text)


def _lines(path: Path, home: Path) -> list[str]:
    """A JSON Lines file, each line without what differs from run to run; [] for one that differs as a whole."""
    values = [json.loads(line) for line in path.read_text().replace(str(home), "HOME").splitlines() if line]
    lines = [without_ids(json.dumps(_still(value), sort_keys=True)) for value in values]
    if lines and _WARMUP in lines[0]:
        return []
    talk = [line for line in lines if _TALK.search(line) and _STOP_HOOK not in line]
    return talk + sorted({line for line in lines if not _TALK.search(line)})


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _still(inner) for key, inner in value.items() if not _MEASURED.search(key)}
    return [_still(inner) for inner in value] if isinstance(value, list) else value


# --- at the terminal -------------------------------------------------------------------------------


def wait_ready(terminal: Terminal) -> None:
    """Until claude takes keys."""
    terminal.wait_for(lambda: terminal.is_raw() and b"\x1b[?2004h" in terminal.output, SLOW)
    terminal.wait_quiet(0.7, SLOW)


def say(terminal: Terminal, text: str) -> None:
    """Type a line. Enter comes apart from the text, or claude takes it for part of a paste."""
    terminal.write(text.encode())
    terminal.wait_for(lambda: text in screen(terminal.output), SLOW)
    terminal.wait_quiet(0.4, SLOW)
    terminal.write(b"\r")


def leave(terminal: Terminal) -> int:
    """/exit, and the exit code."""
    terminal.wait_quiet(0.5, SLOW)
    say(terminal, "/exit")
    return terminal.wait(SLOW)


_PASSING = re.compile(r"✻ \w+ for .*|\s+Failed to install .*")  # "✻ Cooked for 2s": the verb is drawn by lot


def screen(output: bytes, rows: int = 40, cols: int = 120) -> str:
    """What a terminal shows after `output`, without remarks that come and go."""
    ghostty = pytest.importorskip("pyghostty.core")
    with ghostty.Terminal(cols, rows) as emulated:
        emulated.feed(output)
        return _PASSING.sub("", str(emulated.text()))


def script() -> Json:
    loaded: Json = json.loads((DATA / "real_cli/scenario.json").read_text())
    return loaded


def contains_in_order(found: Sequence[object], wanted: Sequence[object]) -> bool:
    """Whether `wanted` is a subsequence of `found`."""
    rest = iter(found)
    return all(any(item == other for other in rest) for item in wanted)


def environment_for_cases(environ: Mapping[str, str]) -> dict[str, str]:
    """What the test run inside the namespace needs to find the same claude."""
    return {**environ, "CLAUDE_MPM_TEST_CACHE": str(CACHE), "HOME": str(HOME)}
