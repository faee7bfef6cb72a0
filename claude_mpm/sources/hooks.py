"""Claude's hooks: the settings that make Claude tell us, and what it tells (one JSON object each). Parsing is pure.

A hook is a few milliseconds of POSIX sh that puts its input as one whole file into the spool, a private directory.
Whatever happens there, it prints nothing, reads all its input and ends with 0: an exit code of 2 would block Claude.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from claude_mpm.sources import messages
from claude_mpm.sources.observations import (
    AgentEnded,
    AgentSeen,
    Notified,
    Observation,
    SessionEnded,
    SessionStarted,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Who,
)
from claude_mpm.sources.reading import mapping, plain, record, sequence, text, whole

# Known to every version from 1.0.128 on. An unknown name makes 1.x drop the whole file and 2.x ask the user at startup.
EVENTS = (
    "PreToolUse", "PostToolUse", "Notification", "UserPromptSubmit", "SessionStart", "SessionEnd", "Stop",
    "SubagentStop", "PreCompact",
)  # fmt: skip
# Seen from 2.0.77 on; tells of a permission dialog at once, where 1.x and 2.0 notify after six seconds.
PERMISSION, HAS_PERMISSION = "PermissionRequest", (2, 0, 77)
# From here on the transcript and the session file tell a turn's end, and a Stop hook is noted in the transcript.
TELLS_STOP = (2, 1, 300)
SUFFIX = ".hook"  # a whole payload in the spool; anything else there is not one
MAX_WAITING = 4096  # payloads in the spool; more means that nobody reads them
MAX_PAYLOAD = 32768  # blocks of 512 bytes, the unit of ulimit -f: 16 MiB
TIME = 5  # seconds Claude gives a hook; it needs milliseconds

# `$$` names the file: no other living process has it, and as it grows it orders files of the same instant. The cat in
# the last line keeps Claude from a broken pipe where nothing can be written.
_SCRIPT = """d={spool}; f="$d/.$$"
{{ [ -d "$d" ] && set -- "$d"/* && [ $# -lt {most} ] && ulimit -f {size} && cat >"$f" && mv "$f" "$d/$${suffix}"; }} 2>/dev/null ||
{{ rm -f "$f"; cat >/dev/null; }} 2>/dev/null
exit 0"""


def hook_settings(spool: Path, version: tuple[int, int, int] | None = None) -> dict[str, list[dict[str, Any]]]:
    """The value of `hooks` in Claude's settings: {event: [matcher group]}.

    `version` is Claude's, where it is known; without it only what every version accepts and needs.
    `async`: 2.1 does not wait for the hook; 1.x and 2.0 do, and ignore the key.
    """
    command = _SCRIPT.format(spool=shlex.quote(str(spool)), most=MAX_WAITING, size=MAX_PAYLOAD, suffix=SUFFIX)
    hook = {"type": "command", "command": command, "timeout": TIME, "async": True}
    events = list(EVENTS)
    if version is not None and version >= HAS_PERMISSION:
        events.append(PERMISSION)
    if version is not None and version >= TELLS_STOP:
        events.remove("Stop")
    matched = ("PreToolUse", "PostToolUse", PERMISSION)
    return {event: [({"matcher": "*"} if event in matched else {}) | {"hooks": [dict(hook)]}] for event in events}


def parse(payload: bytes, at: float) -> list[Observation]:
    """What a payload shows; nothing for other events and for junk. `at`: when the hook ran."""
    entry = record(payload)
    agent_id = text(entry.get("agent_id"))
    # Before 2.1, which has prompt ids, a subagent's tool call looks like the main conversation's.
    who = Who(text(entry.get("session_id")), agent_id, unsure=agent_id is None and "prompt_id" not in entry)
    event = entry.get("hook_event_name")
    if event in ("PreToolUse", "PostToolUse"):
        return _tool(entry, who, at)
    if event == PERMISSION:
        return [Notified(who, at, "permission", f"Claude needs your permission to use {text(entry.get('tool_name'))}")]
    if event == "UserPromptSubmit":
        typed = (text(entry.get("prompt")) or "").strip()
        return messages.spoken(typed, who, at) if typed and who.is_main else []
    if event == "SessionStart":
        return [SessionStarted(who, at, _START_REASONS.get(str(entry.get("source"))))]
    if event == "SessionEnd":
        return [SessionEnded(who, at, text(entry.get("reason")) or "other")]
    if event == "Stop":
        tasks = entry.get("background_tasks")
        running = [
            task
            for task in map(mapping, sequence(tasks))
            if task.get("type") == "subagent" and task.get("status") == "running"
        ]
        return [TurnEnded(who, at, len(running) if isinstance(tasks, list) else None)]
    if event == "SubagentStop" and who.agent_id:
        return [AgentEnded(who, at)]
    if event == "Notification":
        message = text(entry.get("message")) or ""
        return [Notified(who, at, _kind(text(entry.get("notification_type")), message), message)]
    return []


def transcript_of(payload: bytes) -> tuple[str, str] | None:
    """(session id, path of its transcript)."""
    entry = record(payload)
    session_id, path = text(entry.get("session_id")), text(entry.get("transcript_path"))
    return (session_id, path) if session_id and path else None


_START_REASONS: Mapping[str, Literal["startup", "clear", "resume", "compact"]] = {
    "startup": "startup",
    "clear": "clear",
    "resume": "resume",
    "compact": "compact",
}


def _tool(entry: Mapping[str, Any], who: Who, at: float) -> list[Observation]:
    tool, tool_use_id = text(entry.get("tool_name")), text(entry.get("tool_use_id"))
    if tool is None:
        return []
    found: list[Observation] = []
    if entry["hook_event_name"] == "PreToolUse":
        return [ToolStarted(who, at, tool_use_id, tool, entry.get("tool_input"))]
    response = entry.get("tool_response")
    result = mapping(response)
    summary = plain(response) or plain(result.get("content")) or text(result.get("stdout"))
    if agent_id := text(result.get("agentId")):
        found.append(AgentSeen(Who(who.session_id, agent_id), at, tool_use_id))
    duration = whole(entry.get("duration_ms"))
    return [
        *found,
        ToolEnded(who, at, tool_use_id, tool, entry.get("tool_input"), True, summary, result, duration),
    ]


def _kind(kind: str | None, message: str) -> Literal["permission", "question", "input"]:
    """1.x and 2.0 have only the words."""
    words = f"{kind or ''} {message}".lower()
    if "permission" in words or "approval" in words or "approve" in words:
        return "permission"
    if kind == "elicitation_dialog" or "question" in words:
        return "question"
    return "input"
