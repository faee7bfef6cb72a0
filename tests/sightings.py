"""What the tests of the sources share: recorded files, and any JSON at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from support import DATA

from claude_mpm.sources.parse.observations import Observation

VERSIONS = ("1.0.128", "2.0.77", "2.1.330")
SESSION = "22222222-2222-4222-8222-222222222222"


# A busy machine makes neither the search nor one example wrong.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def transcripts(version: str) -> list[Path]:
    """The recorded session's files, the main one first."""
    found = sorted((DATA / "transcripts" / version).rglob("*.jsonl"))
    return sorted(found, key=lambda path: path.stem != SESSION)


def kinds(found: Iterable[Observation]) -> Counter[str]:
    return Counter(type(observation).__name__ for observation in found)


_names = st.sampled_from(
    [
        "type",
        "subtype",
        "message",
        "content",
        "role",
        "text",
        "id",
        "name",
        "input",
        "tool_use_id",
        "is_error",
        "usage",
        "input_tokens",
        "output_tokens",
        "model",
        "uuid",
        "parentUuid",
        "isSidechain",
        "agentId",
        "sessionId",
        "session_id",
        "timestamp",
        "toolUseResult",
        "tool_use_result",
        "task",
        "task_id",
        "status",
        "todos",
        "hook_event_name",
        "tool_name",
        "tool_input",
        "tool_response",
        "prompt",
        "notification_type",
        "message",
        "background_tasks",
        "reason",
        "source",
        "parent_tool_use_id",
        "total_cost_usd",
        "totalCostUSD",
        "operation",
        "attachment",
        "statusUpdatedAt",
        "stop_reason",
        "finished",
        "toolUseId",
    ]
)
_words = st.sampled_from(
    [
        "user",
        "assistant",
        "system",
        "result",
        "tool_use",
        "tool_result",
        "text",
        "init",
        "queue-operation",
        "enqueue",
        "attachment",
        "queued_command",
        "Task",
        "Agent",
        "TodoWrite",
        "TaskCreate",
        "TaskUpdate",
        "PreToolUse",
        "PostToolUse",
        "UserPromptSubmit",
        "SessionStart",
        "SessionEnd",
        "Stop",
        "SubagentStop",
        "clear",
        "Notification",
        "turn_duration",
        "task_started",
        "task_notification",
        "local_agent",
        "completed",
        "cost-state",
        "busy",
        "idle",
        "waiting",
        "[Request",
        "interrupted",
        "<task-notification><task-id>a</task-id><status>completed</status>",
    ]
)
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _words
values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=6),
    max_leaves=25,
)
records = st.dictionaries(_names, values, max_size=9)


def as_line(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")
