"""Many instances that publish to one Redis: redis_load.py URL INSTANCES RATE SECONDS [BYTES]

Each instance has its record, renewed every 5 s, and publishes RATE events a second, written exactly as the publisher
writes them: a transaction for what one instance has, and the entries' own numbers. All share a few connections, which is
cheaper for Redis than one for each. An event's text is `T=` and time.monotonic_ns() when it was due, `N=` and its number,
and padding up to BYTES (1,000). It prints `ready` once all records are there; a line on its input starts the events. At the
end it prints one JSON object: `sent`, `per_instance`, `cpu` (seconds), `late` (seconds that the last event was behind).
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.entry import Entry
from claude_mpm.feed.log import Log
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.connection import Connection
from claude_mpm.fleet.redis.entries import Command
from claude_mpm.fleet.redis.publish.outbox import Outbox, Pipeline
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.url import parse_url
from claude_mpm.system import json_text

TICK = 0.02  # seconds between two rounds; an instance publishes in the round in which its event is due
AT_ONCE = 200  # instances whose commands are sent before the answers are read
END_TIME = 30  # seconds that the records live on, so that nobody is gone before all has been read


class Instance:
    """One simulated session."""

    def __init__(self, number: int, size: int) -> None:
        self.instance_id = f"{number:08x}-0000-4000-8000-000000000000"
        self.seq = 0
        self.outbox = Outbox(self.instance_id)
        entry = Log(self.instance_id).append(_message(""))
        self._producer, sample = entry.producer, entry.json
        self._head, _, tail = sample.partition(b'"seq":1,')
        self._middle, _, self._tail = tail.partition(b'"text":"')
        self._pad = b"x" * max(size - len(sample) - 50, 0)
        self.info = {
            "instance_id": self.instance_id,
            "port": 8765,
            "host": "localhost",
            "working_dir": "/w",
            "name": None,
            "pid": number,
            "hostname": f"machine-{number % 100}",
            "started_at": ev.rfc3339(time.time()),
        }

    def event(self, due: int) -> Entry:
        """The next event. `due`: time.monotonic_ns()."""
        self.seq += 1
        text = b"T=%020dN=%08d" % (due, self.seq) + self._pad
        head = b'%b"seq":%d,%b"text":"' % (self._head, self.seq, self._middle)
        return Entry(self.seq, ev.CLAUDE_MESSAGE, head + text + self._tail, self._producer)

    def renewal(self, expiry: int, seconds: int) -> list[Command]:
        """The commands that renew the record."""
        data = {
            **Log(self.instance_id).snapshot(),
            "session_start": self.info["started_at"],
            "claude_status": "running",
        }
        data |= {"websocket_port": 8765, "connected_clients": 0, "instance_info": self.info, "seq": self.seq}
        frame = {"type": ev.SYSTEM_STATUS, "timestamp": ev.rfc3339(time.time()), "instance_id": self.instance_id}
        record = json_text.dumps({**frame, "published": self.seq, "data": data})
        return [
            ("SET", keys.record(self.instance_id), record, "EX", seconds),
            ("ZADD", keys.INSTANCES, expiry, self.instance_id),
        ]


def _message(text: str) -> ev.Event:
    return ev.claude_message("assistant", text, origin=ev.Origin("transcript"))


class Load:
    """The instances, and the connection they share."""

    def __init__(self, url: str, instances: int, size: int) -> None:
        self._connection = Connection(parse_url(url, os.environ), Stop())
        self._connection.open()
        seconds, _ = self._connection.call("TIME")
        self._clock = int(seconds) - time.monotonic()
        self.instances = [Instance(number, size) for number in range(instances)]
        self._renew(self.instances, keys.RECORD_TIME)

    def _renew(self, instances: list[Instance], seconds: int) -> None:
        expiry = int(time.monotonic() + self._clock) + seconds
        for start in range(0, len(instances), AT_ONCE):
            some = instances[start : start + AT_ONCE]
            self._connection.run([command for each in some for command in each.renewal(expiry, seconds)])

    def run(self, rate: float, seconds: float) -> dict[str, Any]:
        """Publish for a while."""
        count, per_instance = len(self.instances), int(rate * seconds)
        start, interval = time.monotonic(), 1 / (rate * count)  # between two events of any instances
        total, done, renewed, late = per_instance * count, 0, 0, 0.0
        while done < total:
            now = time.monotonic()
            due = min(int((now - start) / interval), total)
            self._publish(done, due, start, interval)
            done = due
            renewal = min(int((now - start) / keys.RENEWAL * count), renewed + count)  # spread over the interval
            self._renew([self.instances[n % count] for n in range(renewed, renewal)], keys.RECORD_TIME)
            renewed = renewal
            late = time.monotonic() - now
            time.sleep(max(now + TICK - time.monotonic(), 0.0))
        self._renew(self.instances, END_TIME)
        return {"sent": total, "per_instance": per_instance, "cpu": time.process_time(), "late": round(late, 3)}

    def _publish(self, first: int, end: int, start: float, interval: float) -> None:
        """Publish events number `first` to `end` of all, which the instances have in turns."""
        for block in range(first, end, AT_ONCE):
            commands: list[Command] = []
            for number in range(block, min(block + AT_ONCE, end)):
                instance = self.instances[number % len(self.instances)]
                pipeline = Pipeline()
                instance.outbox.fill(pipeline, [instance.event(int((start + number * interval) * 1e9))])
                commands += pipeline.finished()
            self._connection.run(commands)


def main() -> None:
    url, instances, rate, seconds, *size = sys.argv[1:]
    load = Load(url, int(instances), int(size[0]) if size else 1000)
    print("ready", flush=True)
    if sys.stdin.readline():
        print(json.dumps(load.run(float(rate), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
