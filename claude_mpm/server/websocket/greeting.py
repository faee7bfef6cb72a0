"""The first message to every WebSocket client: the status, encoded once for clients that connect at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from claude_mpm.server.commands.replies import Asker, status_reply
from claude_mpm.server.websocket.frames import text_frame

FRESH = 0.05  # seconds; an older greeting is made anew, for what changes without an event: uptime, CPU, memory


class _Made(NamedTuple):
    seq: int  # of the newest event
    clients: int
    at: float  # monotonic
    frame: bytes


class Greeting:
    """Makes the greeting, and keeps it for a moment. Any thread; blocks no longer than making the status does.

    With hundreds of todos and agents the status is large, and clients that reconnect in a loop would have it encoded
    every time.

    Args:
        client_count: returns the number of clients connected now.
    """

    def __init__(self, client_count: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._client_count = client_count
        self._clock = clock
        self._made: _Made | None = None  # two threads may both replace it; each returns what it made itself

    def frame(self, asker: Asker) -> bytes:
        """The greeting as a WebSocket frame. It reflects every event that was in the log when this was called."""
        seq, clients, now, made = asker.log.seq, self._client_count(), self._clock(), self._made
        if made is not None and (made.seq, made.clients) == (seq, clients) and now - made.at < FRESH:
            return made.frame
        frame = text_frame(status_reply(asker))
        self._made = _Made(seq, clients, now, frame)
        return frame
