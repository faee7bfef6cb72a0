"""Masks secrets in a session's events, so that an export can be given to somebody else.

In a structured event each text is searched by itself, and a secret becomes `[redacted: KIND]`. What a terminal showed is
searched as one stream per output, because a secret may be split between two events, or have colours inside; there each
character becomes `*`, so that the picture keeps its layout and the events keep their offsets. secrets.py has the rules.

Pure; for one thread.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from claude_mpm.archive.export.secrets import MAX_SECRET, Secret, find, is_secret_name, is_secret_value
from claude_mpm.feed import event as ev

Frame = dict[str, Any]  # one event as the protocol sends it
Frames = Callable[[], Iterable[Frame]]  # the events of a session, from the first one each time it is called

WINDOW = 256 * 1024  # characters of output searched at a time
MAX_WINDOW = 4 * 1024 * 1024  # characters; reached only by output that shows next to nothing
CONTEXT = 512  # characters before them: the name or the header that makes a secret of what follows

# Sequences that draw nothing are passed over, ones that move the cursor separate words, as a space or a line end does.
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*(?P<final>[@-~])|[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-Z\\-~])"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_SIDEWAYS = frozenset("CDGIZ`a")
_UP_AND_DOWN = frozenset("ABEFHJdefKLM")
# The next row of a text that a program has wrapped, perhaps inside a frame. Only rows that are no words are continued.
_NEXT_ROW = re.compile(r"[ \t│┃|]*\r?\n[ \t│┃|]*(?P<rest>(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[\w+/=.~-]{4,200})(?![^\s│┃|])")
_GENERAL = ("password", "secret", "private")  # kinds begin like this where no prefix tells a token from a word


class Redactor:
    """Masks secrets and counts them.

    Attributes:
        counts: how many secrets of each kind were masked; complete once everything was read.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def redact(self, frames: Frames) -> Iterator[Frame]:
        """The events with their secrets masked. Calls `frames` twice, and reads no further than it did the first time."""
        streams: dict[str, _Output] = {}
        number = 0
        for frame in frames():
            number += 1
            if frame["type"] == ev.CLAUDE_OUTPUT:
                name = _stream(frame)
                streams.setdefault(name, _Output(self.counts)).search(_content(frame))
        for output in streams.values():
            output.finish()
        for frame in islice(frames(), number):
            yield self._masked(frame, streams)

    def _masked(self, frame: Frame, streams: dict[str, _Output]) -> Frame:
        if frame["type"] != ev.CLAUDE_OUTPUT:
            return {**frame, "data": self._value(frame["data"])}
        return {**frame, "data": {**frame["data"], "content": streams[_stream(frame)].mask(_content(frame))}}

    def _value(self, value: Any, name: str = "") -> Any:
        """A copy of a JSON value that stood in a field called `name`."""
        if isinstance(value, str):
            if name and is_secret_name(name) and is_secret_value(value):
                return self._mark("secret in a field")
            return self._text(value, name)
        if isinstance(value, dict):
            return {self._text(str(key)): self._value(item, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, name) for item in value]
        return value

    def _text(self, text: str, name: str = "") -> str:
        """The text masked. A name before it, as in a header, can make a secret of what follows."""
        lead = f"{name}: " if name else ""
        secrets = find(lead + text, len(lead))
        if not secrets:
            return text
        parts, end, text = [], len(lead), lead + text
        for secret in secrets:
            parts += [text[end : secret.start], self._mark(secret.kind)]
            end = secret.end
        return "".join((*parts, text[end:]))

    def _mark(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"[redacted: {kind}]"


def _stream(frame: Frame) -> str:
    return str(frame["data"].get("stream"))


def _content(frame: Frame) -> str:
    return str(frame["data"].get("content", ""))


class _Output:
    """One stream of output. First search() all of it and finish(), then mask() the same pieces again, in order."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._parts: list[str] = []  # what is not searched yet
        self._length = 0  # characters in them
        self._due = WINDOW  # characters in them at which they are searched
        self._base = 0  # characters of the stream before them
        self._known = 0  # visible characters at their beginning that are only context
        self._spans: deque[tuple[int, int]] = deque()  # what to mask, in characters of the stream
        self._position = 0  # characters of the stream that mask() has returned

    def search(self, content: str) -> None:
        """Take the next piece of the stream."""
        self._parts.append(content)
        self._length += len(content)
        if self._length >= self._due:
            self._search(is_end=self._length > MAX_WINDOW)

    def finish(self) -> None:
        """There are no more pieces."""
        self._search(is_end=True)

    def _search(self, *, is_end: bool) -> None:
        raw = "".join(self._parts)
        text = _Visible(raw)
        length = len(text.text)
        settled = length if is_end else max(length - 2 * MAX_SECRET, self._known)  # what begins later may go on
        end = settled
        spans: list[tuple[int, int]] = []
        for secret in find(text.text, self._known):
            if secret.start >= settled:
                break
            secret = _with_next_rows(text.text, secret)
            self._counts[secret.kind] += 1
            spans += text.raw_spans(secret)
            end = max(end, secret.end)
        spans += self._swallowed(raw, text.raw_end(self._known), text.raw_place(settled), spans)
        self._spans.extend((self._base + start, self._base + stop) for start, stop in sorted(spans))
        keep = max(settled - CONTEXT, 0)
        place = len(raw) if is_end else text.raw_place(keep)
        self._base += place
        self._parts, self._length, self._known = [raw[place:]], len(raw) - place, 0 if is_end else end - keep
        self._due = self._length + WINDOW

    def _swallowed(self, raw: str, first: int, last: int, known: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Secrets whose beginning a terminal takes for the end of an escape: it does not show them whole, the file does."""
        for secret in find(raw, first):
            if secret.start >= last:
                return
            if not any(start < secret.end and secret.start < stop for start, stop in known):
                self._counts[secret.kind] += 1
                yield secret.start, secret.end

    def mask(self, content: str) -> str:
        """The next piece with what is secret in it masked."""
        first, last = self._position, self._position + len(content)
        self._position = last
        while self._spans and self._spans[0][0] < last:
            start, end = self._spans.popleft()
            at, to = max(start - first, 0), min(end, last) - first
            content = content[:at] + _stars(content[at:to]) + content[to:]
            if end > last:
                self._spans.appendleft((last, end))
                break
        return content


def _with_next_rows(text: str, secret: Secret) -> Secret:
    """The secret with its continuation, where a program has wrapped it into several rows."""
    while not secret.kind.startswith(_GENERAL) and (row := _NEXT_ROW.match(text, secret.end)):
        secret = secret._replace(end=row.end("rest"))
    return secret


def _stars(text: str) -> str:
    return re.sub(r"[^\s│┃|]", "*", text)


class _Run(NamedTuple):
    """Characters that stand together in a piece of output, or (`is_drawn` false) what separates words in their place."""

    start: int  # in the text
    place: int  # in the piece
    length: int
    is_drawn: bool


class _Visible:
    """The text that a piece of output shows, and where in the piece each of its characters stands."""

    def __init__(self, raw: str) -> None:
        parts: list[str] = []
        self._runs: list[_Run] = []
        self._length = 0
        self._raw_length = len(raw)
        end = 0
        for escape in _ESCAPE.finditer(raw):
            self._add(parts, raw[end : escape.start()], end)
            final = escape["final"]
            if final in _SIDEWAYS or final in _UP_AND_DOWN:
                self._add(parts, " " if final in _SIDEWAYS else "\n", escape.start(), is_drawn=False)
            end = escape.end()
        self._add(parts, raw[end:], end)
        self.text = "".join(parts)

    def _add(self, parts: list[str], text: str, place: int, *, is_drawn: bool = True) -> None:
        if text:
            parts.append(text)
            self._runs.append(_Run(self._length, place, len(text), is_drawn))
            self._length += len(text)

    def raw_place(self, place: int) -> int:
        """Where in the piece the character at `place` of the text stands."""
        index = self._run(place)
        if index == len(self._runs):
            return self._raw_length
        run = self._runs[index]
        return run.place + max(place - run.start, 0)

    def raw_end(self, place: int) -> int:
        """Where in the piece the first `place` characters of the text end: before an escape that follows them."""
        return self.raw_place(place - 1) + 1 if place else 0

    def raw_spans(self, secret: Secret) -> Iterator[tuple[int, int]]:
        """The secret's parts in the piece, without what stands between them and is not shown."""
        for run in islice(self._runs, self._run(secret.start), None):
            if run.start >= secret.end:
                return
            if run.is_drawn:
                first, last = max(secret.start - run.start, 0), min(secret.end - run.start, run.length)
                yield run.place + first, run.place + last

    def _run(self, place: int) -> int:
        """The index of the run that holds the character at `place`."""
        return bisect_right(self._runs, place, key=lambda run: run.start + run.length)
