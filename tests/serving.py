"""A running server over a log a test writes, and a client that may also misbehave."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from schemas import check
from support import TIMEOUT
from wsproto.connection import CLIENT, Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from claude_mpm.config import Config, Limits
from claude_mpm.feed.log import Log
from claude_mpm.server.bind import bind
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.listener import Server

TOKEN = "0123456789abcdef0123456789abcdef"
INSTANCE = {"port": 8765, "host": "localhost", "working_dir": "/w"}
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
Frame = dict[str, Any]


class FakeControl:
    """Notes what it is told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    def _note(self, *what: object) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what)

    def send_input(self, text: str) -> None:
        self._note("send_input", text)

    def interrupt(self) -> None:
        self._note("interrupt")

    def stop(self) -> None:
        self._note("stop")

    def resize(self, cols: int, rows: int) -> None:
        self._note("resize", cols, rows)


class Served:
    """What the test may look at and write to."""

    def __init__(self, config: Config, control: FakeControl | None = None, instance_id: str = "run-1") -> None:
        self.log = Log(instance_id, config.limits)
        self.demands: list[frozenset[str]] = []
        self.screen: Frame | None = None
        self.proceed = threading.Event()  # cleared: whoever asks for the status waits
        self.proceed.set()
        self.asked = threading.Event()  # somebody waits so
        self.failure: Exception | None = None  # what asking for the status raises
        self.instances: list[Frame] = []
        self.control = control
        self.backend = SessionView(
            status=self._status,
            instances=lambda: self.instances,
            screen=lambda: self.screen,
            demand=lambda selection: self.demands.append(selection.types),
            control=control,
        )
        sockets = bind(config.host, 0)
        self.port: int = sockets[0].getsockname()[1]
        self.server = Server(sockets, self.log, config, self.backend)

    def _status(self) -> Frame:
        if not self.proceed.is_set():
            self.asked.set()
            assert self.proceed.wait(TIMEOUT)
        if self.failure is not None:
            raise self.failure
        return {**self.log.snapshot(), "websocket_port": self.port, "instance_info": INSTANCE}

    def client(self, **options: Any) -> Client:
        return Client(self.port, **options)


@contextmanager
def serving(
    config: Config | None = None, control: FakeControl | None = None, instance_id: str = "run-1", **limits: Any
) -> Iterator[Served]:
    served = Served(config or Config(limits=Limits(**limits)), control, instance_id)
    served.server.start()
    try:
        yield served
    finally:
        served.server.stop()
        assert served.server.join(TIMEOUT), "the server did not stop"


def upgrade(path: str = "/", **headers: str | None) -> bytes:
    """A good WebSocket request; a header given as None is left out, `_` in a name stands for `-`."""
    wanted: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def get(path: str, method: str = "GET", **headers: str | None) -> bytes:
    wanted: dict[str, str | None] = {"Host": "localhost"}
    wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Answer:
    """What an HTTP request was answered with."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first else 0  # 0: closed without a word
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, request: bytes, *, host: str = "127.0.0.1") -> Answer:
    """Send a request and read to the end of the stream."""
    with socket.create_connection((host, port), timeout=TIMEOUT) as sock:
        sock.sendall(request)
        return Answer(read_all(sock))


def read_all(sock: socket.socket) -> bytes:
    """To the end of the stream; a reset is an end."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


class Client:
    """A WebSocket client by wsproto that answers nothing by itself."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", request: bytes | None = None, receive_buffer: int | None = None
    ) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sock.settimeout(TIMEOUT)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect((host, port))
        self.sock.sendall(request or upgrade())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(4096)
            if not data:
                break
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        self.head = Answer(head)
        self._ws = Connection(CLIENT, trailing_data=rest)
        self._events: list[Any] = []
        self._text = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, message: object) -> None:
        self.send_event(TextMessage(data=message if isinstance(message, str) else json.dumps(message)))

    def send_event(self, event: TextMessage | BytesMessage | Ping | Pong | CloseConnection) -> None:
        self.sock.sendall(self._ws.send(event))

    def event(self) -> Any:
        """The next wsproto event. Fails at the deadline and at the end of the stream."""
        deadline = time.monotonic() + TIMEOUT
        while not self._events:
            self._events += self._ws.events()
            if self._events:
                break
            assert time.monotonic() < deadline
            data = self.sock.recv(65536)
            assert data, "the stream ended"
            self._ws.receive_data(data)
        return self._events.pop(0)

    def next(self) -> Frame:
        """The next text message, which is as docs/asyncapi.yaml says."""
        while True:
            event = self.event()
            assert isinstance(event, TextMessage), event
            self._text += event.data
            if event.message_finished:
                text, self._text = self._text, ""
                value: Frame = json.loads(text)
                check(value)
                return value

    def ask(self, command: str, **params: object) -> Frame:
        """The reply to a command; nothing else may come before it."""
        self.send({"command": command, **params})
        return self.next()

    def greeted(self) -> Client:
        assert self.next()["type"] == "system.status"
        return self

    def subscribe(self, *channels: str, **params: object) -> Frame:
        reply = self.ask("subscribe", channels=list(channels), **params)
        assert reply["type"] == "subscribed", reply
        return reply

    def closed(self) -> int:
        """Skip to the close frame; its code. The stream ends after it."""
        while not isinstance(event := self.event(), CloseConnection):
            pass
        assert read_all(self.sock) == b""
        return int(event.code)


__all__ = ["BytesMessage", "CloseConnection", "Ping", "Pong", "TextMessage"]
