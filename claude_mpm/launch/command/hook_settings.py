"""The hooks that are added to Claude's settings for one run, so that Claude reports what it does.

A hook is a few milliseconds of POSIX sh that stores its input as one whole file in the spool, a private directory.
Whatever happens there, it prints nothing, reads all of its input and exits with 0: exit code 2 would block Claude.

A second hook, for PermissionRequest, is added only where clients may answer Claude's dialogs: it waits for an answer
and prints it (answer_hook.py).
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from claude_mpm.launch.command.version import Version
from claude_mpm.system.state_dir import HOOK_SUFFIX

# The events used, with the version that introduced each. An unknown name makes 1.x drop the whole file and 2.x ask the
# user at startup, so a claude of unknown version gets only the events that exist since 1.0.128.
EVENTS: dict[str, Version] = {
    "PreToolUse": (1, 0, 38),
    "PostToolUse": (1, 0, 38),
    "Notification": (1, 0, 38),
    "Stop": (1, 0, 38),
    "SubagentStop": (1, 0, 41),
    "PreCompact": (1, 0, 48),
    "UserPromptSubmit": (1, 0, 53),
    "SessionStart": (1, 0, 62),
    "SessionEnd": (1, 0, 85),
    # Reports a permission dialog at once, while 1.x and 2.0 notify after six seconds. Seen from this version on.
    "PermissionRequest": (2, 0, 77),
}
COMMON = (1, 0, 128)  # a claude of unknown version is treated as this one
MATCHED = ("PreToolUse", "PostToolUse", "PermissionRequest")  # events whose groups need a matcher
# From this version on, the transcript and the session file report the end of a turn, while a Stop hook would leave a
# line in the transcript.
STOP_UNTIL = (2, 1, 300)
ANSWERS_SINCE = EVENTS["PermissionRequest"]  # an earlier Claude cannot be answered
MAX_WAITING = 4096  # payloads in the spool; more means that nobody reads them
MAX_PAYLOAD = 32768  # blocks of 512 bytes, the unit of ulimit -f: 16 MiB
TIME = 5  # seconds Claude gives a hook; it needs milliseconds
# Seconds Claude gives the hook that waits for an answer: longer than the monitor ever lets it wait
# (monitor/answers/question.py), so that Claude never has to kill it. Its default would be 60 s in 2.0 and 600 s in 2.1.
ANSWER_TIME = 25 * 3600

# `$$` names the file: no other living process has this pid, and as pids grow they order files of the same instant. The
# last `cat` spares Claude a broken pipe when nothing can be written.
_SCRIPT = """d={spool}; f="$d/.$$"
{{ [ -d "$d" ] && set -- "$d"/* && [ $# -lt {most} ] && ulimit -f {size} && cat >"$f" && mv "$f" "$d/$${suffix}"; }} 2>/dev/null ||
{{ rm -f "$f"; cat >/dev/null; }} 2>/dev/null
exit 0"""
# The files are tested first, because Python exits with 2 when it cannot open its script, and 2 would deny the request.
# `exec` leaves no shell behind: the signal with which Claude ends the hook reaches the process that waits.
_ANSWER_SCRIPT = """p={python}; h={hook}
[ -x "$p" ] && [ -r "$h" ] && exec "$p" -I -S "$h" {spool} 2>/dev/null
cat >/dev/null
exit 0"""


def hook_settings(
    spool: Path, version: Version | None = None, *, answers: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The value of `hooks` in Claude's settings: {event: [matcher group]}.

    Args:
        spool: the private directory where a hook leaves its payload.
        version: Claude's, where it is known.
        answers: whether clients may answer Claude's dialogs; only if unanswerable() has no reason against it.
    """
    command = _SCRIPT.format(spool=shlex.quote(str(spool)), most=MAX_WAITING, size=MAX_PAYLOAD, suffix=HOOK_SUFFIX)
    # `async`: 2.1 does not wait for the hook; 1.x and 2.0 ignore the key and wait
    hook = {"type": "command", "command": command, "timeout": TIME, "async": True}
    events = [event for event, since in EVENTS.items() if since <= (version or COMMON)]
    if version is not None and version >= STOP_UNTIL:
        events.remove("Stop")
    hooks = {event: [dict(hook)] for event in events}
    if answers:
        hooks["PermissionRequest"].append(_answer_hook(spool))
    return {event: [({"matcher": "*"} if event in MATCHED else {}) | {"hooks": hooks[event]}] for event in events}


def unanswerable(version: Version | None, print_mode: bool) -> str | None:
    """Why clients cannot answer this Claude's dialogs, one sentence; None: they can."""
    if print_mode:
        return "Claude runs with -p and shows no dialogs"
    if version is None:
        return "the version of this Claude is not known, and only 2.0.77 and later can be answered by clients"
    if version < ANSWERS_SINCE:
        return f"Claude {'.'.join(map(str, version))} cannot be answered by clients; 2.0.77 and later can"
    return None


def _answer_hook(spool: Path) -> dict[str, Any]:
    """The hook that waits for an answer. It must not be `async`: Claude ignores what such a hook prints."""
    script = Path(__file__).with_name("answer_hook.py")
    quoted = {name: shlex.quote(str(value)) for name, value in (("python", sys.executable), ("hook", script))}
    command = _ANSWER_SCRIPT.format(**quoted, spool=shlex.quote(str(spool)))
    return {"type": "command", "command": command, "timeout": ANSWER_TIME}
