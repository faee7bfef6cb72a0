"""Messages of the model API, which transcripts and stream-json carry alike, block by block. Pure; any thread.

An answer is written as several records of one content block each, which share `message.id` and repeat `usage` (seen in
1.0.128 to 2.1.330).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from claude_mpm.feed.cutting import cut
from claude_mpm.sources.parse.json_values import mapping, name, plain, sequence, text, whole
from claude_mpm.sources.parse.observations import (
    MAX_REASON,
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

SYNTHETIC = "<synthetic>"  # the "model" of texts that Claude Code itself puts in the place of an answer
_PLACEHOLDERS = ("No response requested.", "(no content)")  # synthetic texts that report no error
INTERRUPTED = "[Request interrupted by user"
NOTIFICATION = "<task-notification>"
# Records of Claude Code's own doing that are stored as if the user had typed them.
_NOT_TYPED = (
    "<command-",
    "<local-command-",
    "<bash-",
    "<system-reminder>",
    "Caveat: The messages below were generated",
)


def assistant(message: Mapping[str, Any], who: Who, at: float | None, *, api_error: bool = False) -> list[Observation]:
    """The texts, tool calls and tokens of an assistant message {`id`, `model`, `content`, `usage`, `stop_reason`}.

    Args:
        at: when it was written, seconds since the epoch; None when the record does not say.
        api_error: whether the record says that its text reports an error of the API.
    """
    message_id, model = name(message.get("id")), name(message.get("model"))
    seen: list[Observation] = []
    for block in map(mapping, sequence(message.get("content"))):
        kind, words = block.get("type"), text(block.get("text"))
        if kind == "text" and words and (api_error or (model == SYNTHETIC and words not in _PLACEHOLDERS)):
            seen.append(ApiFailed(who, at, words, message_id, True))
        elif kind == "text" and words and model != SYNTHETIC:
            seen.append(Said(who, at, words, message_id, model))
        elif kind == "tool_use" and (tool := name(block.get("name"))):
            seen.append(ToolStarted(who, at, name(block.get("id")), tool, block.get("input")))
    usage = mapping(message.get("usage"))
    if message_id and usage and model != SYNTHETIC:
        seen.append(_used(usage, who, at, message_id, model, final=bool(message.get("stop_reason"))))
    return seen


def _used(
    usage: Mapping[str, Any], who: Who, at: float | None, message_id: str, model: str | None, *, final: bool
) -> Used:
    return Used(
        who,
        at,
        message_id,
        model,
        input=whole(usage.get("input_tokens")) or 0,
        output=whole(usage.get("output_tokens")) or 0,
        cache_read=whole(usage.get("cache_read_input_tokens")) or 0,
        cache_creation=whole(usage.get("cache_creation_input_tokens")) or 0,
        final=final,
    )


def user(message: Mapping[str, Any], result: Any, who: Who, at: float | None) -> list[Observation]:
    """The tool results and the text of a message in the user's role.

    Args:
        result: Claude Code's structured result of the one tool call that the message answers, beside the message in
            its record; an object, or anything else when there is none.
    """
    content = message.get("content")
    seen: list[Observation] = []
    for block in map(mapping, sequence(content)):
        tool_use_id = name(block.get("tool_use_id"))
        if block.get("type") == "tool_result" and tool_use_id:
            ok = block.get("is_error") is not True
            summary = plain(block.get("content")) or None
            seen.append(ToolEnded(who, at, tool_use_id, None, None, ok, summary, mapping(result)))
    words = plain(content).strip()
    return seen + (user_text(words, who, at) if words else [])


def user_text(words: str, who: Who, at: float | None) -> list[Observation]:
    """What a text in the user's role is: the user's own, a subagent's task, or one of Claude Code's notices."""
    if words.startswith(INTERRUPTED):
        return [Interrupted(who, at)]
    if NOTIFICATION in words[:200]:
        return notification(words, who, at)
    if not who.is_main:
        return [AgentSeen(who, at, tool_use_id=who.delegated_by, prompt=words)]
    if words.startswith(_NOT_TYPED):
        return []
    return [Prompt(who, at, words)]


def notification(words: str, who: Who, at: float | None) -> list[Observation]:
    """`<task-notification>`: how 2.1 tells the model that a background task has ended."""
    agent_id, status = name(_element(words, "task-id")), name(_element(words, "status"))
    if agent_id is None or status is None:
        return []
    return [
        AgentEnded(
            Who(who.session_id, agent_id),
            at,
            tool_use_id=name(_element(words, "tool-use-id")),
            ok=status == "completed",
            reason=failure(status, _element(words, "summary")),
            duration_ms=_count(words, "duration_ms"),
            tokens=_count(words, "total_tokens") or _count(words, "subagent_tokens"),
            tool_uses=_count(words, "tool_uses"),
        )
    ]


def failure(status: str | None, summary: str | None) -> str | None:
    """Why a task failed, in at most MAX_REASON characters; None when it has completed."""
    if status == "completed":
        return None
    return cut(summary or status or "failed", MAX_REASON)[0]


def _element(words: str, tag: str) -> str | None:
    match = re.search(rf"<{tag}>([^<]*)</{tag}>", words)
    return match[1].strip() or None if match else None


def _count(words: str, field: str) -> int | None:
    match = re.search(rf"\b{field}\b[>:\s]+([0-9]{{1,15}})", words)
    return int(match[1]) if match else None
