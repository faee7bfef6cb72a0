"""The client side of the protocol, for `watch`, the tools, and scripts: connect, send commands, follow events."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from claude_mpm.client.connection import Connection
from claude_mpm.client.frame_queue import QUEUE_CHARS, Frame
from claude_mpm.client.progress import Progress
from claude_mpm.client.registered import registered_token
from claude_mpm.config import DEFAULT_PORT
from claude_mpm.errors import ConnectionFailed, ProtocolError, ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.system import json_text
from claude_mpm.system.backoff import Backoff

TIMEOUT = 5.0  # seconds, for each of: connecting, the greeting, one reply
RETRY_FIRST, RETRY_MOST = 0.25, 5.0  # seconds between attempts to reconnect: doubled each time, up to the second
CONNECTED, LOST = "client.connected", "client.lost"  # types of the frames that follow() adds


class Client:
    """A connection to the claude-mpm on `port`.

    Commands may be sent from any thread; one thread at a time may read events. Nothing is connected until connect(),
    follow(), or `with`. close() ends everything, from any thread, and wakes whoever is reading.

    Args:
        token: None to use the one that the running instance has written for its own user, if there is one.
        timeout: seconds, for each of: connecting, the greeting, one reply.
        queue_chars: of JSON text received and not read, at which the server is pushed back.
        attending: whether somebody is there who may answer Claude: with the token, its questions then wait for an answer.

    Attributes:
        greeting: the data of the `system.status` that the server sent on connect; {} before.
        instance_id: of the run that is connected; None before. A restarted claude-mpm has another one.
        close_code, close_reason: what the server's close frame said when the last connection ended; None if it sent none.
    """

    def __init__(
        self,
        port: int = DEFAULT_PORT,
        host: str = "localhost",
        token: str | None = None,
        *,
        timeout: float = TIMEOUT,
        queue_chars: int = QUEUE_CHARS,
        attending: bool = True,
    ) -> None:
        self.port, self.host = port, host
        self.greeting: Frame = {}
        self.instance_id: str | None = None
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._token, self._timeout, self._queue_chars, self._attending = token, timeout, queue_chars, attending
        self._numbers = itertools.count(1)
        self._connection_lock = threading.Lock()
        self._connection: Connection | None = None
        self._closing = threading.Event()

    # --- connecting ---

    def connect(self) -> Client:
        """Connect, replacing any earlier connection, and wait for the greeting. Blocks for at most 2 × `timeout`.

        Raises:
            ServerUnavailable: nobody listens, the server is too busy, or it does not answer in time.
            ConnectionFailed: refused, with the server's reason; or what listens is not a claude-mpm.
        """
        self.close()
        self._closing.clear()
        self._open()
        return self

    def _open(self) -> None:
        token = self._token or registered_token(self.host, self.port)
        connection = Connection(self.host, self.port, token, self._queue_chars, self._attending)
        connection.open(self._timeout)
        greeting = connection.greeting(self._timeout)
        with self._connection_lock:
            if not self._closing.is_set():
                self.greeting, self.instance_id = greeting["data"], str(greeting["instance_id"])
                self._connection = connection
                return
        connection.close()
        raise ConnectionFailed("closed while connecting")

    def close(self) -> None:
        """Say goodbye and free everything. Blocks for a second at most. Any thread, any number of times."""
        self._closing.set()
        self._drop()

    def _drop(self, only: Connection | None = None) -> None:
        """End the connection; given `only`, do so only if that is still the current one."""
        with self._connection_lock:
            connection = self._connection
            if connection is None or only not in (None, connection):
                return
            self._connection = None
        connection.close()
        self.close_code, self.close_reason = connection.close_code, connection.close_reason

    def __enter__(self) -> Client:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- commands ---

    def request(self, command: str, **params: Any) -> Frame:
        """Send a command and return the whole reply frame. Parameters that are None are left out. Any thread.

        Blocks for at most `timeout` seconds, plus the time the server takes to read the command.

        Raises:
            ProtocolError: the server answered with an error; `code` and text are the server's.
            ServerUnavailable: not connected, the connection was lost, or no reply came in time.
        """
        connection = self._connected()
        request_id = f"c{next(self._numbers)}"
        message = {"command": command, "request_id": request_id}
        message |= {name: value for name, value in params.items() if value is not None}
        connection.frames.expect(request_id)
        try:
            connection.send(json_text.dumps(message).decode())
            reply = connection.frames.reply(request_id, self._timeout)
        except EOFError:
            raise ServerUnavailable(f"the connection ended before {command} was answered") from None
        finally:
            connection.frames.forget(request_id)
        if reply is None:
            raise ServerUnavailable(f"no answer to {command} in {self._timeout:g} s")
        if reply["type"] == "error":
            raise ProtocolError(str(reply["data"].get("code")), str(reply["data"].get("message")))
        return reply

    def post(self, message: Mapping[str, Any]) -> None:
        """Send a command as it is, without waiting for its reply. Any thread; blocks as long as sending does.

        The reply comes from next_event() and iteration: before the events that wait there if the message has a
        `request_id`, a text that nobody else uses (request() has c1, c2, …); in its turn otherwise.

        Raises:
            ServerUnavailable: not connected, the connection was lost, or too many such commands have no reply yet.
        """
        connection, request_id = self._connected(), message.get("request_id")
        if request_id is not None:
            connection.frames.pass_on(request_id)
        try:
            connection.send(json_text.dumps(message).decode())
        except ServerUnavailable:
            connection.frames.forget(str(request_id))
            raise

    def subscribe(self, channels: Sequence[str] = ("*",), since: int | None = None) -> Frame:
        """Ask for events; they come from next_event() and iteration. Blocks and raises as request().

        Args:
            channels: patterns of event types: `*`, `agent.*`, `todo.update`. They are added to those subscribed before.
            since: the seq to resume after; 0 for everything the server still has; None for new events only.

        Returns:
            `channels`: all patterns now subscribed; `seq`: that of the server's newest event.
        """
        return _data(self.request("subscribe", channels=list(channels), since=since))

    def unsubscribe(self, channels: Sequence[str]) -> Frame:
        """Remove patterns. Returns `channels`: those that remain. Blocks and raises as request()."""
        return _data(self.request("unsubscribe", channels=list(channels)))

    def get_status(self) -> Frame:
        """Return the present state: the data of a `system.status`. Blocks and raises as request()."""
        return _data(self.request("get_status"))

    def get_history(
        self,
        event_types: Sequence[str] | None = None,
        limit: int | None = None,
        since: int | None = None,
        before: int | None = None,
    ) -> Frame:
        """Return stored events with since < seq < before, the newest ones if there are too many. As request().

        A reply is bounded: by `limit` events, and by the server at 4 MiB of them. When `more` is true, ask again with
        `before` set to the seq of the first event received.

        Args:
            event_types: patterns as for subscribe(); None for all.

        Returns:
            `events`: whole event frames, oldest first; `oldest_seq`: that of the oldest event the server still has;
            `more`: whether older events of the range were left out.
        """
        types = None if event_types is None else list(event_types)
        return _data(self.request("get_history", event_types=types, limit=limit, since=since, before=before))

    def get_instances(self) -> list[Frame]:
        """Return what is known of every running claude-mpm of the server's user on its machine. As request()."""
        return list(_data(self.request("get_instances")).get("instances", []))

    def ping(self) -> float:
        """Return the round-trip time of a command in seconds. Blocks and raises as request()."""
        started = time.monotonic()
        self.request("ping")
        return time.monotonic() - started

    # --- events ---

    def next_event(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame that is not a reply, or None after `timeout` seconds (None: wait for ever).

        Raises:
            EOFError: the connection has ended and everything was read.
            ServerUnavailable: not connected.
        """
        return self._connected().frames.get(timeout)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the connection ends, whichever side ends it."""
        connection = self._connection
        while connection is not None:
            try:
                frame = connection.frames.get(None)
            except EOFError:
                self._drop(connection)
                return
            if frame is not None:
                yield frame

    def follow(
        self, channels: Sequence[str] = ("*",), since: int | None = None, instance_id: str | None = None
    ) -> Iterator[Frame]:
        """Yield events until close(), reconnecting whenever the connection is lost.

        Pauses grow from 0.25 to 5 seconds. Each connection begins with a frame `client.connected`
        (data: `instance_id`, `new_instance`, `status`) and ends with `client.lost` (data: `code`, `reason`). No event
        comes twice. Events that the server no longer has are reported by its `system.gap`. After a restart the new
        instance is read from its beginning; of a hub, which tells every session anew, what came already is left out.

        Args:
            channels, since: as for subscribe().
            instance_id: the instance that `since` belongs to, if known; another one is read from its beginning.

        Raises:
            ConnectionFailed: the first attempt failed, or a later one was refused for good.
            ProtocolError: the server does not accept `channels` or `since`.
        """
        if self._connection is None:
            self.connect()
        backoff, progress = Backoff(RETRY_FIRST, RETRY_MOST), Progress()
        while True:
            try:
                if self._connection is None:
                    self._open()
                is_new = instance_id not in (None, self.instance_id)
                since, instance_id = 0 if is_new else since, self.instance_id
                seq = int(self.subscribe(channels, since)["seq"])
            except ConnectionFailed as error:
                self._drop()
                if not self._closing.is_set() and not isinstance(error, ServerUnavailable):
                    raise
                if self._closing.wait(backoff.next()):
                    return
                continue
            backoff.reset()
            progress.since = seq if since is None else since
            yield _own_frame(CONNECTED, instance_id=instance_id, new_instance=is_new, status=self.greeting)
            yield from filter(progress.is_new, self)
            since = progress.since
            if self._closing.is_set():
                return
            yield _own_frame(LOST, code=self.close_code, reason=self.close_reason)

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is None:
            raise ServerUnavailable("not connected")
        return connection


def _data(reply: Frame) -> Frame:
    data: Frame = reply["data"]
    return data


def _own_frame(kind: str, **data: Any) -> Frame:
    return {"type": kind, "timestamp": ev.rfc3339(time.time()), "data": data}
