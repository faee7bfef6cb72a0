"""A real hub for the page, fed by a source of the test's own with instances that answer from real logs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from support import TIMEOUT

from claude_mpm.config import Config
from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.fleet.hub.hub import Hub
from claude_mpm.fleet.source import FIRST_EVENTS, ON_REQUEST, Frame
from claude_mpm.server.bind import bind
from claude_mpm.system import json_text

HISTORY_BYTES = 4 * 1024 * 1024
LOCAL = "laptop"  # the machine of the hub


class Remote:
    """An instance behind a source. What it logs is delivered at once, unless `mute` is set."""

    def __init__(
        self, source: FakeSource, directory: str, machine: str, *, log: Log | None = None, age: float = 600, **info: Any
    ) -> None:
        self.source = source
        self.log = log or Log(f"{machine}-{directory}")
        self.mute = False
        self.silent: set[str] = set()  # commands that get no answer
        self.refusals: dict[str, tuple[str, str]] = {}  # command → code and message of the error it gets
        self.commands: list[Mapping[str, Any]] = []
        self.screen: dict[str, Any] | None = None
        self.started = time.time() - age
        self.info: dict[str, Any] = {
            "port": 8765,
            "host": "localhost",
            "hostname": machine,
            "machine": machine,
            "working_dir": f"/home/user/src/{directory}",
            "instance_id": self.log.instance_id,
            "pid": 4711,
            "git_branch": "main",
            "started_at": ev.rfc3339(self.started),
            "capabilities": ["control"],
        } | info

    def begin(self, *, activity: Any = "working") -> Remote:
        self.feed(
            ev.session_start("s-" + self.log.instance_id, self.info, "subprocess", self.started),
            ev.claude_status("running", origin=Origin("process"), pid=4712, activity=activity),
        )
        return self

    def feed(self, *events: ev.Event) -> None:
        for event in events:
            self.log.append(event)
            if not self.mute:
                self.deliver_since(self.log.seq - 1)

    def say(self, text: str, role: Any = "assistant") -> None:
        self.feed(ev.claude_message(role, text, origin=Origin("transcript")))

    def wait(self, tool: str = "Bash", command: str = "make deploy", **more: Any) -> None:
        """Begin to wait for permission."""
        wanted = {"kind": "permission", "tool": tool, "input": {"command": command}, **more}
        self.feed(ev.claude_status("running", origin=Origin("hook"), activity="waiting", waiting_for=wanted))

    def deliver_since(self, seq: int) -> None:
        entries, _ = self.log.history(["*"], FIRST_EVENTS, seq, None, HISTORY_BYTES)
        for entry in entries:
            if entry.type not in ON_REQUEST or entry.type in self.source.wanted.get(self.log.instance_id, ()):
                self.source.deliver(entry.message())

    def status(self) -> dict[str, Any]:
        return {**self.log.snapshot(), "websocket_port": self.info["port"], "instance_info": self.info}

    def answer(self, message: Mapping[str, Any]) -> None:
        """Reply to a command, as the instance itself would."""
        self.commands.append(message)
        command = message["command"]
        if command in self.silent:
            return
        kind, data = "error", {"code": "unknown_command", "message": command, "command": command}
        if command in self.refusals:
            code, sentence = self.refusals[command]
            data = {"code": code, "message": sentence, "command": command}
        elif command == "get_status":
            kind, data = "system.status", self.status()
        elif command == "get_history":
            kind, data = "history", self._history(message)
        elif command == "get_screen":
            kind, data = ("claude.screen", self.screen) if self.screen else (kind, {**data, "message": "no picture"})
        elif command in ("answer", "send_prompt"):
            kind, data = "done", {"command": command}
        self.source.deliver(
            {"type": kind, "timestamp": ev.rfc3339(time.time()), "request_id": message["request_id"], "data": data}
        )

    def _history(self, message: Mapping[str, Any]) -> dict[str, Any]:
        entries, more = self.log.history(
            message.get("event_types", ["*"]),
            message.get("limit", 100),
            message.get("since") or 0,
            message.get("before"),
            HISTORY_BYTES,
        )
        events = [json_text.loads(entry.json) for entry in entries]
        return {"events": events, "oldest_seq": self.log.oldest_seq(), "more": more}


class FakeSource:
    """Knows the instances that the test gives it. Delivers in the thread of whoever changes something."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: list[Remote] = []
        self.wanted: Mapping[str, frozenset[str]] = {}
        self.broken = ""  # why it cannot be reached
        self._deliver: Callable[[Frame], None] | None = None
        self._threads: list[threading.Thread] = []

    def add(self, directory: str, machine: str = LOCAL, **options: Any) -> Remote:
        """An instance that is listed with the next tell(); `age`: seconds since it started."""
        self.instances.append(Remote(self, directory, machine, **options))
        return self.instances[-1]

    def deliver(self, frame: Frame) -> None:
        if self._deliver is not None and not self.broken:
            self._deliver(frame)

    def tell(self) -> None:
        """List the instances."""
        infos = [instance.info for instance in self.instances]
        self.deliver({"type": "instances", "timestamp": ev.rfc3339(time.time()), "data": {"instances": infos}})

    def lose(self, sentence: str) -> None:
        """The source cannot be reached any more."""
        data = {"error": sentence, "component": self.name, "severity": "error"}
        self.deliver({"type": "system.error", "timestamp": ev.rfc3339(time.time()), "data": data})
        self.broken = sentence

    def restore(self) -> None:
        self.broken = ""
        self.tell()

    # --- the contract of fleet/source.py ---

    def start(self, deliver: Callable[[Frame], None]) -> None:
        self._deliver = deliver
        if self.broken:
            sentence, self.broken = self.broken, ""
            self.lose(sentence)
            return
        self.tell()
        for instance in self.instances:
            stamp = ev.rfc3339(time.time())
            status = {"type": "system.status", "timestamp": stamp, "instance_id": instance.log.instance_id}
            self.deliver({**status, "data": instance.status()})
            instance.deliver_since(max(0, instance.log.seq - FIRST_EVENTS))

    def stop(self) -> None:
        self._deliver = None

    def join(self, timeout: float) -> bool:
        for thread in self._threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        """Answer in a thread, as every real source does."""
        if self.broken:
            raise ServerUnavailable(self.broken)
        for instance in self.instances:
            if instance.log.instance_id == message["instance_id"]:
                thread = threading.Thread(target=instance.answer, args=(message,), name="fake-source")
                self._threads = [one for one in self._threads if one.is_alive()]
                self._threads.append(thread)
                thread.start()

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool = False) -> None:
        self.wanted = wanted


class Served:
    """A running hub. `restart` puts another one in its place, on the same port."""

    def __init__(self, sources: list[FakeSource], config: Config, past: Any = None) -> None:
        self.sources, self.config, self.past = sources, config, past
        self.port = 0
        self.hub: Hub | None = None
        self.run = 0

    def start(self) -> None:
        self.run += 1
        sockets = bind(None, self.port)
        self.port = sockets[0].getsockname()[1]
        info = {
            "port": self.port,
            "host": "localhost",
            "hostname": LOCAL,
            "working_dir": "/home/user",
            "instance_id": f"hub-{self.run}",
            "git_branch": None,
            "kind": "hub",
            "capabilities": ["hub", *(["control"] if self.config.control else [])],
        }
        self.hub = Hub(self.config._replace(port=self.port), info, sockets, self.sources, self.past)
        self.hub.start()

    def stop(self) -> None:
        if self.hub is not None:
            self.hub.stop()
            self.hub = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"


@contextlib.contextmanager
def hub(*sources: FakeSource, token: str | None = None, control: bool = False, past: Any = None) -> Iterator[Served]:
    served = Served(list(sources), Config(token=token, control=control), past)
    served.start()
    try:
        yield served
    finally:
        served.stop()
        for source in sources:
            assert source.join(TIMEOUT)
