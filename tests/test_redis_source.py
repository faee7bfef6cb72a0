"""Publisher and source with a real Redis: every event once and in order, or told as missing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from redis_server import (
    Frame,
    Hub,
    RedisServer,
    message,
    needs_redis,
    publishing,
    redis_server,
    sourcing,
)
from schemas import check
from support import TIMEOUT, wait_until

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.fleet.redis import connection, entries, keys
from claude_mpm.fleet.redis.publish.publisher import Publisher
from claude_mpm.fleet.redis.read import reader
from claude_mpm.fleet.redis.read.source import RedisSource
from claude_mpm.system import json_text

pytestmark = needs_redis
ID = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are there for Redis's sake are short."""
    monkeypatch.setattr(reader, "LIST_TIME", 0.1)
    monkeypatch.setattr(reader, "BLOCK", 0.1)
    monkeypatch.setattr(connection, "RETRY_FIRST", 0.05)
    monkeypatch.setattr(keys, "RENEWAL", 0.3)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


class Writers:
    """Threads that append to logs, as fast as they are let."""

    def __init__(self, logs: list[Log], pause: float = 0.001) -> None:
        self._logs, self._pause = logs, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(log,)) for log in logs]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, log: Log) -> None:
        while not self._stop.wait(self._pause):
            log.append(message(f"message {log.seq}"))

    def wrote(self, count: int) -> None:
        """Wait until each has written that many more."""
        targets = [log.seq + count for log in self._logs]
        wait_until(lambda: all(log.seq >= t for log, t in zip(self._logs, targets, strict=True)), "the writers")


def all_arrived(hub: Hub, logs: list[Log]) -> bool:
    return all(log.seq in hub.accounted(log.instance_id) for log in logs)


# --- the usual ------------------------------------------------------------------------------------


def test_events_arrive_in_order_after_the_list_and_the_status(redis: RedisServer) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (_, hub), publishing(log, redis.url):
        for number in range(300):
            log.append(message(str(number)))
        wait_until(lambda: 300 in hub.seqs(ID), "the last event")
        kinds = [frame["type"] for frame in hub.frames]
        assert hub.seqs(ID) == list(range(1, 301))
        assert (hub.instances(), hub.gaps(ID), hub.of_type("system.error")) == ([ID], [], [])
        assert kinds.index("instances") < kinds.index("system.status") < kinds.index("claude.message")
        for frame in hub.events(ID):
            check(frame)
    wait_until(lambda: not redis.reaches("ZCARD", keys.INSTANCES), "the end of the instance")


def test_an_instance_that_ends_is_gone_after_its_last_event(redis: RedisServer) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (_, hub):
        with publishing(log, redis.url):
            log.append(message("hello"))
            wait_until(lambda: hub.instances() == [ID], "the instance")
            log.append(ev.session_end(None, 1.0, 1.0, exit_code=0, signal=None, reason="exit"))
        wait_until(lambda: hub.instances() == [], "the end of the instance")
        assert [frame["type"] for frame in hub.frames][-2:] == ["session.end", "instances"]


def test_an_instance_that_was_killed_is_gone_when_its_record_expires(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "RECORD_TIME", 1)
    log = Log(ID)
    with sourcing(redis.url) as (_, hub):
        with publishing(log, redis.url) as publisher:
            log.append(message("hello"))
            wait_until(lambda: hub.instances() == [ID], "the instance")
            monkeypatch.setattr(publisher, "_leave", lambda: None)
        wait_until(lambda: hub.instances() == [], "the end of the instance")


def test_a_source_begins_with_what_is_recent_and_tells_what_was_before(redis: RedisServer) -> None:
    log = Log(ID)
    with publishing(log, redis.url):
        for number in range(1500):
            log.append(message(str(number)))
        wait_until(lambda: redis.call("XLEN", keys.events(keys.shard(ID))) == 1500, "the events in Redis")
        redis.call("DEL", keys.want(ID))
        log.append(ev.claude_status("running", origin=ev.Origin("process"), pid=1))  # renews the record
        wait_until(lambda: b'"published":1501' in redis.call("GET", keys.record(ID)), "the record")
        with sourcing(redis.url) as (_, hub):
            wait_until(lambda: 1501 in hub.seqs(ID), "the last event")
            assert hub.seqs(ID) == list(range(502, 1502))
            assert hub.gaps(ID) == [{"from_seq": 1, "to_seq": 501, "counts": {}, "reason": "before_start"}]


def test_a_quiet_instance_is_told_as_a_gap_up_to_what_it_published(redis: RedisServer) -> None:
    log = Log(ID)
    with publishing(log, redis.url):
        log.append(message("long ago"))
        log.append(ev.claude_status("running", origin=ev.Origin("process"), pid=1))
        wait_until(lambda: b'"published":2' in (redis.call("GET", keys.record(ID)) or b""), "the record")
        redis.call("XTRIM", keys.events(keys.shard(ID)), "MAXLEN", 0)
        with sourcing(redis.url) as (_, hub):
            wait_until(lambda: hub.gaps(ID), "the gap")
            assert hub.gaps(ID) == [{"from_seq": 1, "to_seq": 2, "counts": {}, "reason": "before_start"}]
            log.append(message("now"))
            wait_until(lambda: hub.seqs(ID) == [3], "the next event")


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--appendonly", "yes", "--appendfsync", "always")])
def test_a_redis_that_is_killed_and_comes_back_loses_nothing_that_memory_holds(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    logs = [Log(f"00000000-0000-0000-0000-{number:012}") for number in range(8)]
    with redis_server(tmp_path, *options) as redis, ExitStack() as stack:
        for log in logs:
            stack.enter_context(publishing(log, redis.url))
        _, hub = stack.enter_context(sourcing(redis.url))
        wait_until(lambda: len(hub.instances()) == len(logs), "all instances")
        with Writers(logs) as writers:
            for _ in range(2):
                writers.wrote(150)
                redis.kill()
                writers.wrote(150)
                redis.start()
            writers.wrote(150)
        wait_until(lambda: all_arrived(hub, logs), "the newest events")
        for log in logs:
            counts = [entry.type for entry in log.read(0, ["*"], 10_000)]
            assert hub.seqs(log.instance_id) == list(range(1, len(counts) + 1))
            assert hub.gaps(log.instance_id) == []


def test_connections_that_are_cut_at_any_moment_lose_and_repeat_nothing(redis: RedisServer) -> None:
    """What Redis has executed and could not answer is sent again, and known by its number."""
    logs = [Log(f"00000000-0000-0000-0000-{number:012}") for number in range(3)]
    with ExitStack() as stack:
        for log in logs:
            stack.enter_context(publishing(log, redis.url))
        _, hub = stack.enter_context(sourcing(redis.url))
        with Writers(logs, pause=0.0002) as writers:
            for _ in range(15):
                writers.wrote(40)
                redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            writers.wrote(40)
        wait_until(lambda: all_arrived(hub, logs), "the newest events")
        for log in logs:
            assert hub.seqs(log.instance_id) == list(range(1, log.seq + 1))
            assert hub.gaps(log.instance_id) == []


def test_a_reader_that_was_behind_gets_what_redis_lost_before_it_was_read(redis: RedisServer) -> None:
    log, hub, proceed = Log(ID), Hub(), threading.Event()
    proceed.set()

    def deliver(frame: Frame) -> None:
        assert proceed.wait(TIMEOUT)
        hub.deliver(frame)

    source = RedisSource(redis.url, None, "hub-1")
    source.start(deliver)
    try:
        with publishing(log, redis.url):
            log.append(message("first"))
            wait_until(lambda: hub.seqs(ID) == [1], "the first event")
            proceed.clear()
            for number in range(500):
                log.append(message(str(number)))
            wait_until(lambda: redis.call("XLEN", keys.events(keys.shard(ID))) == 501, "the events in Redis")
            redis.kill()
            redis.start()
            proceed.set()
            wait_until(lambda: log.seq in hub.seqs(ID), "the newest event")
            assert hub.seqs(ID) == list(range(1, log.seq + 1))
            assert hub.gaps(ID) == []
    finally:
        proceed.set()
        source.stop()
        assert source.join(TIMEOUT)


def test_what_the_log_no_longer_holds_when_redis_is_back_is_a_told_gap(redis: RedisServer) -> None:
    log = Log(ID, Limits(structured_events=50))
    with sourcing(redis.url) as (_, hub), publishing(log, redis.url):
        log.append(message("before"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        redis.kill()
        for number in range(200):
            log.append(message(str(number)))
        redis.start()
        wait_until(lambda: 201 in hub.seqs(ID), "the newest event")
        gap = hub.gaps(ID)
        assert [(each["from_seq"], each["counts"], each["reason"]) for each in gap] == [
            (2, {"claude.message": gap[0]["to_seq"] - 1}, "expired")
        ]
        assert hub.accounted(ID) == set(range(1, log.seq + 1))
        assert hub.seqs(ID) == sorted(set(hub.seqs(ID)))
        assert hub.of_type("system.error"), "the publisher told in the log that Redis was gone"


def test_a_trimmed_stream_is_a_told_gap_and_then_the_status(redis: RedisServer) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (_, hub), publishing(log, redis.url):
        log.append(message("first"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        stream, before = keys.events(keys.shard(ID)), len(hub.of_type("system.status"))
        for number, previous in ((10, 9), (11, 10)):  # 2 to 9 were trimmed before we read them
            event = {"type": "claude.message", "timestamp": "t", "seq": number, "instance_id": ID, "data": {}}
            redis.call(*entries.event_command(stream, 1000, ID, number, previous, json_text.dumps(event)))
        wait_until(lambda: hub.seqs(ID) == [1, 10, 11], "the events after the hole")
        assert hub.gaps(ID) == [{"from_seq": 2, "to_seq": 9, "counts": {}, "reason": "expired"}]
        wait_until(lambda: len(hub.of_type("system.status")) > before, "the status")


def test_a_redis_that_is_emptied_gets_again_what_a_reader_may_not_have_seen(redis: RedisServer) -> None:
    log = Log(ID)
    with publishing(log, redis.url):
        for number in range(20):
            log.append(message(str(number)))
        stream = keys.events(keys.shard(ID))
        wait_until(lambda: redis.call("XLEN", stream) == 20, "the events in Redis")
        redis.call("FLUSHALL")
        with sourcing(redis.url) as (_, hub):
            wait_until(lambda: 20 in hub.seqs(ID), "the events")
            assert hub.seqs(ID) == list(range(1, 21))


def test_cursors_do_not_wait_for_ids_that_will_not_come(redis: RedisServer, tmp_path: Path) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (source, hub), publishing(log, redis.url):
        log.append(message("first"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        cursors: dict[str, str] = source._reader._cursors
        stream = keys.events(keys.shard(ID))
        cursors[stream] = "99999999999999-0"  # as if the clock of the lost Redis had been ahead
        redis.kill()
        log.append(message("second"))
        redis.start()
        wait_until(lambda: 2 in hub.seqs(ID), "the event of the new Redis")
        lists = [[info["instance_id"] for info in each["data"]["instances"]] for each in hub.of_type("instances")]
        assert lists[lists.index([ID]) :] == [[ID]] * (len(lists) - lists.index([ID])), "it was never gone"


def test_a_full_redis_is_told_once_and_gets_everything_later(redis: RedisServer) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (_, hub), publishing(log, redis.url):
        log.append(message("first"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        redis.call("CONFIG", "SET", "maxmemory", "1mb")
        log.append(message("second"))
        trouble = wait_until(lambda: log.read(0, ["system.error"], 9), "the trouble")[0].message()["data"]
        assert trouble["error"] == f"Not published: {redis.url.shown}: Redis is full"
        assert (trouble["severity"], trouble["component"]) == ("warning", "publisher")
        assert "maxmemory" in trouble["hint"]
        redis.call("CONFIG", "SET", "maxmemory", "0")
        wait_until(lambda: log.seq in hub.seqs(ID), "the rest")
        assert hub.seqs(ID) == list(range(1, log.seq + 1))
        assert len(log.read(0, ["system.error"], 9)) == 1


def test_a_replica_refuses_and_the_source_warns_of_a_redis_that_evicts(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--maxmemory", "500mb", "--maxmemory-policy", "allkeys-lru") as redis:
        log = Log(ID)
        redis.call("REPLICAOF", "127.0.0.1", 1)
        with publishing(log, redis.url), sourcing(redis.url) as (_, hub):
            log.append(message("first"))
            trouble = wait_until(lambda: log.read(0, ["system.error"], 9), "the trouble")[0].message()["data"]
            assert "read-only replica" in trouble["error"]
            wait_until(lambda: hub.of_type("system.error"), "the warning")
            assert "maxmemory-policy is allkeys-lru" in hub.of_type("system.error")[0]["data"]["error"]


def test_each_fault_of_the_connection_is_one_clear_line(redis: RedisServer) -> None:
    redis.call("ACL", "SETUSER", "reader", "on", ">secret-1", "+@all", "-zrangebyscore", "~*")
    cases = {
        redis.as_user("reader", "wrong"): "Redis refused the user or the password",
        redis.as_user("reader", "secret-1"): "the Redis user may not do this",
        redis.url._replace(port=1): "nothing listens on port 1",
        redis.url._replace(host="nohost.invalid"): "unknown host nohost.invalid",
        redis.url._replace(db=99): "Redis answered: DB index is out of range",
    }
    for url, said in cases.items():
        with sourcing(url) as (_, hub):
            error = wait_until(partial(hub.of_type, "system.error"), said)[0]["data"]
            assert error["error"].startswith(f"{url.shown}: {said}")
            assert "secret-1" not in str(hub.frames)


def test_stopping_takes_no_longer_when_redis_hangs(redis: RedisServer) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (_, hub), publishing(log, redis.url):
        log.append(message("first"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        redis.pause(True)
        log.append(message("second"))
    redis.pause(False)


# --- hostile publishers -----------------------------------------------------------------------------


def test_what_no_claude_mpm_wrote_is_passed_over_and_the_rest_goes_on(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(ID)
    with sourcing(redis.url) as (_, hub), publishing(log, redis.url):
        log.append(message("first"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        stream = keys.events(keys.shard(ID))
        good = {"type": "claude.message", "timestamp": "t", "seq": 2, "instance_id": ID, "data": {}}
        bad: list[tuple[str | bytes, ...]] = [
            ("x", "y"),
            ("i", ID, "n", "-1", "p", "0", "e", "{}"),
            ("i", ID, "n", "two", "p", "1", "e", "{}"),
            ("i", ID, "n", "1" * 5000, "p", "1", "e", "{}"),
            ("i", b"\xff\xfe", "n", "1", "p", "0", "e", "{}"),
            ("i", OTHER, "n", "1", "p", "0", "e", json_text.dumps(good)),  # an instance that never said it lives
            ("i", ID, "n", "1", "p", "0", "e", json_text.dumps(good)),  # backwards
        ]
        for entry in bad:
            redis.call("XADD", stream, "*", *entry)
        for number, event in enumerate((b"{", b"[]", b"9" * 9, json_text.dumps({**good, "instance_id": OTHER})), 2):
            redis.call(*entries.event_command(stream, 999, ID, number, number - 1, event))
        redis.call(
            *entries.event_command(stream, 999, ID, 6, 5, json_text.dumps({**good, "seq": 6, "type": "no.such"}))
        )
        redis.call(*entries.event_command(stream, 999, ID, 7, 6, b"x" * (entries.MAX_EVENT + 1)))
        redis.call("XADD", stream, "*", "i", ID, "n", 8, "p", 7, "g", '{"from_seq":"a"}')
        redis.call("SET", keys.record(OTHER), b"\xff")
        redis.call("ZADD", keys.INSTANCES, "inf", OTHER, "inf", b"\xff\xfe")
        redis.call(*entries.event_command(stream, 999, ID, 9, 8, json_text.dumps({**good, "seq": 9})))
        wait_until(lambda: 9 in hub.seqs(ID), "the event after them")
        assert hub.seqs(ID) == [1, 9]
        assert {(gap["from_seq"], gap["to_seq"]) for gap in hub.gaps(ID)} == {(n, n) for n in range(2, 9)}
        assert hub.instances() == [ID]
        assert len([line for line in caplog.records if "passed over" in line.message]) <= 10


# --- output on request ------------------------------------------------------------------------------


def test_output_comes_only_while_it_is_wanted_and_in_its_place(redis: RedisServer) -> None:
    log, demands = Log(ID), list[frozenset[str]]()
    with sourcing(redis.url) as (source, hub), publishing(log, redis.url, demands) as publisher:
        log.append(ev.claude_output("unseen", 0))
        log.append(message("first"))
        wait_until(lambda: hub.seqs(ID) == [2], "the first event")
        source.want({ID: frozenset({"claude.output"}), OTHER: frozenset({"claude.output"})})
        wait_until(lambda: looks(publisher, demands), "the demand")
        assert demands == [frozenset({"claude.output"})]
        assert redis.call("EXISTS", keys.want(OTHER)) == 0
        wait_until(lambda: keys.output(ID) in source._reader._cursors, "the source to follow")
        for number in range(100):
            log.append(ev.claude_output(f"line {number}\n", 0))
            log.append(message(str(number)))
        wait_until(lambda: 202 in hub.seqs(ID), "the last event")
        assert hub.seqs(ID) == [2, *range(3, 203)]
        source.want({})
        wait_until(lambda: not source._reader._outputs, "the source to leave")
        log.append(ev.claude_output("unseen", 0))
        log.append(message("last"))
        wait_until(lambda: 204 in hub.seqs(ID), "the last event")
        assert 203 not in hub.seqs(ID)
        assert hub.gaps(ID) == []


def looks(publisher: Publisher, demands: list[frozenset[str]]) -> bool:
    """Have the publisher look at what is wanted; whether it has found anything."""
    publisher.look_at_wants()
    return bool(demands)
