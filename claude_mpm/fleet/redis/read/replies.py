"""The commands of a hub that wait for a reply, and the replies that come. Any thread."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeGuard

from claude_mpm.fleet.source import Frame
from claude_mpm.system import json_text

MAX_WAITING = 10_000  # requests; the hub gives up on each after a few seconds
MAX_REPLY = 16 * 1024 * 1024  # bytes; a history has 4 MiB of events at most

log = logging.getLogger(__name__)


class Replies:
    """Knows which requests were made, so that nobody can slip in a reply to none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, str] = OrderedDict()  # request: the instance asked

    def expect(self, request_id: str, instance_id: str) -> None:
        """A reply to this request may come, from this instance."""
        with self._lock:
            self._waiting[request_id] = instance_id
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)

    def take(self, found: Iterable[Mapping[bytes, bytes]], deliver: Callable[[Frame], None]) -> None:
        """Deliver the replies among these entries. Reader's thread."""
        for fields in found:
            text = fields.get(b"e", b"")
            try:
                frame = json_text.loads(text) if len(text) <= MAX_REPLY else None
            except ValueError:
                frame = None
            if not _is_reply(frame):
                log.warning("passed over a reply that is not a frame of the protocol")
            elif self._is_expected(frame["request_id"], fields.get(b"i", b"").decode("ascii", "replace")):
                deliver(frame)

    def _is_expected(self, request_id: str, instance_id: str) -> bool:
        with self._lock:
            if self._waiting.get(request_id) != instance_id:
                return False
            del self._waiting[request_id]
        return True


def _is_reply(frame: object) -> TypeGuard[Frame]:
    return (
        isinstance(frame, dict)
        and isinstance(frame.get("type"), str)
        and isinstance(frame.get("data"), dict)
        and isinstance(frame.get("request_id"), str)
    )
