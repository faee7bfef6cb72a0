"""Model API messages, which transcripts and stream-json carry alike: blocks into observations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from claude_mpm.sources.parse.json_values import mapping, plain, sequence, text, whole
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    ApiFailed,
    Interrupted,
    Observation,
    Prompt,
    Said,
    ToolEnded,
    ToolStarted,
    Used,
    Who,
)

SYNTHETIC = (
    "<synthetic>"  # the "model" of texts Claude Code itself puts in Claude's mouth: errors, and some that are none
)
_NOT_SAID = ("No response requested.", "(no content)")
INTERRUPTED = "[Request interrupted by user"
# Records of Claude Code's own doing that are stored as if the user had typed them.
_NOT_TYPED = (
    "<command-",
    "<local-command-",
    "<bash-",
    "<system-reminder>",
    "Caveat: The messages below were generated",
)
NOTIFICATION = "<task-notification>"


def assistant(message: Mapping[str, Any], who: Who, at: float | None, *, api_error: bool = False) -> list[Observation]:
    """What an assistant's message shows: texts, tool calls, tokens."""
    message_id, model = text(message.get("id")), text(message.get("model"))
    found: list[Observation] = []
    for block in map(mapping, sequence(message.get("content"))):
        kind, said = block.get("type"), text(block.get("text"))
        if kind == "text" and said and (api_error or (model == SYNTHETIC and said not in _NOT_SAID)):
            found.append(ApiFailed(who, at, said, message_id, True))
        elif kind == "text" and said and model != SYNTHETIC:
            found.append(Said(who, at, said, message_id, model))
        elif kind == "tool_use" and (tool := text(block.get("name"))):
            found.append(ToolStarted(who, at, text(block.get("id")), tool, block.get("input")))
    usage = mapping(message.get("usage"))
    if message_id and usage and model != SYNTHETIC:

        def count(name: str) -> int:
            return whole(usage.get(name)) or 0

        found.append(
            Used(
                who, at, message_id, model,
                input=count("input_tokens"),
                output=count("output_tokens"),
                cache_read=count("cache_read_input_tokens"),
                cache_creation=count("cache_creation_input_tokens"),
                final=bool(message.get("stop_reason")),
            )
        )  # fmt: skip
    return found


def user(message: Mapping[str, Any], result: Any, who: Who, at: float | None) -> list[Observation]:
    """What a message in the user's role shows: tool results, prompts, interrupts, notifications."""
    content = message.get("content")
    found: list[Observation] = []
    for block in map(mapping, sequence(content)):
        tool_use_id = text(block.get("tool_use_id"))
        if block.get("type") == "tool_result" and tool_use_id:
            ok = block.get("is_error") is not True
            summary = plain(block.get("content")) or None
            found.append(ToolEnded(who, at, tool_use_id, None, None, ok, summary, mapping(result)))
    typed = plain(content).strip()
    return found + (spoken(typed, who, at) if typed else [])


def spoken(typed: str, who: Who, at: float | None) -> list[Observation]:
    """What a text in the user's role is: typed by the user, or one of Claude Code's own."""
    if typed.startswith(INTERRUPTED):
        return [Interrupted(who, at)]
    if NOTIFICATION in typed[:200]:
        return notification(typed, who, at)
    if not who.is_main:
        return [AgentSeen(who, at, tool_use_id=who.delegated_by, prompt=typed)]
    if typed.startswith(_NOT_TYPED):
        return []
    return [Prompt(who, at, typed)]


def notification(typed: str, who: Who, at: float | None) -> list[Observation]:
    """`<task-notification>`: a background task's end, told to the model in words."""
    agent_id = _tag(typed, "task-id")
    status = _tag(typed, "status")
    if agent_id is None or status is None:
        return []
    ok = status == "completed"
    return [
        AgentEnded(
            Who(who.session_id, agent_id),
            at,
            tool_use_id=_tag(typed, "tool-use-id"),
            ok=ok,
            reason=None if ok else _tag(typed, "summary") or status,
            duration_ms=_count(typed, "duration_ms"),
            tokens=_count(typed, "total_tokens") or _count(typed, "subagent_tokens"),
            tool_uses=_count(typed, "tool_uses"),
        )
    ]


def _tag(typed: str, name: str) -> str | None:
    found = re.search(rf"<{name}>([^<]*)</{name}>", typed)
    return found[1].strip() or None if found else None


def _count(typed: str, name: str) -> int | None:
    found = re.search(rf"\b{name}\b[>:\s]+(\d{{1,15}})", typed)
    return int(found[1]) if found else None
