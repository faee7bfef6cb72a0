"""A line of `claude -p --output-format stream-json` into observations. Pure.

The order of the keys is not fixed, and `result` does not mean the end: 2.x prints one per turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.sources.parse import messages
from claude_mpm.sources.parse.json_values import mapping, record, seconds, text, whole
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    ApiFailed,
    Cost,
    Observation,
    SessionStarted,
    TurnEnded,
    Who,
)


def parse(line: bytes) -> list[Observation]:
    """What the line shows; nothing for other kinds of line and for junk."""
    entry = record(line)
    parent = text(entry.get("parent_tool_use_id"))
    who = Who(text(entry.get("session_id")), text(entry.get("agent_id")), parent)
    at = seconds(entry.get("timestamp"))
    kind = entry.get("type")
    if kind == "assistant":
        error = entry.get("is_api_error_message") is True
        found = messages.assistant(mapping(entry.get("message")), who, at, api_error=error)
        return _binding(who, at) + found
    if kind == "user":
        return messages.user(mapping(entry.get("message")), entry.get("tool_use_result"), who, at)
    if kind == "system":
        return _system(entry, who, at)
    if kind == "result":
        return _result(entry, who, at)
    return []


def _binding(who: Who, at: float | None) -> list[Observation]:
    """2.1 says both ids on every line of an agent."""
    return [AgentSeen(who, at, who.delegated_by)] if who.agent_id and who.delegated_by else []


def _system(entry: Mapping[str, Any], who: Who, at: float | None) -> list[Observation]:
    subtype = entry.get("subtype")
    if subtype == "init":
        return [SessionStarted(who, at, None)]
    if subtype == "api_retry":
        code, error = whole(entry.get("error_status")), text(entry.get("error"))
        attempt, most = whole(entry.get("attempt")), whole(entry.get("max_retries"))
        words = f"{error or 'API error'} {code or ''}".strip() + f", retry {attempt} of {most}"
        return [ApiFailed(who, at, words, None, False)]
    agent_id, tool_use_id = text(entry.get("task_id")), text(entry.get("tool_use_id"))
    agent = Who(who.session_id, agent_id)
    if subtype == "task_started" and entry.get("task_type") == "local_agent" and agent_id:
        background = entry.get("is_backgrounded")
        prompt = text(entry.get("prompt"))
        return [AgentSeen(agent, at, tool_use_id, prompt, background if isinstance(background, bool) else None)]
    if subtype == "task_notification" and agent_id:
        status = text(entry.get("status"))
        usage = mapping(entry.get("usage"))
        ok = status == "completed"
        return [
            AgentEnded(
                agent,
                at,
                tool_use_id,
                ok,
                None if ok else text(entry.get("summary")) or status,
                whole(usage.get("duration_ms")),
                whole(usage.get("total_tokens")),
                whole(usage.get("tool_uses")),
            )
        ]
    return []


def _result(entry: Mapping[str, Any], who: Who, at: float | None) -> list[Observation]:
    cost = entry.get("total_cost_usd")
    found: list[Observation] = []
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        found.append(Cost(who, at, float(cost)))
    return [*found, TurnEnded(who, at, None)]
