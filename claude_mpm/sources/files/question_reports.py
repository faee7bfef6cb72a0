"""What becomes of questions that clients may answer, told to the file-reader, where all events are made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from claude_mpm.feed.event import Decision
from claude_mpm.sources.parse.observations import AnswerDelivered, Asked, HookEnded, Observation, Who


class QuestionReports:
    """Takes reports from any thread, in order. Does not block.

    Args:
        observe: takes an observation, in whatever thread.
    """

    def __init__(self, observe: Callable[[Observation], object]) -> None:
        self._observe = observe

    def asked(self, request_id: str, question: dict[str, Any], at: float) -> None:
        """A hook of Claude's waits for an answer. `question`: its fields in `claude.question`; `at`: since the epoch."""
        self._observe(Asked(Who(None, question.get("agent_id")), at, request_id, question))

    def delivered(self, request_id: str, decision: Decision, client: str) -> None:
        """Claude's hook has printed this answer of this client."""
        self._observe(AnswerDelivered(Who(), time.time(), request_id, decision, client))

    def hook_ended(self, request_id: str | None, reason: str) -> None:
        """A hook waits no longer; None: its question was never opened. `reason`: one sentence for clients."""
        self._observe(HookEnded(Who(), time.time(), request_id, reason))
