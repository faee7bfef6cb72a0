"""Lines of `claude -p --output-format stream-json --verbose`, one JSON object each. Pure; any thread.

{`type`: `system`, `assistant`, `user` or `result`, `session_id`, …}. The order of the keys is not fixed. A `result` is
not the end: 2.1 prints one per turn. Inside a subagent `parent_tool_use_id` is the delegation's call, and 2.1 adds
`agent_id`. Seen in 1.0.128, 2.0.77 and 2.1.330.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.sources.parse import messages
from claude_mpm.sources.parse.json_values import amount, boolean, mapping, name, record, seconds, text, whole
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    ApiFailed,
    ContextWindow,
    Cost,
    Observation,
    SessionStarted,
    TurnEnded,
    Who,
)

MAX_MODELS = 50  # of one result; a session uses a few


def parse(line: bytes) -> list[Observation]:
    """What one line shows; nothing for other kinds of line and for what is no JSON object."""
    entry = record(line)
    parent = name(entry.get("parent_tool_use_id"))
    who = Who(name(entry.get("session_id")), name(entry.get("agent_id")), parent)
    at = seconds(entry.get("timestamp"))
    kind = entry.get("type")
    if kind == "assistant":
        error = entry.get("is_api_error_message") is True
        return _binding(who, at) + messages.assistant(mapping(entry.get("message")), who, at, api_error=error)
    if kind == "user":
        return messages.user(mapping(entry.get("message")), entry.get("tool_use_result"), who, at)
    if kind == "system":
        return _system(entry, who, at)
    if kind == "result":
        return _result(entry, who, at)
    return []


def _binding(who: Who, at: float | None) -> list[Observation]:
    """2.1 gives both the agent's id and its delegation on every line of an agent."""
    return [AgentSeen(who, at, who.delegated_by)] if who.agent_id and who.delegated_by else []


def _system(entry: Mapping[str, Any], who: Who, at: float | None) -> list[Observation]:
    subtype = entry.get("subtype")
    if subtype == "init":
        return [SessionStarted(who, at, None)]
    if subtype == "api_retry":
        return [_api_retry(entry, who, at)]
    agent_id, tool_use_id = name(entry.get("task_id")), name(entry.get("tool_use_id"))
    if agent_id is None:
        return []
    agent = Who(who.session_id, agent_id)
    if subtype == "task_started" and entry.get("task_type") == "local_agent":  # other tasks are background shells
        background = boolean(entry.get("is_backgrounded"))
        return [AgentSeen(agent, at, tool_use_id, text(entry.get("prompt")), background)]
    if subtype == "task_notification":
        return [_task_ended(entry, agent, at, tool_use_id)]
    return []


def _api_retry(entry: Mapping[str, Any], who: Who, at: float | None) -> Observation:
    code, error = whole(entry.get("error_status")), text(entry.get("error"))
    attempt, most = whole(entry.get("attempt")), whole(entry.get("max_retries"))
    words = f"{error or 'API error'} {code or ''}".strip() + f", retry {attempt} of {most}"
    return ApiFailed(who, at, words, None, False)


def _task_ended(entry: Mapping[str, Any], agent: Who, at: float | None, tool_use_id: str | None) -> Observation:
    status, usage = name(entry.get("status")), mapping(entry.get("usage"))
    return AgentEnded(
        agent,
        at,
        tool_use_id,
        ok=status == "completed",
        reason=messages.failure(status, text(entry.get("summary"))),
        duration_ms=whole(usage.get("duration_ms")),
        tokens=whole(usage.get("total_tokens")),
        tool_uses=whole(usage.get("tool_uses")),
    )


def _result(entry: Mapping[str, Any], who: Who, at: float | None) -> list[Observation]:
    cost = amount(entry.get("total_cost_usd"))  # of the whole session so far, in every version
    found: list[Observation] = _context_windows(entry, who, at)
    if cost is not None:
        found.append(Cost(who, at, cost))
    return [*found, TurnEnded(who, at, None)]


def _context_windows(entry: Mapping[str, Any], who: Who, at: float | None) -> list[Observation]:
    """The sizes that a result names. Seen in 1.0.128 and later; transcripts and hooks have none."""
    found: list[Observation] = []
    for model, usage in list(mapping(entry.get("modelUsage")).items())[:MAX_MODELS]:
        size = whole(mapping(usage).get("contextWindow"))
        if name(model) is not None and size:
            found.append(ContextWindow(who, at, model, size))
    return found
