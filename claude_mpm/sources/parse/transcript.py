"""Lines of a transcript, one JSON object each: projects/<slug>/<session>.jsonl and the files of its subagents.

{`type`, `sessionId`, `uuid`, `parentUuid`, `timestamp`, `message`, `toolUseResult`?, `isSidechain`, `agentId`?, …}.
1.0.128 writes subagents into the session's own file, as sidechains without an agent's id; 2.0 and 2.1 give each a file.
Seen in 1.0.128, 2.0.77 and 2.1.330. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.sources.parse import messages
from claude_mpm.sources.parse.json_values import amount, mapping, name, plain, record, seconds, text, whole
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    ApiFailed,
    Cost,
    Observation,
    TurnEnded,
    Who,
)

_API_REQUESTS = (b'{"type":"api-request', b'{"type": "api-request')
_MARKS = (b'"user"', b'"assistant"', b'"system"', b'"queue-operation"', b'"cost-state"', b'"queued_command"')


def is_worth_decoding(line: bytes) -> bool:
    """Whether parse() may find anything in this line, judged by a search for a few words in it."""
    # A quarter of the lines of 2.1 are API requests of 40 KB and more: most of the bytes, and nothing in them is told.
    return not line.startswith(_API_REQUESTS) and any(mark in line for mark in _MARKS)


def parse(line: bytes) -> list[Observation]:
    """What one line shows; nothing for other kinds of line and for what is no JSON object."""
    if not is_worth_decoding(line):
        return []
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
        words = plain(mapping(entry.get("attachment")).get("prompt")).strip()
        return messages.user_text(words, who, at) if words else []
    if kind == "cost-state":
        cost = amount(entry.get("totalCostUSD"))
        return [Cost(who, at, cost)] if cost is not None else []
    return []


def session_of(line: bytes) -> str | None:
    """The session that a line belongs to: in 2.0 the agents' files of all sessions lie in one directory."""
    return name(record(line).get("sessionId"))


def parse_meta(content: bytes, session_id: str, agent_id: str, at: float) -> list[Observation]:
    """agent-<id>.meta.json of 2.1, which ties an agent to its delegation and says whether it has finished.

    Args:
        content: {`toolUseId`, `requestShape`: `background` or another, `finished`, …}.
        session_id, agent_id: from the file's path.
        at: when the file was written, seconds since the epoch.
    """
    entry = record(content)
    who = Who(session_id, agent_id)
    tool_use_id = name(entry.get("toolUseId"))
    seen: list[Observation] = []
    if tool_use_id:
        shape = text(entry.get("requestShape"))
        seen.append(AgentSeen(who, at, tool_use_id, background=shape == "background" if shape else None))
    if entry.get("finished") is True:
        seen.append(AgentEnded(who, at, tool_use_id))
    return seen


def _who(entry: Mapping[str, Any]) -> Who:
    session_id, agent_id = name(entry.get("sessionId")), name(entry.get("agentId"))
    if entry.get("isSidechain") is True and agent_id is None:
        uuid, parent = name(entry.get("uuid")), name(entry.get("parentUuid"))
        return Who(session_id, chain=(parent, uuid) if uuid else None, unsure=uuid is None)
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
