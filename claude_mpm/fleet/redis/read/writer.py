"""Writes what a hub has to say to instances: commands, and whose output somebody looks at."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

from claude_mpm.errors import RedisUnavailable, ServerUnavailable
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.connection import Connection, retries
from claude_mpm.fleet.redis.entries import Command
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.troubles import Complain
from claude_mpm.fleet.redis.url import RedisUrl

WAITING = 256  # commands that have not been written yet; one more is refused
RENEWAL = keys.WANT_TIME / 3  # seconds

log = logging.getLogger(__name__)


class Writer:
    """Thread `redis-writer`: writes until it is stopped.

    Args:
        complain: is told each trouble; it tells it once.
        attendance: returns the commands that say whether somebody attends the hub.
    """

    def __init__(self, url: RedisUrl, complain: Complain, attendance: Callable[[bool], list[Command]]) -> None:
        self._complain = complain
        self._attendance = attendance
        self._attended = self._attended_told = False
        self._stop = Stop()
        self._connection = Connection(url, self._stop)
        self._queue: queue.Queue[list[Command] | None] = queue.Queue(WAITING)  # None: look at what is wanted, or stop
        self._wanted: Mapping[str, frozenset[str]] = {}
        self._told: set[str] = set()  # instances that know that somebody wants something of them
        self._renew_at = 0.0  # time.monotonic()
        self._thread = threading.Thread(target=self._run, name="redis-writer")

    # --- any thread ---

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. Does not block; may be repeated."""
        self._stop.set()
        self._wake()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the thread to end. Returns whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool) -> None:
        """Tell the instances from now on what is wanted of them, and that somebody attends the hub. Does not block."""
        self._wanted, self._attended = wanted, attended
        self._renew_at = 0.0
        self._wake()

    def command(self, instance_id: str, fields: Mapping[str, str | bytes]) -> None:
        """Write one command. Does not block.

        Raises:
            ServerUnavailable: too many wait to be written.
        """
        try:
            self._queue.put_nowait(command_entry(instance_id, fields))
        except queue.Full:
            raise ServerUnavailable("Redis does not take our commands; try again later") from None

    def _wake(self) -> None:
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            pass  # it is awake

    # --- the thread ---

    def _run(self) -> None:
        backoff = retries()
        try:
            while not self._stop.is_set():
                try:
                    self._write()
                    backoff.reset()
                except RedisUnavailable as error:
                    self._complain(str(error), error.hint)
                    self._renew_at = 0.0
                    self._drop_commands()
                    self._stop.wait(backoff.next())
        except Exception as error:
            log.exception("writing to Redis failed")
            self._complain(f"Writing to Redis failed: {error}", None)
        finally:
            self._connection.close()

    def _write(self) -> None:
        if not self._connection.is_open:
            self._connection.open()
        if self._has_wishes and time.monotonic() >= self._renew_at:
            self._renew_wants()
        try:
            pause = max(self._renew_at - time.monotonic(), 0.0) if self._has_wishes else None
            commands = self._queue.get(timeout=pause)
        except queue.Empty:
            return
        if commands is not None and not self._stop.is_set():
            self._connection.run(commands)

    @property
    def _has_wishes(self) -> bool:
        return bool(self._wanted or self._told) or self._attended or self._attended_told

    def _drop_commands(self) -> None:
        """Whoever sent them will not wait that long, and would be surprised by a late effect."""
        while not self._stop.is_set():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

    def _renew_wants(self) -> None:
        """Say what is wanted; to an instance of which nothing was wanted before, also that it should look."""
        self._renew_at = time.monotonic() + RENEWAL
        wanted = {instance_id: types for instance_id, types in self._wanted.items() if types}
        if wanted:
            until = int(self._connection.call("TIME")[0]) + keys.WANT_TIME
            for instance_id, types in wanted.items():
                self._connection.run(_wants(instance_id, types, until, instance_id not in self._told))
        self._told = set(wanted)
        if (self._attended or self._attended_told) and (commands := self._attendance(self._attended)):
            self._connection.run(commands)
        self._attended_told = self._attended


def _wants(instance_id: str, types: frozenset[str], until: int, is_new: bool) -> list[Command]:
    key = keys.want(instance_id)
    scores: list[str | bytes | int] = [part for kind in sorted(types) for part in (until, kind)]
    commands: list[Command] = [("ZADD", key, *scores), ("EXPIRE", key, keys.WANT_TIME)]
    return [*commands, *command_entry(instance_id, {"w": "1"})] if is_new else commands


def command_entry(instance_id: str, fields: Mapping[str, str | bytes]) -> list[Command]:
    """What writes a command for an instance."""
    stream = keys.commands(instance_id)
    flat = [part for item in fields.items() for part in item]
    return [
        ("XADD", stream, "MAXLEN", "~", keys.COMMANDS, "*", *flat),
        ("EXPIRE", stream, keys.SHORT_TIME),
    ]
