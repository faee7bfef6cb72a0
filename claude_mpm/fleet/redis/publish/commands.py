"""Executes the commands that hubs write for one instance, and writes the replies.

A command is given to the instance's own server by a client of its own, so everything that holds for clients holds for
hubs. What acts on Claude or reads other sessions must be signed (signature.py); the rest is what every reader of this
Redis sees anyway.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from claude_mpm.client import Client
from claude_mpm.errors import ConnectionFailed, ProtocolError, RedisUnavailable
from claude_mpm.fleet.commands import OF_THE_CONNECTION, READING
from claude_mpm.fleet.frames import frame
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.connection import Connection, followable, retries
from claude_mpm.fleet.redis.entries import Fields, fields_of
from claude_mpm.fleet.redis.signature import Verifier
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.url import RedisUrl
from claude_mpm.system import json_text

BLOCK = 5.0  # seconds that Redis holds back the answer while there is no command
COUNT = 16  # commands taken at once
MAX_COMMAND = 64 * 1024  # bytes, as for every client
MAX_NAME = 128  # characters of the id of a hub or a request
KEEP_TIME = 15.0  # seconds after a signed command; a hub that is attended sends one every 5
NOT_ROUTED = OF_THE_CONNECTION - {"attend"}  # a hub has its own; its wishes go by want:ID
_RESERVED = frozenset({"command", "request_id", "self"})

log = logging.getLogger(__name__)


class CommandReader:
    """Thread `publisher-commands`: reads commands until it is stopped.

    Args:
        where: host and port of the instance's own server, and its token.
        news: called when a hub says that it wants something else.
    """

    def __init__(
        self, url: RedisUrl, instance_id: str, where: tuple[str, int, str | None], news: Callable[[], None]
    ) -> None:
        self._instance_id = instance_id
        self._where = where
        self._news = news
        self._stop = Stop()
        self._connection = Connection(url, self._stop)
        self._verifier = Verifier(where[2])
        self._stream = keys.commands(instance_id)
        self._cursor = {self._stream: "0-0"}
        self._client: Client | None = None
        self._client_until = 0.0  # time.monotonic()
        # A daemon, as the publisher and for its reason.
        self._thread = threading.Thread(target=self._run, name="publisher-commands", daemon=True)

    # --- any thread ---

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. Does not block; may be repeated."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds for the thread to end. Returns whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- the thread ---

    def _run(self) -> None:
        backoff = retries()
        try:
            while not self._stop.is_set():
                try:
                    self._read()
                    backoff.reset()
                except RedisUnavailable as error:  # the publisher tells the user
                    log.debug("no commands: %s", error)
                    self._stop.wait(backoff.next())
        except Exception:
            log.exception("commands of hubs are no longer executed")
        finally:
            self._connection.close()
            self._drop_client()

    def _read(self) -> None:
        if not self._connection.is_open:
            self._connection.open()
            followable(self._connection, self._cursor)
        found = self._connection.wait(
            "XREAD",
            "COUNT",
            COUNT,
            "BLOCK",
            int(BLOCK * 1000),
            "STREAMS",
            self._stream,
            self._cursor[self._stream],
            seconds=BLOCK,
        )
        for entry_id, flat in found[0][1] if found else ():
            self._cursor[self._stream] = bytes(entry_id).decode()
            self._take(fields_of(flat))
        if self._client is not None and time.monotonic() > self._client_until:
            self._drop_client()

    def _take(self, fields: Fields) -> None:
        """Execute one entry."""
        if b"w" in fields:
            self._news()
            return
        hub_id, request_id, at, signature = (
            fields.get(name, b"").decode("utf-8", "replace") for name in (b"h", b"r", b"t", b"s")
        )
        command = fields.get(b"c", b"")
        if not (0 < len(hub_id) <= MAX_NAME and 0 < len(request_id) <= MAX_NAME and len(command) <= MAX_COMMAND):
            log.warning("passed over a command that no hub wrote")
            return
        name = None
        try:
            message = _decoded(command)
            name = message["command"]
            self._permit(message, hub_id, request_id, at, command, signature)
            frame = self._execute(message, bool(signature))
        except ProtocolError as error:
            frame = _error(error.code, str(error), name)
        except ConnectionFailed as error:
            frame = _error("unavailable", str(error), name)
        self._reply(hub_id, {**frame, "request_id": request_id})

    def _permit(
        self, message: Mapping[str, Any], hub_id: str, request_id: str, at: str, command: bytes, signature: str
    ) -> None:
        if message.get("instance_id") != self._instance_id:
            raise ProtocolError("wrong_instance", f"this is instance {self._instance_id}")
        if message["command"] in NOT_ROUTED:
            raise ProtocolError("unknown_command", f"{message['command']} is not for an instance behind a hub")
        if signature or message["command"] not in READING:
            self._verifier.check(hub_id, request_id, at, command, signature)

    def _execute(self, message: Mapping[str, Any], is_signed: bool) -> dict[str, Any]:
        """The reply of our own server.

        While somebody attends a hub, signed `attend` commands come every few seconds, and questions wait for him. The
        connection, and with it his presence, ends soon after the last of them.
        """
        params = {name: value for name, value in message.items() if name not in _RESERVED}
        try:
            if self._client is None:
                host, port, token = self._where
                self._client = Client(port, host, token, attending=False).connect()
            return self._client.request(message["command"], **params)
        except ConnectionFailed:
            self._drop_client()
            raise
        finally:
            if is_signed:
                self._client_until = time.monotonic() + KEEP_TIME
            elif time.monotonic() > self._client_until:
                self._drop_client()

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _reply(self, hub_id: str, frame: Mapping[str, Any]) -> None:
        stream = keys.replies(hub_id)
        add = ("XADD", stream, "MAXLEN", keys.REPLIES, "*", "i", self._instance_id, "e", json_text.dumps(frame))
        self._connection.run([add, ("EXPIRE", stream, keys.SHORT_TIME)])


def _decoded(command: bytes) -> dict[str, Any]:
    try:
        message = json_text.loads(command)
    except ValueError as error:
        raise ProtocolError("invalid_json", f"not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("command"), str):
        raise ProtocolError("invalid_command", "a command is an object with the key command")
    return message


def _error(code: str, sentence: str, command: str | None) -> dict[str, Any]:
    data = {"code": code, "message": sentence, "command": command and command[:64]}
    return frame("error", data)
