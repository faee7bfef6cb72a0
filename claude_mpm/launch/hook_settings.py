"""The settings that make Claude's hooks tell us what it does.

A hook is a few milliseconds of POSIX sh that puts its input as one whole file into the spool, a private directory.
Whatever happens there, it prints nothing, reads all its input and ends with 0: an exit code of 2 would block Claude.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from claude_mpm.launch.version import Version
from claude_mpm.system.state_dir import HOOK_SUFFIX

# The events used, with the version that brought each. An unknown name makes 1.x drop the whole file, and 2.x ask the
# user at startup, so a claude of unknown version gets those that all have since 1.0.128.
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
    # Tells of a permission dialog at once, where 1.x and 2.0 notify after six seconds. Seen from this version on.
    "PermissionRequest": (2, 0, 77),
}
COMMON = (1, 0, 128)  # what a claude of unknown version is taken for
MATCHED = ("PreToolUse", "PostToolUse", "PermissionRequest")  # events whose groups need a matcher
# From here on the transcript and the session file tell a turn's end, and a Stop hook is noted in the transcript.
STOP_UNTIL = (2, 1, 300)
MAX_WAITING = 4096  # payloads in the spool; more means that nobody reads them
MAX_PAYLOAD = 32768  # blocks of 512 bytes, the unit of ulimit -f: 16 MiB
TIME = 5  # seconds Claude gives a hook; it needs milliseconds

# `$$` names the file: no other living process has it, and as it grows it orders files of the same instant. The cat in
# the last line keeps Claude from a broken pipe where nothing can be written.
_SCRIPT = """d={spool}; f="$d/.$$"
{{ [ -d "$d" ] && set -- "$d"/* && [ $# -lt {most} ] && ulimit -f {size} && cat >"$f" && mv "$f" "$d/$${suffix}"; }} 2>/dev/null ||
{{ rm -f "$f"; cat >/dev/null; }} 2>/dev/null
exit 0"""


def hook_settings(spool: Path, version: Version | None = None) -> dict[str, list[dict[str, Any]]]:
    """The value of `hooks` in Claude's settings: {event: [matcher group]}.

    Args:
        spool: the private directory where a hook leaves its payload.
        version: Claude's, where it is known.
    """
    command = _SCRIPT.format(spool=shlex.quote(str(spool)), most=MAX_WAITING, size=MAX_PAYLOAD, suffix=HOOK_SUFFIX)
    # `async`: 2.1 does not wait for the hook; 1.x and 2.0 do, and ignore the key
    hook = {"type": "command", "command": command, "timeout": TIME, "async": True}
    events = [event for event, since in EVENTS.items() if since <= (version or COMMON)]
    if version is not None and version >= STOP_UNTIL:
        events.remove("Stop")
    return {event: [({"matcher": "*"} if event in MATCHED else {}) | {"hooks": [dict(hook)]}] for event in events}
