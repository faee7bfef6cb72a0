"""A Redis of the tests' own: on a free port of the loopback interface, killed and started again as they like."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import wait_until

from claude_mpm.errors import RedisUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.fleet.redis.connection import Connection
from claude_mpm.fleet.redis.publish.publisher import Publisher
from claude_mpm.fleet.redis.read.source import RedisSource
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.url import RedisUrl, parse_url

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
Frame = dict[str, Any]


class RedisServer:
    """One redis-server; `start` and `kill` as often as wanted, on the same port and directory."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self.as_user()

    def as_user(self, user: str = "", password: str = "") -> RedisUrl:
        who = f"{user}:{password}@" if password else ""
        return parse_url(f"redis://{who}127.0.0.1:{self.port}", {})

    def start(self, *options: str) -> None:
        argv = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        argv += [str(self._directory), "--logfile", "redis.log", *self._options, *options]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        wait_until(self._answers, "the start of redis-server")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as sock:
                sock.sendall(b"PING\r\n")
                return sock.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-NOPERM"))
        except OSError:
            return False

    def kill(self) -> None:
        """As a power failure would, but for what the system still writes."""
        self._end(signal.SIGKILL)

    def pause(self, is_paused: bool) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait()

    def call(self, *command: str | bytes | int) -> Any:
        """The answer to one command, of a connection of its own."""
        connection = Connection(self.url, Stop())
        try:
            connection.open()
            return connection.call(*command)
        finally:
            connection.close()

    def reaches(self, *command: str | bytes | int) -> Any:
        """As call(), but None while it cannot be asked: for wait_until()."""
        try:
            return self.call(*command)
        except RedisUnavailable:
            return None


@contextmanager
def redis_server(directory: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(directory, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Hub:
    """Takes what a source delivers, and checks what the contract promises of each instance."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def deliver(self, frame: Frame) -> None:
        self.frames.append(json.loads(json.dumps(frame)))

    def of_type(self, kind: str) -> list[Frame]:
        return [frame for frame in list(self.frames) if frame["type"] == kind]

    def events(self, instance_id: str) -> list[Frame]:
        return [frame for frame in list(self.frames) if frame.get("instance_id") == instance_id and "seq" in frame]

    def seqs(self, instance_id: str) -> list[int]:
        return [frame["seq"] for frame in self.events(instance_id)]

    def gaps(self, instance_id: str) -> list[Frame]:
        return [frame["data"] for frame in self.of_type("system.gap") if frame["instance_id"] == instance_id]

    def instances(self) -> list[str]:
        lists = self.of_type("instances")
        return [info["instance_id"] for info in lists[-1]["data"]["instances"]] if lists else []

    def accounted(self, instance_id: str) -> set[int]:
        """The numbers that came, and those that were told as lost."""
        lost = {n for gap in self.gaps(instance_id) for n in range(gap["from_seq"], gap["to_seq"] + 1)}
        return lost | set(self.seqs(instance_id))


@contextmanager
def sourcing(url: RedisUrl, token: str | None = None, hub_id: str = "hub-1") -> Iterator[tuple[RedisSource, Hub]]:
    """A source that delivers to a Hub."""
    source, hub = RedisSource(url, token, hub_id), Hub()
    source.start(hub.deliver)
    try:
        yield source, hub
    finally:
        source.stop()
        assert source.join(10.0), "the source did not stop"


@contextmanager
def publishing(log: Log, url: RedisUrl, demands: list[frozenset[str]] | None = None) -> Iterator[Publisher]:
    """A publisher of a log, whose status is that of the log."""
    seen: list[frozenset[str]] = [] if demands is None else demands
    publisher = Publisher(log, lambda: status_of(log), seen.append, url)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()
        assert publisher.join(10.0), "the publisher did not stop"


def status_of(log: Log) -> Frame:
    """The data of `system.status`, as a session makes it."""
    return {**log.snapshot(), "websocket_port": 8765, "connected_clients": 0, "instance_info": info_of(log.instance_id)}


def info_of(instance_id: str) -> Frame:
    stamp = ev.rfc3339(1e9)
    return {"instance_id": instance_id, "port": 8765, "host": "localhost", "working_dir": "/w", "started_at": stamp}


def message(text: str) -> ev.Event:
    return ev.claude_message("assistant", text, origin=ev.Origin("transcript"))
