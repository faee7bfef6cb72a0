"""The most recent events as ready-made WebSocket frames, shared by all clients that select the same events."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import accumulate, takewhile
from typing import NamedTuple

from claude_mpm.feed.log import Cursor, Log
from claude_mpm.feed.selection import Selection
from claude_mpm.server.websocket.frames import text_frame

BATCH_BYTES = 128 * 1024  # the size one chunk aims at
ADVANCE_BYTES = 256 * 1024  # read per round; few large sends, because each hands the interpreter lock to another thread
TAPE_BYTES = 512 * 1024  # kept for clients that were busy for a moment; one further behind reads the log itself


class Chunk(NamedTuple):
    """The frames of one batch of events."""

    seqs: list[int]
    ends: list[int]  # where each frame ends in `data`
    data: memoryview


class Tape:
    """The frames of all events of `selection` with start < seq <= cursor. Belongs to the broadcaster's thread; never blocks."""

    def __init__(self, log: Log, selection: Selection, start: int, max_events: int) -> None:
        """`max_events`: the number of events that are read from the log at once, at most."""
        self.selection = selection
        self.start = start  # grows as the oldest frames are dropped
        self._max_events = max_events
        self._batch = min(16, max_events)  # events to read at once; adapts to their size
        self._chunks: deque[Chunk] = deque()
        self._size = 0  # bytes
        self._cursor = Cursor(log, start)
        low = dict.fromkeys(selection.types, start)
        self._cursor.want(low, selection.accepts if selection.scoped else None)

    @property
    def cursor(self) -> int:
        """The seq up to which the log has been read."""
        return self._cursor.cursor

    def advance(self) -> None:
        """Read about ADVANCE_BYTES from the log. Where the log has evicted events, the tape starts again after the gap."""
        size = 0
        while size < ADVANCE_BYTES and (chunk := self._read()):
            size += len(chunk.data)

    def _read(self) -> Chunk | None:
        """Append the next chunk and return it; None when there are no new events."""
        batch = self._cursor.next(self._batch)
        if batch.gap is not None:
            self._chunks.clear()
            self._size = 0
            self.start = batch.gap.to_seq
        if not batch.entries:
            return None
        frames = [text_frame(entry.json) for entry in batch.entries]
        data = memoryview(b"".join(frames))
        chunk = Chunk([entry.seq for entry in batch.entries], list(accumulate(map(len, frames))), data)
        self._chunks.append(chunk)
        self._size += len(data)
        if len(data) > BATCH_BYTES:
            self._batch = max(self._batch // 2, 1)
        elif len(frames) == self._batch:
            self._batch = min(self._batch * 2, self._max_events)
        while self._size > TAPE_BYTES and len(self._chunks) > 1:
            oldest = self._chunks.popleft()
            self._size -= len(oldest.data)
            self.start = oldest.seqs[-1]
        return chunk

    def after(self, seq: int, max_size: int) -> tuple[list[memoryview], int] | None:
        """The frames that follow `seq`, and the seq up to which a client that has got them has everything.

        They add up to `max_size` bytes, exceeded by one chunk at most. None when `seq` lies outside the tape.
        """
        if not self.start <= seq <= self.cursor:
            return None
        views: list[memoryview] = []
        size = 0
        due = takewhile(lambda chunk: chunk.seqs[-1] > seq, reversed(self._chunks))  # mostly the newest one alone
        for chunk in reversed(list(due)):
            index = bisect_right(chunk.seqs, seq)
            view = chunk.data[chunk.ends[index - 1] :] if index else chunk.data
            views.append(view)
            size += len(view)
            seq = chunk.seqs[-1]
            if size >= max_size:
                return views, seq
        return views, self.cursor
