"""Sends a session's events to Redis, where hubs read them.

The publisher follows the log with a cursor of its own, in a thread of its own: a Redis that is slow, full or gone delays
nothing. What the log still holds when Redis is back is sent then; what it no longer holds is told as a gap.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from claude_mpm.errors import RedisUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.feed.entry import Batch, Entry
from claude_mpm.feed.log import Log
from claude_mpm.fleet.frames import frame
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.connection import Connection, retries, seconds_of
from claude_mpm.fleet.redis.publish.outbox import Outbox, Pipeline, Progress, chunks
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.url import RedisUrl
from claude_mpm.fleet.source import ON_REQUEST
from claude_mpm.system import json_text

BATCH = 256  # events taken from the log at a time
JOIN_TIME = 0.05  # seconds between two pipelines while many events come; the first after a pause goes at once
LOOK_TIME = 1.0  # seconds; what hubs want is looked at no more often
TELL_AGAIN = 60.0  # seconds before a trouble is told a second time, if it went away in between
CHANGES_STATE = frozenset({ev.SESSION_START, ev.SESSION_END, ev.CLAUDE_STATUS, ev.CLAUDE_QUESTION})

log = logging.getLogger(__name__)


class Publisher:
    """Thread `publisher`: writes the log's events and the instance's record until it is stopped.

    Args:
        events: the log, from its first event on.
        status: makes the data of `system.status`; called in the publisher's thread.
        demand: is told the types of ON_REQUEST that a hub wants, when they change.
        url: of the Redis.
    """

    def __init__(
        self,
        events: Log,
        status: Callable[[], Mapping[str, Any]],
        demand: Callable[[frozenset[str]], None],
        url: RedisUrl,
    ) -> None:
        self._log = events
        self._status = status
        self._demand = demand
        self._stop = Stop()
        self._connection = Connection(url, self._stop)
        self._outbox = Outbox(events.instance_id)
        self._progress = Progress()
        self._backoff = retries()
        self._wanted: frozenset[str] = frozenset()
        self._may_want = threading.Event()  # set: somebody says that what is wanted has changed
        self._looked = 0.0  # time.monotonic() of the last look at what is wanted
        self._renew_at = 0.0  # time.monotonic() of the next renewal
        self._sent = 0.0  # time.monotonic() of the last pipeline
        self._clock = 0.0  # Redis's time minus time.monotonic()
        self._told: tuple[str, float] = ("", 0.0)  # the last trouble that was told, and when
        # A daemon: looking up a host name cannot be interrupted, and must not keep the monitor from ending.
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    # --- any thread ---

    def start(self) -> None:
        """Start the thread. Once, by the owner. Does not block."""
        self._follower = self._log.follow(0)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to send what the log holds by now, and to end. Does not block; may be repeated."""
        self._stop.set()
        if self._thread.ident is not None:
            self._follower.wake()

    def join(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds for the thread to end. Returns whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def look_at_wants(self) -> None:
        """A hub says that it wants something else now. Does not block."""
        self._may_want.set()
        if self._thread.ident is not None:
            self._follower.wake()

    # --- the thread `publisher` ---

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except Exception as error:
            log.exception("the publisher failed")
            self._log.append(ev.system_error(f"The publisher failed: {error}", "publisher"))
        finally:
            self._follower.close()
            self._connection.close()

    def _step(self) -> bool:
        """Send what there is, then wait for more. False once the end is published, or cannot be."""
        stopping = self._stop.is_set()  # looked at first: what was appended before stop() is still sent
        try:
            if not self._connection.is_open:
                self._connect()
            self._send_all()
            if stopping:
                self._leave()
                return False
            self._backoff.reset()
            self._wait()
        except RedisUnavailable as error:
            self._interrupted(error)
            if stopping:
                return False
            self._stop.wait(self._backoff.next())
        return True

    def _wait(self) -> None:
        """Until there is something to send; and then until the last pipeline is JOIN_TIME ago."""
        if self._follower.wait(max(self._renew_at - time.monotonic(), 0.0)):
            self._stop.wait(max(self._sent + JOIN_TIME - time.monotonic(), 0.0))

    def _connect(self) -> None:
        self._connection.open()
        self._clock = seconds_of(self._connection.call("TIME")) - time.monotonic()
        self._renew_at = 0.0
        self._check_newest()

    def _check_newest(self) -> None:
        """See whether Redis still has our newest event. If not, it lost its data, or dropped them: send again.

        An old one may simply have been trimmed. To send again is then needless, and harmless.
        """
        entry_id = self._progress.entry_id
        if entry_id is None:
            return
        stream = keys.events(keys.shard(self._log.instance_id))
        if not self._connection.call("XRANGE", stream, entry_id, entry_id):
            self._restart(self._progress.rewind())

    def _interrupted(self, error: RedisUnavailable) -> None:
        self._connection.close()
        self._want(frozenset())
        self._restart(self._progress.seq)
        told, at = self._told
        now = time.monotonic()
        if str(error) != told or now - at > TELL_AGAIN:
            self._log.append(
                ev.system_error(f"Not published: {error}", "publisher", severity="warning", hint=error.hint)
            )
            self._told = (str(error), now)

    def _restart(self, after: int) -> None:
        """Go back to the event after number `after`."""
        self._outbox.restart(after)
        self._follower.close()
        self._follower = self._log.follow(after)

    # --- sending ---

    def _send_all(self) -> None:
        """Send everything the log holds, and the record if it is time for it."""
        while True:
            before = self._follower.cursor
            batch = self._follower.read(keys.PUBLISHED | self._wanted, BATCH)
            for number, run in enumerate(chunks(batch)):
                self._send(run, batch if number == 0 else None, before)
            if not batch.entries and batch.gap is None:
                break
        if time.monotonic() >= self._renew_at:
            if time.monotonic() - self._progress.at < keys.LOOK_BACK:
                self._check_newest()
            self._send([], None, 0)
        elif self._may_want.is_set():
            self._send([], None, 0)

    def _send(self, run: list[Entry], batch: Batch | None, before: int) -> None:
        """Write one run of entries, what was lost before it, and what else is due."""
        pipeline = Pipeline()
        if batch is not None and batch.gap is not None:
            self._tell_gap(pipeline, batch, before)
        self._outbox.fill(pipeline, run)
        now = time.monotonic()
        if now >= self._renew_at or any(entry.type in CHANGES_STATE for entry in run):
            self._renew(pipeline, now)
        looks = now >= self._looked + LOOK_TIME or self._may_want.is_set()
        commands = pipeline.finished()
        if looks:
            self._may_want.clear()
            self._looked = now
            wanted_at = int(now + self._clock)
            commands += [("TIME",), ("ZRANGEBYSCORE", keys.want(self._log.instance_id), wanted_at, "+inf")]
        answers = self._connection.run(commands)
        self._sent = time.monotonic()
        self._confirm(pipeline, answers[len(pipeline.commands)])
        if looks:
            self._clock = seconds_of(answers[-2]) - time.monotonic()  # which stands still while a laptop sleeps
            self._want(frozenset(name.decode("ascii", "replace") for name in answers[-1]) & ON_REQUEST)

    def _tell_gap(self, pipeline: Pipeline, batch: Batch, before: int) -> None:
        gap = batch.gap
        assert gap is not None
        if gap.counts.keys() & ON_REQUEST:  # output is numbered with the rest, but written elsewhere
            self._outbox.output_lost(gap.to_seq)
            gap = self._log.gap(before, keys.PUBLISHED, gap.to_seq)
        if gap is not None:
            self._outbox.gap(pipeline, gap)

    def _confirm(self, pipeline: Pipeline, answers: list[Any]) -> None:
        failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if failed is not None:
            raise RedisUnavailable(f"Redis answered: {failed}", None)
        if pipeline.newest is not None:
            self._progress.confirm(self._outbox.previous, answers[pipeline.newest], time.monotonic())

    def _renew(self, pipeline: Pipeline, now: float) -> None:
        """Say that the instance lives, and how it stands."""
        self._renew_at = now + keys.RENEWAL
        instance_id = self._log.instance_id
        status = frame(ev.SYSTEM_STATUS, self._status(), instance_id=instance_id, published=self._outbox.previous)
        expiry = int(now + self._clock) + keys.RECORD_TIME
        pipeline.add(("SET", keys.record(instance_id), json_text.dumps(status), "EX", keys.RECORD_TIME))
        pipeline.add(("ZREMRANGEBYSCORE", keys.INSTANCES, "-inf", expiry - 4 * keys.RECORD_TIME))
        pipeline.add(("ZADD", keys.INSTANCES, expiry, instance_id))

    def _want(self, wanted: frozenset[str]) -> None:
        if wanted == self._wanted:
            return
        if not wanted:
            self._outbox.forget_output()
        self._wanted = wanted
        self._demand(wanted)

    def _leave(self) -> None:
        """The session is over, and its end is published."""
        instance_id = self._log.instance_id
        self._connection.run([("ZREM", keys.INSTANCES, instance_id), ("DEL", keys.record(instance_id))])
