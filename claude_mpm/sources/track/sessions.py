"""Which of Claude's sessions a record belongs to, and when Claude has moved on to another one.

`/clear` and `/resume` begin another session in the same process. On resume the first id is often one that Claude
gives up before anything is said (1.x in its hook, 2.1 on stdout), and 2.0 goes on to use it for its hidden agents. So an
id under which nothing was said gives way to the next one, and only a prompt or a session's start moves on to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse.observations import Observation, Prompt, Said, SessionStarted

MAX_PAST = 10  # earlier sessions of the process whose last messages are still reported

Reason = Literal["clear", "resume", "compact"]
_REASONS: dict[str | None, Reason] = {"clear": "clear", "resume": "resume", "compact": "compact"}


@dataclass(frozen=True, slots=True)
class Switch:
    """Claude went from one session to another. `lasted`: seconds that the old one had."""

    old: str
    new: str
    reason: Reason
    lasted: float


class Sessions:
    """The sessions of one process.

    Args:
        session_id: when it is known in advance, as with `--session-id`.
    """

    def __init__(self, session_id: str | None) -> None:
        self.current = session_id
        self.end_reason: str | None = None  # of the current session, once a hook has said why it ends
        self._is_sure = session_id is not None
        self._past: list[str] = []
        self._since: float | None = None
        self._has_hooks = False

    def process_started(self, at: float) -> None:
        """The current session began with the process."""
        self._since = at

    def place(self, observed: Observation, source: Source) -> Literal["current", "past", "next", "unknown"]:
        """Where the observation belongs; `next`: its session replaces the current one."""
        new = observed.who.session_id
        self._has_hooks |= source == "hook"
        self.current = self.current or new
        if new is None or new == self.current:
            return "current"
        started = isinstance(observed, SessionStarted)
        if new in self._past and not (started and source == "hook"):
            return "past"
        prompted = source == "hook" and isinstance(observed, Prompt) and observed.who.is_main
        if not prompted and not (started and (source == "hook" or not self._has_hooks)):
            return "unknown"  # when it is a new session, the hook, which knows the reason, is on its way
        if self._is_sure:
            return "next"
        self.current = new
        return "current"

    def ended(self, reason: str) -> list[Event]:
        """A hook has said why the current session ends; its end is told when the next one begins."""
        self.end_reason = reason
        return []

    def confirm(self, observed: Observation) -> None:
        """Something happened in the current session; once something was said in it, its id is the right one."""
        self._is_sure |= observed.who.session_id is not None and isinstance(observed, (Prompt, Said))

    def switch(self, observed: Observation, at: float) -> Switch:
        """Move on to the session of an observation that place() called `next`."""
        old, new = self.current, observed.who.session_id
        assert old is not None and new is not None
        said = observed.reason if isinstance(observed, SessionStarted) else None
        reason = _REASONS.get(said or self.end_reason, "resume")
        lasted = at - self._since if self._since is not None else 0.0
        self._past = [*self._past[1 - MAX_PAST :], old]
        self.current, self._since, self.end_reason = new, at, None
        return Switch(old, new, reason, lasted)
