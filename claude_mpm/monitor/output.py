"""What Claude writes, as `claude.output` events: whole characters, small writes joined. Pure."""

from __future__ import annotations

import codecs
from typing import Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source


class OutputDecoder:
    """Bytes of one stream in, events out. For one thread.

    The contents of all events, joined, are the stream's bytes decoded as UTF-8 with what is truly invalid replaced. A
    character split between two reads is in one event.

    Args:
        join_time: seconds what came may wait for more to come.
        join_bytes: bytes of content at which it waits no longer; no event holds more.
    """

    def __init__(self, stream: Literal["stdout", "stderr"], source: Source, join_time: float, join_bytes: int) -> None:
        self._stream = stream
        self._source = source
        self._join_time = join_time
        self._join_bytes = join_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._received = 0  # bytes
        self._offset = 0  # bytes of the stream that events were made of
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """When flush() is due, on the clock of feed()'s `now`; None: nothing waits."""
        return self._deadline

    def feed(self, data: bytes, now: float) -> list[Event]:
        """The events that are complete with `data`. `now`: time.monotonic()."""
        events = []
        while data:
            room = max(self._join_bytes - (self._received - self._offset), 1)
            text = self._decoder.decode(data[:room])
            self._received += len(data[:room])
            data = data[room:]
            if text:
                self._parts.append(text)
                if self._deadline is None:
                    self._deadline = now + self._join_time
            if self._received - self._offset >= self._join_bytes:
                events += self.flush()
        if self._deadline is not None and now >= self._deadline:
            events += self.flush()
        return events

    def skip(self, count: int) -> list[Event]:
        """Skip the next `count` bytes of the stream, which are lost. Returns the events of what came before them."""
        events = self.flush(final=True)
        self._decoder.reset()
        self._received += count
        self._offset = self._received
        return events

    def flush(self, final: bool = False) -> list[Event]:
        """What is pending, as at most one event. A split character stays pending unless this is the end (`final`)."""
        if final:
            self._parts.append(self._decoder.decode(b"", final=True))
        content, self._parts, self._deadline = "".join(self._parts), [], None
        if not content:
            return []
        offset = self._offset
        self._offset = self._received - len(self._decoder.getstate()[0])
        return [ev.claude_output(content, offset, self._stream, self._source)]
