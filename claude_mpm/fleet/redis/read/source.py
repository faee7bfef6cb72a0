"""A Redis as a place that instances come from: what a hub sees of it (the contract is in fleet/source.py)."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.fleet.frames import event_frame
from claude_mpm.fleet.redis.connection import require_redis
from claude_mpm.fleet.redis.entries import Command
from claude_mpm.fleet.redis.read.reader import Reader
from claude_mpm.fleet.redis.read.replies import Replies
from claude_mpm.fleet.redis.read.writer import Writer, command_entry
from claude_mpm.fleet.redis.signature import sign
from claude_mpm.fleet.redis.url import RedisUrl
from claude_mpm.fleet.source import Frame
from claude_mpm.system import json_text


class RedisSource:
    """The instances that publish to one Redis.

    Args:
        url: of the Redis.
        token: the --websocket-token of the instances; None: no command of ours is signed, and they execute only those
            that every reader may give.
        hub_id: names the stream of the replies; another one for each run, and for each source.

    Raises:
        UsageError: redis-py is not installed.
    """

    def __init__(self, url: RedisUrl, token: str | None, hub_id: str) -> None:
        require_redis()
        self.name = url.shown
        self._token, self._hub_id = token, hub_id
        self._replies = Replies()
        self._reader = Reader(url, hub_id, self._replies, self._complain, self._recovered)
        self._writer = Writer(url, self._complain, self._attendance)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._told: str | None = None  # the last trouble, so that it is told once

    def start(self, deliver: Callable[[Frame], None]) -> None:
        """Begin to deliver, in the threads `redis-reader` and `redis-writer`. Does not block."""
        self._deliver = deliver
        self._reader.start(deliver)
        self._writer.start()

    def stop(self) -> None:
        """Ask the threads to end. Any thread, idempotent; does not block."""
        self._reader.stop()
        self._writer.stop()

    def join(self, timeout: float) -> bool:
        """Wait until the threads have ended. Returns False when `timeout` seconds passed first."""
        limit = time.monotonic() + timeout
        return all(part.join(max(limit - time.monotonic(), 0.0)) for part in (self._reader, self._writer))

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        """Give a command to an instance (see Source). Any thread; does not block.

        Raises:
            ServerUnavailable: the instance is not there, or Redis cannot be reached.
        """
        instance_id, request_id = str(message.get("instance_id")), str(message.get("request_id"))
        if not self._reader.is_connected or instance_id not in self._reader.roster:
            raise ServerUnavailable(f"instance {instance_id[:64]} cannot be reached by way of {self.name}")
        fields = self._fields(message, request_id, trusted)
        self._replies.expect(request_id, instance_id)
        self._writer.command(instance_id, fields)

    def _fields(self, message: Mapping[str, Any], request_id: str, trusted: bool) -> dict[str, str | bytes]:
        command, at = json_text.dumps(dict(message)), f"{time.time():.3f}"
        fields: dict[str, str | bytes] = {"h": self._hub_id, "r": request_id, "t": at, "c": command}
        if trusted and self._token is not None:
            fields["s"] = sign(self._token, self._hub_id, request_id, at, command)
        return fields

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool = False) -> None:
        """Say what somebody looks at, and whether he may act (see Source). Any thread; does not block."""
        asked = {instance_id: types for instance_id, types in wanted.items() if instance_id in self._reader.roster}
        self._reader.want(asked)
        self._writer.want(asked, attended and self._token is not None)

    def _attendance(self, present: bool) -> list[Command]:
        """Signed commands that tell the instances whose questions can be answered whether somebody attends the hub.

        In the writer's thread, every few seconds: an instance that hears nothing for a while lets no question wait.
        """
        commands: list[Command] = []
        for info in self._reader.roster.infos():
            capabilities = info.get("capabilities")
            if isinstance(capabilities, list) and "answers" in capabilities:
                instance_id = info["instance_id"]
                message = {"command": "attend", "present": present, "instance_id": instance_id}
                fields = self._fields(message, f"attend-{next(self._numbers)}", trusted=True)
                commands += command_entry(instance_id, fields)
        return commands

    def _complain(self, sentence: str, hint: str | None, severity: Literal["warning", "error"] = "error") -> None:
        """Deliver a trouble, unless it is the one that was told last. Both threads."""
        with self._lock:
            if sentence == self._told:
                return
            self._told = sentence
        self._deliver(event_frame(ev.system_error(sentence, "redis", severity=severity, hint=hint)))

    def _recovered(self) -> None:
        """Redis answers again; should it fail again, it is told again."""
        with self._lock:
            self._told = None
