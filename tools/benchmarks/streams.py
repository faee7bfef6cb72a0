"""Redis between sessions and a hub: what an event costs the one who publishes it, and the one who reads it.

The processor time is that of this process, in which nothing else runs meanwhile; Redis has a core of its own. Beside it
stands redis-py used in the plainest way for the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psutil
from checkout import ROOT

from benchmarks.program import HERE, PATIENCE, line_from, piped, tell
from benchmarks.table import Row, median
from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.publish.publisher import Publisher
from claude_mpm.fleet.redis.read.source import RedisSource
from claude_mpm.fleet.redis.url import parse_url

EVENTS = 10_000  # what a log holds
SIZE = 1000  # bytes of an event
READ_INSTANCES, READ_EVENTS = 200, 100_000
PORT_TIME = 10.0  # seconds for redis-server to start


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    if shutil.which("redis-server") is None:
        raise OSError("redis-server is not installed")
    yield _row("published", [_publish() for _ in range(3 * repeat)], "redis-py, pipelines of 256")
    yield _row("read by a hub's source", [_read() for _ in range(repeat)], "redis-py, XREAD and json.loads")


@contextmanager
def redis() -> Iterator[tuple[str, int]]:
    """A redis-server without persistence; its URL and pid."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="claude-mpm-bench-") as directory:
        argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with subprocess.Popen([*argv, "--logfile", "redis.log"]) as server:
            try:
                wait_for(lambda: _accepts(port), PORT_TIME)
                yield f"redis://127.0.0.1:{port}", server.pid
            finally:
                server.terminate()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool], limit: float = PATIENCE) -> None:
    """Raises TimeoutError at the limit, in seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what was published did not arrive")
        time.sleep(0.005)


def _row(what: str, runs: list[tuple[float, float]], beside: str) -> Row:
    """`runs`: microseconds of processor time for an event, ours and of what it is compared with."""
    ours, plain = (median(side) for side in zip(*runs, strict=True))
    figure = f"{1e6 / ours:,.0f}/s on one core ({ours:.1f} µs of it an event)"
    return Row(f"Redis: events of 1 kB {what}", figure, f"{beside} {1e6 / plain:,.0f}/s", f"{plain / ours:.2f} ×")


# --- publishing -----------------------------------------------------------------------------------


def _publish() -> tuple[float, float]:
    log = Log("bench", Limits())
    for number in range(EVENTS):
        log.append(ev.claude_message("assistant", f"{number:08d}{'x' * (SIZE - 180)}", origin=ev.Origin("transcript")))
    status = {"instance_info": {"instance_id": "bench"}}
    with redis() as (url, _):
        publisher = Publisher(log, lambda: status, lambda types: None, parse_url(url, {}))
        used = _cpu_of(lambda: _until_ended(publisher))
        plain = _cpu_of(lambda: _plain_publish(url, [entry.json for entry in log.read(0, ["*"], EVENTS)]))
    return used / EVENTS * 1e6, plain / EVENTS * 1e6


def _until_ended(publisher: Publisher) -> None:
    """What a publisher sends at the end of a session is all that the log holds."""
    publisher.start()
    publisher.stop()
    if not publisher.join(PATIENCE):
        raise TimeoutError("the publisher did not end")


def _plain_publish(url: str, events: list[bytes]) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        for start in range(0, len(events), 256):
            pipe = client.pipeline(transaction=False)
            for event in events[start : start + 256]:
                pipe.xadd("plain", {"e": event}, maxlen=keys.SHARD_EVENTS)
            pipe.execute()


def _cpu_of(work: Callable[[], object]) -> float:
    """Seconds of processor time of this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


# --- reading --------------------------------------------------------------------------------------


class Counter:
    """Takes what a source delivers, and notes the delays."""

    def __init__(self) -> None:
        self.events = self.lost = self.wrong = self.known = 0
        self.delays: list[float] = []  # milliseconds
        self._seqs: dict[str, int] = {}
        self.has_list = threading.Event()

    def deliver(self, frame: dict[str, Any]) -> None:
        if "seq" in frame:
            self.events += 1
            instance_id, seq = frame["instance_id"], frame["seq"]
            self.wrong += seq != self._seqs.get(instance_id, 0) + 1
            self._seqs[instance_id] = seq
            self.delays.append((time.monotonic_ns() - int(frame["data"]["text"][2:22])) / 1e6)
        elif frame["type"] == "system.gap":
            self.lost += frame["data"]["to_seq"] - frame["data"]["from_seq"] + 1
        elif frame["type"] == "instances":
            self.known = len(frame["data"]["instances"])
            self.has_list.set()


def _read() -> tuple[float, float]:
    with redis() as (url, _):
        seconds = READ_EVENTS / READ_INSTANCES / 1000
        with load_on(url, READ_INSTANCES, 1000, seconds) as load:
            line_from(load)
            tell(load, "go")
            line_from(load)
        counter, source = Counter(), RedisSource(parse_url(url, {}), None, "bench")
        used = _cpu_of(lambda: _read_all(source, counter))
        plain = _cpu_of(lambda: _plain_read(url))
    return used / READ_EVENTS * 1e6, plain / READ_EVENTS * 1e6


def _read_all(source: RedisSource, counter: Counter) -> None:
    source.start(counter.deliver)
    try:
        wait_for(lambda: counter.events >= READ_EVENTS)
    finally:
        source.stop()
        source.join(PATIENCE)
    if counter.wrong or counter.lost:
        raise OSError(f"{counter.wrong} out of order, {counter.lost} lost")


def _plain_read(url: str) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        cursors: dict[Any, Any] = {keys.events(number): "0-0" for number in range(keys.SHARDS)}
        while found := client.xread(cursors, count=64):
            for stream, rows in found:
                for entry_id, fields in rows:
                    json.loads(fields[b"e"])
                    cursors[stream.decode()] = entry_id


def load_on(url: str, instances: int, rate: float, seconds: float) -> AbstractContextManager[subprocess.Popen[str]]:
    argv = [sys.executable, str(HERE / "redis_load.py"), url, *map(str, (instances, rate, seconds, SIZE))]
    return piped(argv, {**os.environ, "PYTHONPATH": str(ROOT)})


def _used(server: int) -> tuple[float, float]:
    """Seconds of processor time of this process and of process `server`."""
    return time.process_time(), sum(psutil.Process(server).cpu_times()[:2])
