"""The most recent events of the log as ready WebSocket frames, made once for all clients that want the same types."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import accumulate, takewhile
from typing import NamedTuple

from claude_mpm.feed.log import Cursor, Log
from claude_mpm.server.frames import text_frame

BATCH_BYTES = 128 * 1024  # what one chunk aims at
ADVANCE_BYTES = 256 * 1024  # read in one round: few large sends, each of which gives the interpreter away once
TAPE_BYTES = 512 * 1024  # kept for clients that were busy for a moment; who is further behind reads the log itself


class Chunk(NamedTuple):
    """The frames of one batch of events."""

    seqs: list[int]
    ends: list[int]  # where each frame ends in `data`
    data: memoryview


class Tape:
    """Frames of all events of some types with start < seq <= cursor. Belongs to the broadcaster's thread; never blocks."""

    def __init__(self, log: Log, types: frozenset[str], start: int, max_events: int) -> None:
        """`max_events`: the most that are read from the log under one lock."""
        self.types = types
        self.start = start  # greater, once the oldest frames had to go
        self._max_events = max_events
        self._batch = min(16, max_events)  # events to read at once; follows their size
        self._chunks: deque[Chunk] = deque()
        self._size = 0  # bytes
        self._cursor = Cursor(log, start, dict.fromkeys(types, start))

    @property
    def cursor(self) -> int:
        """The seq up to which the log has been read."""
        return self._cursor.cursor

    def advance(self) -> None:
        """Read up to ADVANCE_BYTES from the log. Where the log has lost events, the tape starts anew behind them."""
        size = 0
        while size < ADVANCE_BYTES and (chunk := self._read()):
            size += len(chunk.data)

    def _read(self) -> Chunk | None:
        """Append the next chunk. None: there are no new events."""
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
        """What a client that has everything up to `seq` is to get next, and the seq up to which it then has everything.

        The frames have `max_size` bytes, or one chunk more. None: the tape does not reach back, or not up, to `seq`.
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
