"""One connection to a Redis. Redis-py's connections are used without its clients and pools.

Those retry by themselves, and then nobody knows what was sent twice. Here a request is sent once; whoever asked knows what
to do when the answer does not come. RESP2 is asked for, because the forms of its replies are the same in all versions of
redis-py that we allow.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, cast

from claude_mpm.errors import RedisUnavailable, UsageError
from claude_mpm.fleet.redis.entries import Command
from claude_mpm.fleet.redis.stop import Stop
from claude_mpm.fleet.redis.url import RedisUrl
from claude_mpm.system.backoff import Backoff

RETRY_FIRST, RETRY_MOST = 0.5, 15.0  # seconds between attempts to connect: doubled each time, up to the second
CONNECT_TIME = 3.0  # seconds; also for each further step of a handshake
SOCKET_TIME = 2.0  # seconds for Redis to take what we send, and to go on with an answer that it has begun
REPLY_TIME = 5.0  # seconds for an answer to begin
LOOK = 0.2  # seconds between two looks at whether we are to stop
INSTALL = (
    "Redis needs the redis library: pip install 'claude-mpm[fleet]', "
    f"or from a checkout {sys.executable} -m pip install 'redis[hiredis]'"
)


def retries() -> Backoff:
    """The pauses between attempts to reach Redis."""
    return Backoff(RETRY_FIRST, RETRY_MOST)


def require_redis() -> None:
    """Check for redis-py.

    Raises:
        UsageError: it is not installed; the text has the command that installs it.
    """
    if find_spec("redis") is None:
        raise UsageError(INSTALL)


class Connection:
    """A connection that is opened again after each failure. Belongs to one thread.

    Args:
        stop: ends waiting: at once for what comes when it comes, after its time for last words for an answer.
    """

    def __init__(self, url: RedisUrl, stop: Stop) -> None:
        self._url = url
        self._stop = stop
        self._connection: Any = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def open(self) -> None:
        """Connect and authenticate. Blocks for a few times CONNECT_TIME at most, and for a look-up of the name.

        Raises:
            RedisUnavailable: that failed; the text says why.
        """
        self.close()
        connection = _new(self._url)
        try:
            connection.connect()
        except Exception as error:
            connection.disconnect()
            raise self._trouble(error) from None
        self._connection = connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def call(self, *command: str | bytes | int) -> Any:
        """The answer to one command. Blocks and raises as run()."""
        return self.run([command])[0]

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go and return their answers, in order. Blocks for REPLY_TIME at most, as a rule less.

        Raises:
            RedisUnavailable: the connection was lost, or Redis refused one of them. It is closed then, and what
                Redis did of it is not known.
        """
        try:
            self._send(commands)
            limit = time.monotonic() + REPLY_TIME
            return [self._answer(limit) for _ in commands]
        except Exception as error:
            self.close()
            raise self._trouble(error) from None

    def attempt(self, *command: str | bytes | int) -> Any:
        """As call(), but None where Redis refuses: for what is good to know and may be forbidden to us."""
        from redis.exceptions import ResponseError

        try:
            self._send([command])
            return self._answer(time.monotonic() + REPLY_TIME)
        except ResponseError:
            return None
        except Exception as error:
            self.close()
            raise self._trouble(error) from None

    def wait(self, *command: str | bytes | int, seconds: float) -> Any:
        """The answer to a command that Redis holds back for up to `seconds`. None when it has nothing, or we are to stop.

        Raises:
            RedisUnavailable: as run(), or there was no answer long after `seconds`.
        """
        try:
            self._send([command])
            limit = time.monotonic() + seconds + REPLY_TIME
            while not self._connected().can_read(LOOK):
                if self._stop.is_set():
                    self.close()  # the answer would be taken for that to the next command
                    return None
                if time.monotonic() > limit:
                    raise TimeoutError
            return self._connected().read_response()
        except Exception as error:
            self.close()
            raise self._trouble(error) from None

    def _send(self, commands: Sequence[Command]) -> None:
        connection = self._connected()
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    def _answer(self, limit: float) -> Any:
        connection = self._connected()
        while not connection.can_read(LOOK):
            if time.monotonic() > limit or self._stop.is_overdue():
                raise TimeoutError
        return connection.read_response()

    def _connected(self) -> Any:
        if self._connection is None:
            raise RedisUnavailable(f"{self._url.shown}: not connected", None)
        return self._connection

    def _trouble(self, error: Exception) -> RedisUnavailable:
        from claude_mpm.fleet.redis.troubles import trouble

        return trouble(error, self._url)


def _new(url: RedisUrl) -> Any:
    """A connection of redis-py that has not been opened yet."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "db": url.db,
        "username": url.user,
        "password": url.password,
        "socket_timeout": SOCKET_TIME,
        "socket_connect_timeout": CONNECT_TIME,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    plain, secure = cast(Any, redis.Connection), redis.SSLConnection  # the one is not annotated
    if not url.tls:
        return plain(**options)
    return secure(ssl_cert_reqs="required", ssl_check_hostname=True, ssl_ca_certs=url.ca_certs, **options)


def last_ids(connection: Connection, streams: Sequence[str]) -> list[str | None]:
    """For each stream, the id of the newest entry it has ever had; None where there is no stream. Raises as run()."""
    exist = connection.run([("EXISTS", stream) for stream in streams])
    there = [stream for stream, exists in zip(streams, exist, strict=True) if exists]
    found = dict(zip(there, connection.run([("XINFO", "STREAM", stream) for stream in there]), strict=True))
    return [_last_generated(found[stream]) if stream in found else None for stream in streams]


def _last_generated(flat: Sequence[Any]) -> str:
    told = dict(zip(flat[::2], flat[1::2], strict=False))
    return bytes(told[b"last-generated-id"]).decode()


def followable(connection: Connection, cursors: dict[str, str]) -> None:
    """Set back each cursor {stream: id} that waits for ids which will not come. Raises as run().

    A Redis that lost its data, or another one in its place, may number from an earlier time on. What is read twice
    so is known by its `seq`.
    """
    for stream, newest in zip(cursors, last_ids(connection, list(cursors)), strict=True):
        if newest is None or id_order(newest) < id_order(cursors[stream]):
            cursors[stream] = "0-0"


def seconds_of(answer: Sequence[Any]) -> float:
    """The answer to TIME, in seconds since the epoch."""
    return int(answer[0]) + int(answer[1]) / 1e6


def id_order(entry_id: str) -> tuple[int, int]:
    """An entry's id as numbers that compare as Redis does."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
