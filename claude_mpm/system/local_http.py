"""GET requests to many servers of this machine at the same time, in one thread and within one deadline.

For programs that are started every few seconds, such as a status line: an HTTP library takes longer to load than all the
answers take to come.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from claude_mpm.system.sockets import reached_at

READ_BYTES = 64 * 1024  # at a time


class Get(NamedTuple):
    """What is asked of whom.

    Attributes:
        host: an address, or `localhost`. Other names are not looked up, since that can block: they fail.
        token: sent as the bearer token; None for none.
    """

    host: str
    port: int
    path: str
    token: str | None = None


def get_all(gets: Sequence[Get], seconds: float, max_bytes: int) -> list[bytes | None]:
    """The bodies of the answers, in order. Blocks until all have come, `seconds` at most.

    None stands for whoever cannot be reached, does not answer in time, answers with another status than 200, or with
    more than `max_bytes`.
    """
    deadline = time.monotonic() + seconds
    exchanges = [_Exchange(get, max_bytes) for get in gets]
    poll, waiting = select.poll(), {}
    for exchange in exchanges:
        if exchange.start():
            waiting[exchange.fileno()] = exchange
            poll.register(exchange.fileno(), select.POLLOUT)
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                wanted = waiting[fd].go_on()
                if wanted:
                    poll.modify(fd, wanted)
                else:
                    poll.unregister(fd)
                    del waiting[fd]
    finally:
        for exchange in exchanges:
            exchange.close()
    return [exchange.body for exchange in exchanges]


class _Exchange:
    """One request and its answer. Never blocks.

    Attributes:
        body: of the complete answer; None before that, and when it failed.
    """

    def __init__(self, get: Get, max_bytes: int) -> None:
        self.body: bytes | None = None
        self._address = ("127.0.0.1" if get.host == "localhost" else reached_at(get.host), get.port)
        authorization = "" if get.token is None else f"Authorization: Bearer {get.token}\r\n"
        request = f"GET {get.path} HTTP/1.1\r\nHost: localhost:{get.port}\r\n{authorization}\r\n"
        self._unsent = request.encode("ascii", "replace")
        self._received = bytearray()
        self._max_bytes = max_bytes
        self._sock: socket.socket | None = None

    def start(self) -> bool:
        """Begin to connect. Returns False when that failed at once."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        try:
            socket.inet_pton(family, self._address[0])
            self._sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._sock.connect(self._address)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return False
        return True

    def fileno(self) -> int:
        assert self._sock is not None
        return self._sock.fileno()

    def go_on(self) -> int:
        """Send or receive what is possible now. Returns what to poll for next; 0 at the end."""
        assert self._sock is not None
        try:
            if self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
                return select.POLLOUT if self._unsent else select.POLLIN
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return select.POLLOUT if self._unsent else select.POLLIN
        except OSError:
            return 0
        self._received += data
        if data and len(self._received) <= self._max_bytes:
            return select.POLLIN
        if not data:
            self.body = _body(bytes(self._received))
        return 0

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _body(answer: bytes) -> bytes | None:
    """Our servers end each answer with the connection, so the body is all that follows the head."""
    head, end, body = answer.partition(b"\r\n\r\n")
    return body if end and head.split(b" ", 2)[:2] == [b"HTTP/1.1", b"200"] else None
