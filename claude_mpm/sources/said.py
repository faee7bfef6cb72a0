"""Which words were told already: one text comes by the hooks, by stdout and by the transcript."""

from __future__ import annotations

from collections import Counter

from claude_mpm.feed.event import Source

MAX_TEXTS = 20_000


class Said:
    """Pure; one thread."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], None] = {}
        self._unnamed: dict[tuple[Source, str], int] = {}
        self._told: Counter[str] = Counter()
        self._prompt_at = 0.0
        self._retries: Source | None = None

    def text_is_new(self, message_id: str | None, text: str, source: Source) -> bool:
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

    def prompt_is_new(self, text: str, source: Source, at: float | None) -> bool:
        """A prompt has no id all sources know: the n-th time a source tells it is the n-th time it was typed."""
        if source == "transcript" and at is not None:
            if at <= self._prompt_at:
                return False  # a transcript that is read again
            self._prompt_at = at
        return self._once_more(f"> {text}", source)

    def retry_counts(self, source: Source) -> bool:
        """Retries have no id at all: the first source that tells one is the one listened to."""
        self._retries = self._retries or source
        return self._retries == source

    def _once_more(self, text: str, source: Source) -> bool:
        times = self._unnamed[source, text] = self._unnamed.get((source, text), 0) + 1
        if len(self._unnamed) > MAX_TEXTS:
            self._unnamed.pop(next(iter(self._unnamed)))
        if times <= self._told[text]:
            return False
        self._told[text] += 1
        return True
