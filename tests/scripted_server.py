"""A server whose every answer a test decides: what a client must cope with, the real one included."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from claude_mpm.feed.patterns import any_matches

Frame = dict[str, Any]


def close_wake_pipe(server: Server) -> None:
    """Close what websockets 16, the last version for Python 3.10, leaves open once serve_forever() has returned."""
    for end in (server.shutdown_watcher, server.shutdown_notifier):
        if isinstance(end, int):
            os.close(end)


class ScriptedServer:
    """Keeps every event, answers commands as the protocol says, and does what a test tells it. Any thread."""

    def __init__(self, port: int = 0, instance_id: str = "run-1") -> None:
        self.instance_id = instance_id
        self.events: list[Frame] = []
        self.greeting = self.frame("system.status", {"session_id": "s-1", "claude_status": "running"})
        self.refusal: tuple[HTTPStatus, str] | None = None
        self.status: Frame | None = None  # what get_status gets, instead of a small one
        self.silent: set[str] = set()  # commands that get no answer
        self.commands: list[Frame] = []
        self.headers: list[dict[str, str]] = []
        self.oldest = 1  # events before it are gone
        self._lock = threading.Lock()
        self._clients: dict[ServerConnection, list[str]] = {}
        self._server: Server = serve(
            self._client, "127.0.0.1", port, process_request=self._admit, compression=None, close_timeout=1
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="scripted-server")
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self.drop()
        self._thread.join()
        close_wake_pipe(self._server)

    def frame(self, kind: str, data: Frame, **more: Any) -> Frame:
        stamp = {"timestamp": "2026-01-02T03:04:05.678Z", "instance_id": self.instance_id}
        return {"type": kind, "data": data} | stamp | more

    def emit(self, kind: str, data: Frame | None = None) -> None:
        """An event for every subscriber."""
        with self._lock:
            event = self.frame(kind, data or {}, seq=len(self.events) + 1)
            self.events.append(event)
            for client, channels in self._clients.items():
                if any_matches(channels, kind):
                    with suppress(ConnectionClosed):
                        client.send(json.dumps(event))

    def say(self, text: str | bytes) -> None:
        """Anything at all to every client."""
        with self._lock:
            for client in self._clients:
                with suppress(ConnectionClosed):
                    client.send(text)

    def drop(self, code: int = 1001, reason: str = "going away") -> None:
        """End every connection."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.close(code, reason)

    def _admit(self, client: ServerConnection, request: Request) -> Response | None:
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        return client.respond(*self.refusal) if self.refusal else None

    def _client(self, client: ServerConnection) -> None:
        try:
            with self._lock:
                self._clients[client] = []
                client.send(json.dumps(self.greeting))
            for text in client:
                self._command(client, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._clients.pop(client, None)

    def _command(self, client: ServerConnection, command: Frame) -> None:
        self.commands.append(command)
        name = command["command"]
        if name in self.silent:
            return
        with self._lock:
            reply, after = self._reply(client, name, command)
            client.send(json.dumps(reply | {"request_id": command["request_id"]}))
            for event in after:
                client.send(json.dumps(event))

    def _reply(self, client: ServerConnection, name: str, command: Frame) -> tuple[Frame, list[Frame]]:
        if name == "subscribe":
            channels = command["channels"]
            if "!" in channels:
                data = {"code": "invalid_params", "message": "'!' is no pattern", "command": name}
                return self.frame("error", data), []
            self._clients[client] += channels
            since = command.get("since", len(self.events))
            kept = [e for e in self.events if e["seq"] > since and any_matches(channels, e["type"])]
            gone = [e for e in kept if e["seq"] < self.oldest]
            gap = {"from_seq": since + 1, "to_seq": self.oldest - 1, "counts": {}, "reason": "expired"}
            after = [self.frame("system.gap", gap)] if gone else []
            return self.frame("subscribed", {"channels": channels, "seq": len(self.events)}), after + kept[len(gone) :]
        answers: dict[str, tuple[str, Frame]] = {
            "unsubscribe": ("unsubscribed", {"channels": []}),
            "get_status": ("system.status", self.status or {"claude_status": "running", "seq": len(self.events)}),
            "get_history": ("history", {"events": self.events, "oldest_seq": self.oldest, "more": False}),
            "get_instances": ("instances", {"instances": [{"port": self.port}]}),
            "ping": ("pong", {}),
        }
        kind, data = answers[name]
        return self.frame(kind, data), []


@contextmanager
def scripted(port: int = 0, instance_id: str = "run-1") -> Iterator[ScriptedServer]:
    server = ScriptedServer(port, instance_id)
    try:
        yield server
    finally:
        server.stop()
