"""What Claude's hooks tell (one JSON object each) into observations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from claude_mpm.sources.parse import messages
from claude_mpm.sources.parse.json_values import mapping, plain, record, sequence, text, whole
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
