"""The client side: connect to a claude-mpm, ask it, follow its events. Used by `watch`, the tools, and scripts."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from claude_mpm.client.connection import Frame, Link, ServerAway
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import ConnectionFailed, ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.system import json_text

TIMEOUT = 5.0  # seconds for each of: connecting, the greeting, one reply
RETRY_FIRST, RETRY_MOST = 0.25, 5.0  # seconds between attempts to reconnect: doubled each time, capped
CONNECTED, LOST = "client.connected", "client.lost"  # follow()'s own frames


class Client:
    """A connection to the claude-mpm on `port`.

    Requests may come from any thread; one thread at a time reads events. Nothing is connected until connect()
    (or `with`); close() ends everything, from any thread, at once for whoever is reading.

    Args:
        token: None for the one the running instance wrote for its own user, if any.
        timeout: seconds for connecting and for each reply.
    """

    def __init__(
        self, port: int = DEFAULT_PORT, host: str = "localhost", token: str | None = None, *, timeout: float = TIMEOUT
    ) -> None:
        self.port, self.host = port, host
        self.greeting: Frame = {}  # data of the system.status the server sent on connect
        self.instance_id: str | None = None
        self.close_code: int | None = None  # why the last connection ended, as the server said
        self.close_reason: str | None = None
        self._token, self._timeout = token, timeout
        self._numbers = itertools.count(1)
        self._link_lock = threading.Lock()
        self._link: Link | None = None
        self._closing = threading.Event()

    # --- connecting ---

    def connect(self) -> Client:
        """Connect and wait for the greeting. Blocks for at most twice the time limit.

        Raises:
            ConnectionFailed: one sentence: nobody listens, refused and why, or not a claude-mpm.
        """
        self.close()
        self._closing.clear()
        self._open()
        return self

    def _open(self) -> None:
        link = Link(self.host, self.port, self._token or _registered_token(self.host, self.port), self._timeout)
        try:
            greeting = link.inbox.get(self._timeout)
        except EOFError:
            greeting = None
        if greeting is None or greeting["type"] != ev.SYSTEM_STATUS or "instance_id" not in greeting:
            link.end()
            code, reason = link.code_and_reason()
            if code in (1001, 1012, 1013):  # going away, restarting, try again later
                raise ServerAway(f"{self.host}:{self.port} closed at once: {reason or code}")
            raise ConnectionFailed(f"{self.host}:{self.port} is a WebSocket server, but not a claude-mpm")
        with self._link_lock:
            if not self._closing.is_set():
                self.greeting, self.instance_id, self._link = greeting["data"], str(greeting["instance_id"]), link
                return
        link.end()
        raise ConnectionFailed("closed while connecting")

    def close(self) -> None:
        """Say goodbye and free everything; whoever is reading stops at once. Any thread, any number of times."""
        self._closing.set()
        self._drop()

    def _drop(self, only: Link | None = None) -> None:
        """End the connection; with `only`, unless it is another one by now."""
        with self._link_lock:
            link = self._link
            if link is None or only not in (None, link):
                return
            self._link = None
        link.end()
        self.close_code, self.close_reason = link.code_and_reason()

    def __enter__(self) -> Client:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- asking ---

    def request(self, command: str, **params: Any) -> Frame:
        """Send a command and return its reply frame. Parameters that are None are left out.

        Raises:
            ProtocolError: the server's answer was an error; `code` and text are the server's.
            ConnectionFailed: not connected, lost, or no reply in time.
        """
        link = self._linked()
        request_id = f"c{next(self._numbers)}"
        message = {"command": command, "request_id": request_id}
        message |= {name: value for name, value in params.items() if value is not None}
        link.inbox.expect(request_id)
        try:
            link.say(json_text.dumps(message).decode())
            reply = link.inbox.reply(request_id, self._timeout)
        except EOFError:
            raise ServerAway(f"the connection ended before {command} was answered") from None
        finally:
            link.inbox.forget(request_id)
        if reply is None:
            raise ServerAway(f"no answer to {command} in {self._timeout:g} s")
        if reply["type"] == "error":
            raise ProtocolError(str(reply["data"].get("code")), str(reply["data"].get("message")))
        return reply

    def subscribe(self, channels: Sequence[str] = ("*",), since: int | None = None) -> Frame:
        """Ask for events: `channels` are patterns, `since` the seq to resume after (0: all that is kept).

        Returns the reply's data: all `channels` now subscribed and the server's `seq`.
        """
        return _data(self.request("subscribe", channels=list(channels), since=since))

    def unsubscribe(self, channels: Sequence[str]) -> Frame:
        return _data(self.request("unsubscribe", channels=list(channels)))

    def get_status(self) -> Frame:
        """What is so now: the data of `system.status`."""
        return _data(self.request("get_status"))

    def get_history(
        self,
        event_types: Sequence[str] | None = None,
        limit: int | None = None,
        since: int | None = None,
        before: int | None = None,
    ) -> Frame:
        """Kept events with since < seq < before, the newest `limit`, oldest first: `events`, `oldest_seq`, `more`."""
        types = None if event_types is None else list(event_types)
        return _data(self.request("get_history", event_types=types, limit=limit, since=since, before=before))

    def get_instances(self) -> list[Frame]:
        """Every live claude-mpm of the server's user on that machine."""
        return list(_data(self.request("get_instances")).get("instances", []))

    def ping(self) -> float:
        """Seconds there and back."""
        started = time.monotonic()
        self.request("ping")
        return time.monotonic() - started

    # --- listening ---

    def next_event(self, timeout: float | None = None) -> Frame | None:
        """The next frame that answers no request, None when `timeout` seconds passed without one. Blocks.

        Raises:
            EOFError: the connection has ended and everything was read.
            ConnectionFailed: not connected.
        """
        return self._linked().inbox.get(timeout)

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the connection ends, whoever ended it."""
        link = self._link
        while link is not None:
            try:
                frame = link.inbox.get(None)
            except EOFError:
                self._drop(link)
                return
            if frame is not None:
                yield frame

    def follow(
        self, channels: Sequence[str] = ("*",), since: int | None = None, instance_id: str | None = None
    ) -> Iterator[Frame]:
        """Events for ever: reconnects with growing pauses (at most 5 s) and resumes where it was, until close().

        Each connection starts with a frame `client.connected` (data: `instance_id`, `new_instance`, `status`) and ends
        with `client.lost` (data: `code`, `reason`). No event comes twice; what the server no longer has it tells as
        `system.gap`; a new instance is read from its beginning. `since` counts only for `instance_id`, if that is given.

        Raises:
            ConnectionFailed: the first attempt failed, or a later one was refused for good.
            ProtocolError: the server does not take `channels` or `since`.
        """
        if self._link is None:
            self.connect()
        pause = RETRY_FIRST
        while True:
            try:
                if self._link is None:
                    self._open()
                is_new = instance_id not in (None, self.instance_id)
                since, instance_id = 0 if is_new else since, self.instance_id
                seq = int(self.subscribe(channels, since)["seq"])
            except ConnectionFailed as error:
                self._drop()
                if not self._closing.is_set() and not isinstance(error, ServerAway):
                    raise
                if self._closing.wait(pause):
                    return
                pause = min(pause * 2, RETRY_MOST)
                continue
            pause = RETRY_FIRST
            since = seq if since is None else since
            yield _own(CONNECTED, instance_id=instance_id, new_instance=is_new, status=self.greeting)
            for frame in self:
                number = frame.get("seq")
                if isinstance(number, int):
                    if number <= since:
                        continue
                    since = number
                yield frame
            if self._closing.is_set():
                return
            yield _own(LOST, code=self.close_code, reason=self.close_reason)

    def _linked(self) -> Link:
        link = self._link
        if link is None:
            raise ServerAway("not connected")
        return link


def _data(reply: Frame) -> Frame:
    data: Frame = reply["data"]
    return data


def _own(kind: str, **data: Any) -> Frame:
    return {"type": kind, "timestamp": ev.rfc3339(time.time()), "data": data}


def _registered_token(host: str, port: int) -> str | None:
    """The token the instance on `port` wrote for its own user. It goes to nobody but this machine."""
    if host not in ("localhost", "127.0.0.1", "::1"):
        return None
    from claude_mpm.system.instances import token_for  # psutil is behind it: not for who brings a token

    return token_for(port, Config().state_dir)
