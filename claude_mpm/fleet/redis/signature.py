"""Signed commands: Redis carries them, but who may write to Redis may not therefore type into Claude.

A command is signed with the token that hub and instance were both started with (HMAC-SHA256, RFC 2104). The signature
covers who asks, the request, the time and the exact bytes of the command, which name the instance; so none of it can be
changed, sent to another instance, or sent again. The token itself never goes into Redis.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections.abc import Callable

from claude_mpm.errors import ProtocolError

MAX_AGE = 60.0  # seconds between signing and checking, either way: clocks differ
MAX_SEEN = 10_000  # signatures remembered; a person does not type that much in two minutes
_LABEL = b"claude-mpm command 1"  # so that a signature of anything else is none of a command


def sign(token: str, hub_id: str, request_id: str, at: str, command: bytes) -> str:
    """The signature of a command. `at`: seconds since the epoch, as the text that is sent."""
    parts = (_LABEL, hub_id.encode(), request_id.encode(), at.encode(), command)
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)  # so that no part can run into the next
    return hmac.new(token.encode(), text, hashlib.sha256).hexdigest()


class Verifier:
    """Checks signatures and remembers them for as long as they could be sent again. Any thread."""

    def __init__(self, token: str | None, wall_clock: Callable[[], float] = time.time) -> None:
        self._token = token
        self._clock = wall_clock
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}  # signature: the time after which it is too old anyway; oldest first

    def check(self, hub_id: str, request_id: str, at: str, command: bytes, signature: str) -> None:
        """Accept a command once.

        Raises:
            ProtocolError: `forbidden`, with what to do about it.
        """
        if self._token is None:
            raise _forbidden("this instance was started without --websocket-token, so it executes no signed command")
        if not signature:
            raise _forbidden("the command is not signed: start the hub with the --websocket-token of this instance")
        expected = sign(self._token, hub_id, request_id, at, command)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise _forbidden("the signature is wrong: hub and instance were started with different tokens")
        now = self._clock()
        if not abs(now - _seconds(at)) <= MAX_AGE:
            raise _forbidden(f"the command was signed more than {MAX_AGE:g} s ago, or the clocks differ by that much")
        self._remember(expected, now)

    def _remember(self, signature: str, now: float) -> None:
        with self._lock:
            while self._seen and next(iter(self._seen.values())) < now:
                del self._seen[next(iter(self._seen))]
            if signature in self._seen:
                raise _forbidden("this command was executed before")
            if len(self._seen) >= MAX_SEEN:  # to forget one would permit it again
                raise _forbidden("too many commands in the last two minutes; try again later")
            self._seen[signature] = now + 2 * MAX_AGE


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _forbidden(why: str) -> ProtocolError:
    return ProtocolError("forbidden", why)
