"""Words, each told once: one text comes by the hooks, by stdout and by the transcript."""

from __future__ import annotations

from collections import Counter

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse import observations as seen

MAX_TEXTS = 20_000


class Said:
    """Pure; one thread."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], None] = {}
        self._unnamed: dict[tuple[Source, str], int] = {}
        self._told: Counter[str] = Counter()
        self._prompt_at = 0.0
        self._retries: Source | None = None

    def prompt(self, observed: seen.Prompt, source: Source, at: float, session_id: str | None) -> list[Event]:
        """The user's words."""
        if not self._prompt_is_new(observed.text, source, observed.at):
            return []
        return [ev.claude_message("user", observed.text, source=source, time=at, session_id=session_id)]

    def text(
        self, observed: seen.Said, agent_id: str | None, source: Source, at: float, session_id: str | None
    ) -> list[Event]:
        """Claude's words, or those of one of its agents."""
        if not self._text_is_new(observed.message_id, observed.text, source):
            return []
        return [
            ev.claude_message(
                "assistant", observed.text, model=observed.model, agent_id=agent_id, message_id=observed.message_id,
                source=source, time=at, session_id=session_id,
            )
        ]  # fmt: skip

    def api_failed(
        self, observed: seen.ApiFailed, agent_id: str | None, source: Source, at: float, session_id: str | None
    ) -> list[Event]:
        """What Claude Code says where the model did not answer."""
        if not observed.final:
            self._retries = self._retries or source  # retries have no id: the first source to tell one is listened to
            hint = "Claude tries again by itself."
            known = self._retries != source
            return [] if known else [ev.system_error(observed.text, "claude", severity="warning", hint=hint)]
        if not self._text_is_new(observed.message_id, observed.text, source):
            return []
        return [
            ev.claude_message(
                "system", observed.text, agent_id=agent_id, message_id=observed.message_id,
                source=source, time=at, session_id=session_id,
            ),
            ev.system_error(observed.text, "claude"),
        ]  # fmt: skip

    def _text_is_new(self, message_id: str | None, text: str, source: Source) -> bool:
        """A text of Claude's, named by its message."""
        if message_id is None:
            return self._once_more(text, source)
        key = (message_id, text)
        if key in self._texts:
            return False
        self._texts[key] = None
        if len(self._texts) > MAX_TEXTS:
            self._texts.pop(next(iter(self._texts)))
        return True

    def _prompt_is_new(self, text: str, source: Source, at: float | None) -> bool:
        """A prompt has no id all sources know: the n-th time a source tells it is the n-th time it was typed."""
        if source == "transcript" and at is not None:
            if at <= self._prompt_at:
                return False  # a transcript that is read again
            self._prompt_at = at
        return self._once_more(f"> {text}", source)

    def _once_more(self, text: str, source: Source) -> bool:
        times = self._unnamed[source, text] = self._unnamed.get((source, text), 0) + 1
        if len(self._unnamed) > MAX_TEXTS:
            self._unnamed.pop(next(iter(self._unnamed)))
        if times <= self._told[text]:
            return False
        self._told[text] += 1
        return True
