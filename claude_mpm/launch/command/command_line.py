"""The command line and environment of claude: the user's own, and the little we add."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from claude_mpm.errors import ClaudeNotFound, LaunchFailed, UsageError
from claude_mpm.launch.command.version import Version, installed_version

# An option a version does not know keeps it from starting: "error: unknown option '--settings'". Found in the packages
# of 1.0.30 to 1.0.128.
SESSION_ID_SINCE = (1, 0, 53)
SETTINGS_SINCE = (1, 0, 61)
NAME_SINCE = (2, 1, 76)  # `--name`, as the changelog of Claude Code says

# What a Claude session exports to its children. A claude started inside a session would inherit it, and 2.1.330 would
# then write no transcript (CLAUDE_CODE_CHILD_SESSION) or talk to its parent's sockets.
_DROPPED = frozenset(
    {
        "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_SESSION_ID", "CLAUDE_PID",
        "CLAUDE_CODE_CHILD_NOTES_DIR", "CLAUDE_CODE_SESSION_ATTENDED", "CLAUDE_CODE_EXECPATH", "CLAUDE_EFFORT", "AI_AGENT",
        "CLAUDE_MPM_WEBSOCKET_TOKEN", "CLAUDE_MPM_NOTIFY_URL",  # our own secrets
        "CLAUDE_MPM_PUBLISH", "CLAUDE_MPM_REDIS_PASSWORD",
    }
)  # fmt: skip
_DROPPED_PREFIX = "CLAUDE_CODE_MESSAGING_"

# With one of these the session already has an id, or there is no session.
_NO_SESSION_ID = frozenset(
    {"--session-id", "--resume", "--continue", "--fork-session", "--from-pr", "--teleport", "--version", "--help"}
)
_NO_SESSION_ID_SHORT = frozenset("rcvh")
# Claude's own subcommands, which start no session and take no hooks (claude --help, 1.0.128 to 2.1.330).
SUBCOMMANDS = frozenset(
    {
        "agents", "attach", "auth", "auto-mode", "config", "doctor", "gateway", "install", "kill", "logs", "mcp",
        "migrate-installer", "plugin", "plugins", "project", "rm", "setup-token", "update", "upgrade",
    }
)  # fmt: skip

NOT_FOUND = (
    "claude was not found{where}. Install it with `npm install -g @anthropic-ai/claude-code`, name it with --claude PATH, "
    "or see the monitor without it: claude-mpm --demo"
)


class Command(NamedTuple):
    """What is started as Claude.

    Attributes:
        executable: absolute path.
        argv: argv[0] and the arguments.
        env: the whole environment.
        session_id: the id Claude will use; None when Claude picks one itself (resume, continue, fork).
        print_mode: `-p`: no terminal interface.
        is_session: False for `claude mcp`, `claude --version` and the like.
        version: Claude's, where it is known without running it.
        cwd: where it runs.
    """

    executable: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    session_id: str | None
    print_mode: bool
    is_session: bool
    version: Version | None
    cwd: Path

    @property
    def config_dir(self) -> Path:
        """Where this claude keeps its files (CLAUDE_CONFIG_DIR, else ~/.claude)."""
        chosen = self.env.get("CLAUDE_CONFIG_DIR")
        return self.cwd / chosen if chosen else self.cwd / (self.env.get("HOME") or Path.home()) / ".claude"


def build(claude: str, args: Sequence[str], environ: Mapping[str, str], session_id: str | None = None) -> Command:
    """The command for `claude` (a name on PATH or a path) with the user's `args`.

    Raises:
        ClaudeNotFound, LaunchFailed: as find().
        UsageError: the directory we are in has been deleted.
    """
    try:
        cwd = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory no longer exists; change to another first") from None
    names = _options(args)
    short = _short_flags(args)
    is_session = not _subcommand(args) and not names & {"--version", "--help"} and not short & set("vh")
    chosen = _value_of(args, "--session-id")
    executable = find(claude, environ)
    version = installed_version(Path(executable))
    own_id = None
    if is_session and not names & _NO_SESSION_ID and not short & _NO_SESSION_ID_SHORT and takes_session_id(version):
        own_id = session_id or str(uuid.uuid4())
    argv = (executable, *(("--session-id", own_id) if own_id else ()), *args)
    print_mode = bool(names & {"--print"} or "p" in short)
    return Command(executable, argv, environment(environ), own_id or chosen, print_mode, is_session, version, cwd)


def demo(args: Sequence[str], environ: Mapping[str, str]) -> Command:
    """The command for the bundled stand-in, with the arguments and environment a real claude would get."""
    command = build(sys.executable, args, environ)
    package_root = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (package_root, command.env.get("PYTHONPATH"))))
    return command._replace(
        argv=(command.executable, "-m", "claude_mpm.demo.stand_in", *command.argv[1:]),
        env={**command.env, "PYTHONPATH": path},
    )


def takes_session_id(version: Version | None) -> bool:
    """Whether this claude knows `--session-id`. An unknown version is assumed to be recent."""
    return version is None or version >= SESSION_ID_SINCE


def takes_settings(version: Version | None) -> bool:
    """Whether this claude knows `--settings`, which our hooks need. An unknown version is assumed to be recent."""
    return version is None or version >= SETTINGS_SINCE


def takes_name(version: Version | None) -> bool:
    """Whether this claude knows `--name`. One of unknown version is taken for a recent one."""
    return version is None or version >= NAME_SINCE


def find(claude: str, environ: Mapping[str, str]) -> str:
    """Find the executable and return its absolute path.

    Raises:
        ClaudeNotFound: with what to do about it.
        LaunchFailed: there is something at that path, but nothing that can be started.
    """
    claude = os.path.expanduser(claude)
    found = shutil.which(claude, path=environ.get("PATH", os.defpath))
    if found is None and os.sep in claude and os.path.exists(claude):
        kind = "a directory" if os.path.isdir(claude) else "not executable"
        raise LaunchFailed(f"{claude} is {kind}; name claude itself with --claude PATH")
    if found is None:
        where = f" at {claude}" if os.sep in claude else " on PATH" if claude == "claude" else f" ({claude}, on PATH)"
        raise ClaudeNotFound(NOT_FOUND.format(where=where))
    return os.path.abspath(found)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment, without what another Claude session exported, and with Claude's todo tools enabled."""
    env = {
        name: value for name, value in environ.items() if name not in _DROPPED and not name.startswith(_DROPPED_PREFIX)
    }
    env.setdefault("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1")  # 2.1.250 and later offer no todo tool without it
    return env


def with_settings(command: Command, hooks: Mapping[str, Sequence[Any]], path: Path) -> Command:
    """The command with `hooks` ({event: [matcher groups]}) added through `--settings`, in a private file at `path`.

    Only one --settings counts (the first in 1.x, the last in 2.x), so one the user gave is merged into ours.
    The user's own settings files are not touched: Claude merges them itself.

    Raises:
        ValueError: the user's own --settings cannot be read or there are several; nothing was written.
        OSError: the file cannot be written.
    """
    head = 3 if command.argv[1:2] == ("-m",) else 1  # the stand-in is a module of Python's
    args = list(command.argv[head:])
    places = [i for i, arg in enumerate(_before_dashes(args)) if arg == "--settings" or arg.startswith("--settings=")]
    if len(places) > 1:
        raise ValueError("--settings was given twice and Claude honours only one")
    settings: dict[str, Any] = {}
    if places:
        at = places[0]
        joined = args[at].startswith("--settings=")
        if not joined and at + 1 >= len(args):
            raise ValueError("--settings has no value")
        settings = _load_settings(args[at].partition("=")[2] if joined else args[at + 1])
        del args[at : at + (1 if joined else 2)]
    merged = dict(settings.get("hooks") or {})
    for event, groups in hooks.items():
        merged[event] = [*(merged.get(event) or []), *groups]
    settings["hooks"] = merged
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        json.dump(settings, file)
    return command._replace(argv=(*command.argv[:head], "--settings", str(path), *args))


def _load_settings(value: str) -> dict[str, Any]:
    """What the user gave to --settings: inline JSON or a file."""
    try:
        text = value if value.lstrip().startswith("{") else Path(value).expanduser().read_text(encoding="utf-8")
        settings = json.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"--settings cannot be read ({error})") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("hooks") or {}, dict):
        raise ValueError("--settings is not a JSON object")
    return settings


def _before_dashes(args: Sequence[str]) -> Sequence[str]:
    return args[: args.index("--")] if "--" in args else args


def _options(args: Sequence[str]) -> set[str]:
    return {arg.partition("=")[0] for arg in _before_dashes(args) if arg.startswith("--")}


def _short_flags(args: Sequence[str]) -> set[str]:
    """The letters of `-p`, `-pc` and the like. A prompt such as `-1 + 1` or `-fix this` has other characters too."""
    clusters = [arg[1:] for arg in _before_dashes(args) if arg.startswith("-") and not arg.startswith("--")]
    return {letter for cluster in clusters if cluster and set(cluster) <= set("pcrvhdw") for letter in cluster}


def _value_of(args: Sequence[str], name: str) -> str | None:
    for arg, following in zip(args, [*args[1:], None], strict=False):
        if arg == name:
            return following
        if arg.startswith(name + "="):
            return arg.partition("=")[2]
    return None


def _subcommand(args: Sequence[str]) -> bool:
    return bool(args) and args[0] in SUBCOMMANDS
