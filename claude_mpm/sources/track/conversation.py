"""What is said, each text once: it comes by the hooks, by stdout and by the transcript."""

from __future__ import annotations

from dataclasses import dataclass, field

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut
from claude_mpm.feed.event import Event, Origin, Source
from claude_mpm.sources.parse.observations import ApiFailed, Prompt, Said
from claude_mpm.sources.track.digests import Digest, Recent, text_digest

MAX_TEXTS = 10_000  # texts recognised again; a long day of one session has some thousands
RETRY_HINT = "Claude tries again by itself."


@dataclass(slots=True)
class _Count:
    """How often a text without an id was reported, and how often each source has seen it."""

    reported: int = 0
    seen: dict[Source, int] = field(default_factory=dict)


class Conversation:
    """The messages of a process, of the user and of Claude and its agents."""

    def __init__(self) -> None:
        self._with_id: Recent[Digest, None] = Recent(MAX_TEXTS)
        self._without_id: Recent[Digest, _Count] = Recent(MAX_TEXTS)
        self._prompt_at = 0.0  # the time of the transcript's newest prompt
        self._retries_from: Source | None = None

    def prompt(self, observed: Prompt, origin: Origin) -> list[Event]:
        """The user has entered a prompt."""
        if origin.source == "transcript" and observed.at is not None:
            if observed.at <= self._prompt_at:
                return []  # the transcript is read again
            self._prompt_at = observed.at
        if not self._is_next(text_digest("prompt", observed.text), origin.source):
            return []
        return [ev.claude_message("user", observed.text, origin=origin)]

    def said(self, observed: Said, agent_id: str | None, origin: Origin) -> list[Event]:
        """Claude, or the agent `agent_id`, wrote a text."""
        if not self._is_new(observed.message_id, observed.text, origin.source):
            return []
        return [
            ev.claude_message(
                "assistant",
                observed.text,
                origin=origin,
                model=observed.model,
                agent_id=agent_id,
                message_id=observed.message_id,
            )
        ]

    def api_failed(self, observed: ApiFailed, agent_id: str | None, origin: Origin) -> list[Event]:
        """The model could not be reached."""
        if not observed.final:
            return self._retry(observed, origin.source)
        if not self._is_new(observed.message_id, observed.text, origin.source):
            return []
        message_id = observed.message_id
        return [
            ev.claude_message("system", observed.text, origin=origin, agent_id=agent_id, message_id=message_id),
            ev.system_error(cut(observed.text)[0], "claude"),
        ]

    def _retry(self, observed: ApiFailed, source: Source) -> list[Event]:
        """Retries have no id, so only those of the first source that reports one are used."""
        self._retries_from = self._retries_from or source
        if self._retries_from != source:
            return []
        return [ev.system_error(cut(observed.text)[0], "claude", severity="warning", hint=RETRY_HINT)]

    def _is_new(self, message_id: str | None, text: str, source: Source) -> bool:
        """Whether a text of Claude's, which its message names, has not been reported yet."""
        if message_id is None:
            return self._is_next(text_digest("answer", text), source)
        digest = text_digest(message_id, text)
        if digest in self._with_id:
            return False
        self._with_id[digest] = None
        return True

    def _is_next(self, text: Digest, source: Source) -> bool:
        """Whether a text without an id has not been reported this often.

        No id of a prompt is known to all sources: the n-th time that one source has a text is its n-th time.
        """
        count = self._without_id.get(text, _Count())
        self._without_id[text] = count
        count.seen[source] = count.seen.get(source, 0) + 1
        if count.seen[source] <= count.reported:
            return False
        count.reported += 1
        return True
