"""Reads all instances' events from a Redis: one thread, one connection, one XREAD over all shards.

Threads of one Python share the interpreter, so a thread for each shard could decode no more events than this one, which
takes 80,000 a second (docs/fleet.md).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from claude_mpm.errors import RedisUnavailable
from claude_mpm.fleet.frames import frame
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.connection import Connection, followable, retries, seconds_of
from claude_mpm.fleet.redis.entries import MAX_ID, Fields, fields_of
from claude_mpm.fleet.redis.read.intake import Intake
from claude_mpm.fleet.redis.read.outputs import Outputs
from claude_mpm.fleet.redis.read.pace import Pace
from claude_mpm.fleet.redis.read.replies import Replies
from claude_mpm.fleet.redis.read.roster import MAX_INSTANCES, Roster, read_record
from claude_mpm.fleet.redis.read.server_check import server_warning
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.troubles import Complain
from claude_mpm.fleet.redis.url import RedisUrl
from claude_mpm.fleet.source import Frame

BLOCK = 0.5  # seconds that Redis holds back the answer while there is nothing new
LIST_TIME = 1.0  # seconds between two looks at the list of instances
GRACE = 20.0  # seconds after an interruption in which nobody counts as gone: publishers try again every 15 s at least
RECORDS = 64  # records asked for at once; one is a few kB, and 256 with a long todo list
STRANGERS = 10_000  # ids without a record that are remembered

Entries = list[Fields]
log = logging.getLogger(__name__)


class Reader:
    """Thread `redis-reader`: delivers everything but the answers of the writer, until it is stopped.

    Args:
        complain: is told each trouble; it tells it once.
        recovered: is called when Redis answers again.
    """

    def __init__(
        self,
        url: RedisUrl,
        hub_id: str,
        replies: Replies,
        complain: Complain,
        recovered: Callable[[], None],
    ) -> None:
        self.roster = Roster()
        self._replies = replies
        self._reply_stream = keys.replies(hub_id)
        self._complain, self._recovered = complain, recovered
        self._stop = Stop()
        self._connection = Connection(url, self._stop)
        self._pace = Pace()
        self._cursors: dict[str, str] = {}
        self._clock = 0.0  # Redis's time minus time.monotonic()
        self._list_at = 0.0  # time.monotonic() of the next look at the list
        self._grace_until = 0.0  # time.monotonic()
        self._was_lost = True  # the list and all records are to be delivered anew
        self._new: set[str] = set()  # instances of which not everything that Redis has was read yet
        self._leaving: set[str] = set()  # instances that have left the list, and may have an end to be read
        self._strangers: dict[str, float] = {}  # ids without a record: until when they are not looked up again
        self._wanted: Mapping[str, frozenset[str]] = {}
        self._outputs = Outputs(self._connection, self.roster, self._cursors)
        self._thread = threading.Thread(target=self._run, name="redis-reader")

    # --- any thread ---

    def start(self, deliver: Callable[[Frame], None]) -> None:
        self._deliver = deliver
        self._intake = Intake(self.roster, deliver)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. Does not block; may be repeated."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the thread to end. Returns whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def want(self, wanted: Mapping[str, frozenset[str]]) -> None:
        """Deliver these types of these instances, too. Takes effect within BLOCK seconds."""
        self._wanted = wanted

    @property
    def is_connected(self) -> bool:
        return self._connection.is_open and not self._was_lost

    # --- the thread ---

    def _run(self) -> None:
        backoff = retries()
        try:
            while not self._stop.is_set():
                try:
                    self._step()
                    backoff.reset()
                except RedisUnavailable as error:
                    self._was_lost = True
                    self._complain(str(error), error.hint)
                    self._stop.wait(backoff.next())
        except Exception as error:
            log.exception("reading from Redis failed")
            self._complain(f"Reading from Redis failed: {error}", None)
        finally:
            self._connection.close()

    def _step(self) -> None:
        if not self._connection.is_open:
            self._connect()
        if time.monotonic() >= self._list_at:
            self._list()
        self._intake.wanted = self._wanted
        self._outputs.follow(self._wanted)
        self._read()

    def _connect(self) -> None:
        self._connection.open()
        now = seconds_of(self._connection.call("TIME"))
        self._clock = now - time.monotonic()
        if not self._cursors:
            first = f"{max(int((now - keys.LOOK_BACK) * 1000), 0)}-0"
            self._cursors |= {keys.events(number): first for number in range(keys.SHARDS)}
            self._cursors[self._reply_stream] = f"{int(now * 1000)}-0"
        followable(self._connection, self._cursors)
        self._list_at = 0.0
        if self.roster.ids():
            self._grace_until = time.monotonic() + GRACE
        self._strangers.clear()
        warning = server_warning(self._connection)
        if warning is not None:
            self._complain(*warning, "warning")

    # --- which instances there are ---

    def _list(self) -> None:
        """Look who lives, and deliver the list if it changed."""
        now = time.monotonic()
        self._list_at = now + LIST_TIME
        since = f"({int(now + self._clock)}"
        command = ("ZRANGEBYSCORE", keys.INSTANCES, since, "+inf", "LIMIT", 0, MAX_INSTANCES)
        told, found = self._connection.run([("TIME",), command])
        self._clock = seconds_of(told) - time.monotonic()
        alive = {member.decode("ascii", "replace") for member in found}
        known = self.roster.ids()
        self._leaving = known - alive if now >= self._grace_until else set()
        if self._was_lost:
            self._recovered()
            self._learn(alive, is_list=True)
            self._was_lost = False
        elif alive - known:
            self._learn(alive - known)

    def _learn(self, ids: Iterable[str], is_list: bool = False) -> None:
        """Read records, and deliver the list, if it changed or `is_list`, and how those instances stand."""
        now = time.monotonic()
        asked = [each for each in ids if self._strangers.get(each, 0.0) <= now]
        statuses, has_changed = [], is_list
        for instance_id, text in self._records(asked):
            record = read_record(text, instance_id)
            if record is None:
                if len(self._strangers) < STRANGERS:
                    self._strangers[instance_id] = now + LIST_TIME
                continue
            statuses.append(record[0])
            if instance_id not in self.roster:
                if self.roster.add(instance_id, *record) is None:
                    continue
                self._new.add(instance_id)
                has_changed = True
        if has_changed:
            self._deliver_list()
        for status in statuses:
            if status["instance_id"] in self.roster:
                self._deliver(status)

    def _records(self, ids: list[str]) -> Iterable[tuple[str, bytes | None]]:
        for start in range(0, len(ids), RECORDS):
            some = ids[start : start + RECORDS]
            yield from zip(some, self._connection.run([("GET", keys.record(each)) for each in some]), strict=True)

    def _deliver_list(self) -> None:
        self._deliver(frame("instances", {"instances": self.roster.infos()}))

    # --- what they tell ---

    def _read(self) -> None:
        """Take what is new, in one answer of Redis."""
        new, leaving = set(self._new), set(self._leaving)
        found = self._ask()
        if not self._connection.is_open:
            return  # we are to stop
        answer = {bytes(stream).decode(): rows for stream, rows in found or ()}
        cut = {stream for stream, rows in answer.items() if len(rows) >= self._pace.count}
        self._pace.note(answer.values(), bool(cut))
        outputs = self._outputs.take(answer, cut)
        self._take_shards(answer, outputs)
        self._replies.take((fields_of(flat) for _, flat in answer.get(self._reply_stream, ())), self._deliver)
        self._advance(answer)
        self._settle(new, leaving, cut)

    def _ask(self) -> Any:
        """What is new in all streams, at one moment.

        An answer that Redis held back has the one stream that woke it, although another may have got entries in the
        same transaction. That matters only where two streams of one instance are to be sorted: then it is a signal, and
        Redis is asked again.
        """
        asked = ("STREAMS", *self._cursors, *self._cursors.values())
        count = ("XREAD", "COUNT", self._pace.count)
        if self._outputs and (found := self._connection.call(*count, *asked)):
            return found
        found = self._connection.wait(*count, "BLOCK", int(BLOCK * 1000), *asked, seconds=BLOCK)
        return self._connection.call(*count, *asked) if self._outputs and found else found

    def _take_shards(self, answer: dict[str, Any], outputs: dict[str, list[tuple[int, Fields]]]) -> None:
        for shard in range(keys.SHARDS):
            rows = answer.get(keys.events(shard))
            if rows:
                entries = [fields_of(flat) for _, flat in rows]
                self._meet(entries)
                self._intake.events(shard, entries, outputs)
        for instance_id, found in outputs.items():
            instance = self.roster.get(instance_id)
            if instance is not None:
                self._intake.rest_of(instance, found)

    def _meet(self, entries: Entries) -> None:
        """Look up the instances that are not in the list yet."""
        ids = {raw for entry in entries if len(raw := entry.get(b"i", b"")) <= MAX_ID}
        unknown = {each for each in (raw.decode("ascii", "replace") for raw in ids) if each not in self.roster}
        if unknown:
            self._learn(unknown)

    def _advance(self, answer: Mapping[str, Any]) -> None:
        for stream, rows in answer.items():
            if rows and stream in self._cursors:
                self._cursors[stream] = bytes(rows[-1][0]).decode()

    def _settle(self, new: set[str], leaving: set[str], cut: set[str]) -> None:
        """End what waited for everything in Redis to be read: the first look at an instance, and its end."""
        behind = {shard for shard in range(keys.SHARDS) if keys.events(shard) in cut} if cut else set()
        for instance_id in new:
            instance = self.roster.get(instance_id)
            if instance is None or instance.shard not in behind:
                self._new.discard(instance_id)
                if instance is not None:
                    self._intake.settle(instance)
        gone = [each for each in leaving if (it := self.roster.get(each)) is None or it.shard not in behind]
        for instance_id in gone:
            self.roster.remove(instance_id)
            self._leaving.discard(instance_id)
        if gone:
            self._deliver_list()
        if self._intake.stale:
            stale, self._intake.stale = self._intake.stale, set()
            self._learn(stale)
