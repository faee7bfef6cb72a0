"""A line of a transcript (projects/<slug>/<session>.jsonl and the subagents' files) into observations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.sources.parse import messages
from claude_mpm.sources.parse.json_values import mapping, plain, record, seconds, text, whole
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    ApiFailed,
    Cost,
    Observation,
    TurnEnded,
    Who,
)

_FOR_US = (b'"user"', b'"assistant"', b'"system"', b'"queue-operation"', b'"cost-state"', b'"queued_command"')


def parse(line: bytes) -> list[Observation]:
    """What the line shows; nothing for other kinds of line and for junk."""
    if not any(mark in line for mark in _FOR_US):
        return []  # 2.x: a quarter of the lines are requests of 40 KB and more
    entry = record(line)
    who, at = _who(entry), seconds(entry.get("timestamp"))
    kind = entry.get("type")
    if kind == "assistant":
        error = entry.get("isApiErrorMessage") is True
        return messages.assistant(mapping(entry.get("message")), who, at, api_error=error)
    if kind == "user":
        if entry.get("isMeta") is True or entry.get("isCompactSummary") is True:
            return []
        return messages.user(mapping(entry.get("message")), entry.get("toolUseResult"), who, at)
    if kind == "system":
        return _system(entry, who, at)
    if kind == "queue-operation" and entry.get("operation") == "enqueue":
        return messages.notification(text(entry.get("content")) or "", who, at)
    if kind == "attachment" and mapping(entry.get("attachment")).get("type") == "queued_command":
        typed = plain(mapping(entry.get("attachment")).get("prompt")).strip()
        return messages.spoken(typed, who, at) if typed else []
    if kind == "cost-state":
        cost = entry.get("totalCostUSD")
        return [Cost(who, at, float(cost))] if isinstance(cost, (int, float)) and not isinstance(cost, bool) else []
    return []


def session_of(line: bytes) -> str | None:
    """The session a line belongs to: the agents' files of 2.0.x lie beside those of other sessions."""
    return text(record(line).get("sessionId"))


def parse_meta(content: bytes, session_id: str, agent_id: str, at: float) -> list[Observation]:
    """agent-<id>.meta.json (2.1): which delegation an agent is of, and whether it has finished."""
    entry = record(content)
    who = Who(session_id, agent_id)
    tool_use_id = text(entry.get("toolUseId"))
    found: list[Observation] = []
    if tool_use_id:
        shape = text(entry.get("requestShape"))
        found.append(AgentSeen(who, at, tool_use_id, background=shape == "background" if shape else None))
    if entry.get("finished") is True:
        found.append(AgentEnded(who, at, tool_use_id))
    return found


def _who(entry: Mapping[str, Any]) -> Who:
    session_id = text(entry.get("sessionId"))
    agent_id = text(entry.get("agentId"))
    if entry.get("isSidechain") is True and agent_id is None:
        uuid = text(entry.get("uuid"))
        return Who(session_id, chain=(text(entry.get("parentUuid")), uuid) if uuid else None, unsure=uuid is None)
    return Who(session_id, agent_id)


def _system(entry: Mapping[str, Any], who: Who, at: float | None) -> list[Observation]:
    subtype = entry.get("subtype")
    if subtype == "turn_duration":
        return [TurnEnded(who, at, whole(entry.get("pendingBackgroundAgentCount")) or 0)]
    if subtype == "api_error":
        error = mapping(entry.get("error"))
        status = whole(error.get("status"))
        words = text(error.get("message")) or f"the model could not be asked ({status or 'no connection'})"
        return [ApiFailed(who, at, words, None, False)]
    return []
