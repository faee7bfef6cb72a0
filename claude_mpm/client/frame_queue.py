"""Frames that have arrived: replies for the thread that asked or ahead of the rest, everything else in order."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

from claude_mpm.errors import ServerUnavailable
from claude_mpm.system import json_text

Frame = dict[str, Any]  # one message of the protocol: `type`, `data`, and more (docs/protocol.md)

QUEUE_CHARS = 8 * 1024 * 1024  # of JSON text; the decoded frames take several times as much memory
MOST_PASSED = 256  # replies awaited in the stream; a server stops reading at as many commands without a reply

log = logging.getLogger(__name__)


class FrameQueue:
    """A bounded queue of events, and a slot for each reply that somebody is waiting for.

    The receiver thread appends, and waits while the queue is full: TCP then pushes back on the server, which skips
    ahead and reports the gap. A reply may stand behind events in the stream, so while one is awaited the queue takes
    four times as much. A reply that is awaited in the stream, see pass_on(), overtakes the events that wait here.

    Args:
        max_chars: of JSON text at which the queue is full.
    """

    def __init__(self, max_chars: int = QUEUE_CHARS) -> None:
        self._max_chars = max_chars
        self._changed = threading.Condition()
        self._frames: deque[tuple[Frame, int]] = deque()
        self._passed_on: deque[tuple[Frame, int]] = deque()  # replies; they are read before the events
        self._chars = 0  # of both
        self._replies: dict[str, Frame | None] = {}
        self._to_pass_on: set[str] = set()
        self._ended = False

    def append(self, message: str | bytes) -> None:
        """Decode a message and queue it. Blocks while there is no room. Receiver thread only."""
        frame = _decoded(message)
        if frame is None:
            return
        with self._changed:
            request_id = frame.get("request_id")
            is_passed_on = isinstance(request_id, str) and request_id in self._to_pass_on
            if isinstance(request_id, str) and not is_passed_on:
                self._answer(request_id, frame)
                return
            self._changed.wait_for(self._has_room)
            if not self._ended:
                self._to_pass_on.discard(str(request_id))
                (self._passed_on if is_passed_on else self._frames).append((frame, len(message)))
                self._chars += len(message)
                self._changed.notify_all()

    def _answer(self, request_id: str, frame: Frame) -> None:
        """Put a reply into the slot of whoever waits for it; drop it if nobody does any more."""
        if request_id in self._replies:
            self._replies[request_id] = frame
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._ended or self._chars < self._max_chars * (4 if self._replies or self._to_pass_on else 1)

    def get(self, timeout: float | None) -> Frame | None:
        """Return the next frame that nobody waits for elsewhere, or None after `timeout` seconds (None: wait for ever).

        Raises:
            EOFError: everything was read, and nothing more will come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._passed_on or self._frames or self._ended, timeout):
                return None
            queue = self._passed_on or self._frames
            if not queue:
                raise EOFError
            frame, chars = queue.popleft()
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

    def pass_on(self, request_id: str) -> None:
        """Let the reply come from get(), before the events that wait. To be called before the command is sent.

        Raises:
            ServerUnavailable: too many such replies have not come yet.
        """
        with self._changed:
            if len(self._to_pass_on) >= MOST_PASSED:
                raise ServerUnavailable(f"{MOST_PASSED} commands have not been answered yet")
            self._to_pass_on.add(request_id)
            self._changed.notify_all()

    def forget(self, request_id: str) -> None:
        """Stop waiting for a reply; should it still come, it is dropped."""
        with self._changed:
            self._replies.pop(request_id, None)
            self._to_pass_on.discard(request_id)

    def end(self, discard: bool = False) -> None:
        """Wake everybody: nothing more will come. Unread frames stay readable unless `discard` is true."""
        with self._changed:
            self._ended = True
            if discard:
                self._frames.clear()
                self._passed_on.clear()
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
