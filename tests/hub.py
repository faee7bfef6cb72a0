"""A hub on a free port, and sources whose frames a test writes."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from serving import Client
from support import TIMEOUT

from claude_mpm.config import Config
from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.fleet.hub.hub import Hub
from claude_mpm.fleet.source import Frame, Source
from claude_mpm.server.bind import bind

STAMP = "2026-01-01T00:00:00.000Z"
HUB = "00000000-0000-4000-8000-000000000000"


def instance(number: int, machine: str = "alpha", **more: object) -> Frame:
    """`instance_info` of an instance."""
    instance_id = f"{number:08d}-0000-4000-8000-000000000000"
    info = {"port": 9000 + number % 50_000, "host": "localhost", "working_dir": f"/w/{number}", "machine": machine}
    return {"instance_id": instance_id, **info, **more}


class FakeSource:
    """Delivers what a test tells it to, and notes what it is asked."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.sent: queue.Queue[tuple[Mapping[str, Any], bool]] = queue.Queue()
        self.wanted: Mapping[str, frozenset[str]] = {}
        self.gone = False  # send() fails
        self.attended = False
        self.deliver: Callable[[Frame], None] = lambda frame: None

    def start(self, deliver: Callable[[Frame], None]) -> None:
        self.deliver = deliver

    def stop(self) -> None:
        pass

    def join(self, timeout: float) -> bool:
        return True

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        if self.gone:
            raise ServerUnavailable("the instance cannot be reached")
        self.sent.put((message, trusted))

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool = False) -> None:
        self.wanted, self.attended = wanted, attended

    # --- what a test does ---

    def lists(self, *infos: Frame) -> None:
        self.deliver({"type": "instances", "timestamp": STAMP, "data": {"instances": list(infos)}})

    def event(self, info: Frame, seq: int, kind: str = ev.SYSTEM_ERROR, data: Frame | None = None, **more: Any) -> None:
        data = data or {"error": f"event {seq}", "component": "test", "severity": "warning"}
        frame = {"type": kind, "timestamp": STAMP, "seq": seq, "source": "monitor", "data": data}
        self.deliver({**frame, "instance_id": info["instance_id"], **more})

    def says(self, info: Frame, **status: object) -> None:
        frame = {"type": ev.SYSTEM_STATUS, "timestamp": STAMP, "instance_id": info["instance_id"]}
        self.deliver({**frame, "data": {"claude_status": "running", "activity": "working", **status}})

    def gap(self, info: Frame, first: int, last: int, reason: str = "before_start") -> None:
        data = {"from_seq": first, "to_seq": last, "counts": {}, "reason": reason}
        frame = {"type": ev.SYSTEM_GAP, "timestamp": STAMP, "source": "monitor", "data": data}
        self.deliver({**frame, "instance_id": info["instance_id"]})

    def trouble(self, sentence: str) -> None:
        data = {"error": sentence, "component": self.name, "severity": "error"}
        self.deliver({"type": ev.SYSTEM_ERROR, "timestamp": STAMP, "source": "monitor", "data": data})

    def asked(self) -> tuple[Mapping[str, Any], bool]:
        """The next command given to send()."""
        return self.sent.get(timeout=TIMEOUT)

    def answers(self, message: Mapping[str, Any], kind: str = "pong", **data: object) -> None:
        """Reply to a command."""
        self.deliver({"type": kind, "timestamp": STAMP, "request_id": message["request_id"], "data": data})


class ServedHub:
    """A running hub."""

    def __init__(self, config: Config, *sources: Source, hub_id: str = HUB, port: int = 0) -> None:
        sockets = bind(None, port)
        self.port: int = sockets[0].getsockname()[1]
        info = instance(0) | {"instance_id": hub_id, "port": self.port, "kind": "hub"}
        info["capabilities"] = ["hub", "control"] if config.control else ["hub"]
        self.hub = Hub(config, info, sockets, list(sources))
        self.hub.start()

    def client(self, **options: Any) -> Client:
        return Client(self.port, **options)


@contextmanager
def serving_hub(
    *sources: Source, config: Config | None = None, hub_id: str = HUB, port: int = 0
) -> Iterator[ServedHub]:
    served = ServedHub(config or Config(), *sources, hub_id=hub_id, port=port)
    try:
        yield served
    finally:
        served.hub.stop()
