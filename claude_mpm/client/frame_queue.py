"""Frames that have arrived: replies for the thread that asked, everything else in order."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

from claude_mpm.system import json_text

Frame = dict[str, Any]  # one message of the protocol: `type`, `data`, and more (docs/protocol.md)

QUEUE_CHARS = 8 * 1024 * 1024  # of JSON text; the decoded frames take several times as much memory

log = logging.getLogger(__name__)


class FrameQueue:
    """A bounded queue of events, and a slot for each reply that somebody is waiting for.

    The receiver thread appends, and waits while the queue is full: TCP then pushes back on the server, which skips
    ahead and reports the gap. A reply may stand behind events in the stream, so while one is awaited the queue takes
    four times as much.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[tuple[Frame, int]] = deque()
        self._chars = 0
        self._replies: dict[str, Frame | None] = {}
        self._ended = False

    def append(self, message: str | bytes) -> None:
        """Decode a message and queue it. Blocks while there is no room. Receiver thread only."""
        frame = _decoded(message)
        if frame is None:
            return
        with self._changed:
            request_id = frame.get("request_id")
            if isinstance(request_id, str):
                if request_id in self._replies:  # otherwise whoever asked has given up
                    self._replies[request_id] = frame
                    self._changed.notify_all()
                return
            self._changed.wait_for(self._has_room)
            if not self._ended:
                self._frames.append((frame, len(message)))
                self._chars += len(message)
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._ended or self._chars < QUEUE_CHARS * (4 if self._replies else 1)

    def get(self, timeout: float | None) -> Frame | None:
        """Return the next frame that is not a reply, or None after `timeout` seconds (None: wait for ever).

        Raises:
            EOFError: everything was read, and nothing more will come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._frames or self._ended, timeout):
                return None
            if not self._frames:
                raise EOFError
            frame, chars = self._frames.popleft()
            self._chars -= chars
            self._changed.notify_all()
            return frame

    def expect(self, request_id: str) -> None:
        """Make room for a reply. To be called before the command is sent; `forget` undoes it."""
        with self._changed:
            self._replies[request_id] = None
            self._changed.notify_all()

    def reply(self, request_id: str, timeout: float) -> Frame | None:
        """Return the expected reply, or None after `timeout` seconds.

        Raises:
            EOFError: the connection ended before the reply came.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._replies[request_id] or self._ended, timeout)
            if self._replies[request_id] is None and self._ended:
                raise EOFError
            return self._replies[request_id]

    def forget(self, request_id: str) -> None:
        """Stop waiting for a reply; should it still come, it is dropped."""
        with self._changed:
            self._replies.pop(request_id, None)

    def end(self, discard: bool = False) -> None:
        """Wake everybody: nothing more will come. Unread frames stay readable unless `discard` is true."""
        with self._changed:
            self._ended = True
            if discard:
                self._frames.clear()
                self._chars = 0
            self._changed.notify_all()


def _decoded(message: str | bytes) -> Frame | None:
    """The message as a frame; None, and a line in the log, when it is not one of the protocol."""
    try:
        frame = json_text.loads(message)
    except ValueError as error:
        log.warning("skipped a message that is not JSON: %.100s", error)
        return None
    if isinstance(frame, dict) and isinstance(frame.get("type"), str) and isinstance(frame.get("data"), dict):
        return frame
    log.warning("skipped a message that is not a frame of the protocol: %.100r", message)
    return None
