"""What Claude Code passes to its hooks: one JSON object on stdin per hook. Pure; any thread.

Common to all: {`hook_event_name`, `session_id`, `transcript_path`, `cwd`}; 2.1 adds `prompt_id`, and `agent_id` inside
subagents; `tool_use_id` comes with 2.0. Seen in 1.0.128, 2.0.77 and 2.1.330 (docs/claude-code.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from claude_mpm.sources.parse import messages
from claude_mpm.sources.parse.json_values import mapping, name, plain, record, text, whole
from claude_mpm.sources.parse.observations import (
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

PERMISSION = "PermissionRequest"

_Entry = Mapping[str, Any]
_START_REASONS: Mapping[str, Literal["startup", "clear", "resume", "compact"]] = {
    "startup": "startup",
    "clear": "clear",
    "resume": "resume",
    "compact": "compact",
}


def parse(payload: bytes, at: float) -> list[Observation]:
    """What one hook was passed; nothing for other hook events and for what is no JSON object.

    Args:
        payload: the hook's stdin.
        at: when the hook ran, seconds since the epoch; payloads have no time of their own.
    """
    entry = record(payload)
    agent_id = name(entry.get("agent_id"))
    # Before 2.1, which has prompt ids, a subagent's tool call looks like the main conversation's.
    who = Who(name(entry.get("session_id")), agent_id, unsure=agent_id is None and "prompt_id" not in entry)
    handle = _EVENTS.get(text(entry.get("hook_event_name")) or "")
    return handle(entry, who, at) if handle else []


def transcript_of(payload: bytes) -> tuple[str, str] | None:
    """(session id, path of its transcript)."""
    entry = record(payload)
    session_id, path = name(entry.get("session_id")), text(entry.get("transcript_path"))
    return (session_id, path) if session_id and path else None


def _tool_started(entry: _Entry, who: Who, at: float) -> list[Observation]:
    tool, tool_use_id = name(entry.get("tool_name")), name(entry.get("tool_use_id"))
    return [ToolStarted(who, at, tool_use_id, tool, entry.get("tool_input"))] if tool else []


def _tool_ended(entry: _Entry, who: Who, at: float) -> list[Observation]:
    tool, tool_use_id = name(entry.get("tool_name")), name(entry.get("tool_use_id"))
    if tool is None:
        return []
    response = entry.get("tool_response")
    result = mapping(response)
    summary = plain(response) or plain(result.get("content")) or text(result.get("stdout"))
    duration = whole(entry.get("duration_ms"))
    ended = ToolEnded(who, at, tool_use_id, tool, entry.get("tool_input"), True, summary, result, duration)
    if agent_id := name(result.get("agentId")):
        return [AgentSeen(Who(who.session_id, agent_id), at, tool_use_id), ended]
    return [ended]


def _permission(entry: _Entry, who: Who, at: float) -> list[Observation]:
    tool = name(entry.get("tool_name"))
    return [Notified(who, at, "permission", f"Claude needs your permission to use {tool or 'a tool'}", True)]


def _prompt(entry: _Entry, who: Who, at: float) -> list[Observation]:
    prompt = (text(entry.get("prompt")) or "").strip()
    return messages.user_text(prompt, who, at) if prompt and who.is_main else []


def _session_started(entry: _Entry, who: Who, at: float) -> list[Observation]:
    return [SessionStarted(who, at, _START_REASONS.get(text(entry.get("source")) or ""))]


def _session_ended(entry: _Entry, who: Who, at: float) -> list[Observation]:
    return [SessionEnded(who, at, name(entry.get("reason")) or "other")]


def _stop(entry: _Entry, who: Who, at: float) -> list[Observation]:
    tasks = entry.get("background_tasks")
    if not isinstance(tasks, list):
        return [TurnEnded(who, at, None)]
    running = [t for t in map(mapping, tasks) if t.get("type") == "subagent" and t.get("status") == "running"]
    return [TurnEnded(who, at, len(running))]


def _subagent_stop(entry: _Entry, who: Who, at: float) -> list[Observation]:
    return [AgentEnded(who, at)] if who.agent_id else []  # 1.x does not say which agent


def _notification(entry: _Entry, who: Who, at: float) -> list[Observation]:
    message = text(entry.get("message")) or ""
    return [Notified(who, at, _kind(text(entry.get("notification_type")), message), message)]


def _kind(kind: str | None, message: str) -> Literal["permission", "question", "input"]:
    """What a notification is about; 1.x and 2.0 only have the message to tell by."""
    words = f"{kind or ''} {message}".lower()
    if "permission" in words or "approval" in words or "approve" in words:
        return "permission"
    if kind == "elicitation_dialog" or "question" in words:
        return "question"
    return "input"


_EVENTS: Mapping[str, Callable[[_Entry, Who, float], list[Observation]]] = {
    "PreToolUse": _tool_started,
    "PostToolUse": _tool_ended,
    PERMISSION: _permission,
    "UserPromptSubmit": _prompt,
    "SessionStart": _session_started,
    "SessionEnd": _session_ended,
    "Stop": _stop,
    "SubagentStop": _subagent_stop,
    "Notification": _notification,
}
