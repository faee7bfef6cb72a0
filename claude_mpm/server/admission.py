"""Which connections the server holds, and how many of each kind."""

from __future__ import annotations

import select
import threading
import time

from claude_mpm.config import Limits
from claude_mpm.errors import Refused
from claude_mpm.feed.selection import Selection
from claude_mpm.server.http.request import TOO_MANY_HANDSHAKES, HttpRequest
from claude_mpm.server.process_limits import Capacity
from claude_mpm.server.websocket.connection import Connection

HANDSHAKE_GRACE = 0.25  # seconds; a client that has just connected is not dropped in favour of a newer one


class Admission:
    """The connections, in three states with a bound of their own each. Any thread may call any method.

    A connection is a handshake (nothing is known of it yet), then a response (HTTP, being sent) or a client
    (WebSocket). It must have been admitted to one of them before it gets a thread.
    """

    def __init__(self, limits: Limits) -> None:
        self.capacity = Capacity(limits.clients, limits.handshakes, limits.responses)
        self._handshake_time = limits.handshake_time
        self._lock = threading.Lock()  # guards all below
        self._handshake_ended = threading.Condition(self._lock)
        self._stopped = False
        self._handshakes: dict[str, HttpRequest] = {}  # oldest first
        self._responses: dict[str, HttpRequest] = {}
        self._clients: dict[str, Connection | None] = {}  # None: admitted, but not running yet

    def stop(self) -> list[HttpRequest]:
        """Admit no more handshakes, and return the connections that are not WebSockets."""
        with self._lock:
            self._stopped = True
            self._handshake_ended.notify_all()
            return [*self._handshakes.values(), *self._responses.values()]

    def begin_handshake(self, request: HttpRequest) -> bool:
        """Admit a connection. Returns False when it is to be turned away.

        When there are too many, blocks until one has ended; the oldest that waits for its peer is dropped, so that an
        attacker who opens connections and says nothing evicts only himself. A connection that is younger than
        HANDSHAKE_GRACE, or has sent something its thread has not read yet, is not dropped: many clients that connect at
        once are served one after the other.
        """
        deadline = request.started + self._handshake_time
        with self._lock:
            while len(self._handshakes) >= self.capacity.handshakes and not self._stopped:
                idle = self._oldest_idle_handshake()
                if idle is not None:
                    idle.evict()
                if not self._handshake_ended.wait(HANDSHAKE_GRACE) and time.monotonic() >= deadline:
                    return False
            if not self._stopped:
                self._handshakes[request.name] = request
            return not self._stopped

    def begin_response(self, request: HttpRequest) -> None:
        """Turn a handshake into a response. Raises Refused when too many are being sent, or it has been evicted."""
        with self._lock:
            if len(self._responses) >= self.capacity.responses:
                raise Refused(503, f"{self.capacity.responses} responses are being sent already")
            self._finish_handshake(request)
            self._responses[request.name] = request

    def begin_client(self, request: HttpRequest) -> None:
        """Turn a handshake into a client. Raises Refused when too many are connected, or it has been evicted."""
        with self._lock:
            if len(self._clients) >= self.capacity.clients:
                raise Refused(503, f"{self.capacity.clients} clients are connected already")
            self._finish_handshake(request)
            self._clients[request.name] = None

    def run_client(self, name: str, connection: Connection) -> None:
        """The admitted client `name` is served by `connection`."""
        with self._lock:
            self._clients[name] = connection

    def end_client(self, name: str) -> None:
        """The client has gone; does nothing for any other connection."""
        with self._lock:
            self._clients.pop(name, None)

    def end(self, request: HttpRequest) -> None:
        """The connection's thread ends."""
        with self._lock:
            self._responses.pop(request.name, None)
            self._leave_handshakes(request)

    @property
    def client_count(self) -> int:
        """WebSocket clients connected now."""
        return len(self._clients)

    def subscribed(self) -> list[Selection]:
        """The events each client subscribes to. Takes no lock: list() copies a dict's values in one step."""
        return [client.selection for client in list(self._clients.values()) if client is not None]

    def is_attended(self) -> bool:
        """Whether a client runs that gave the token, and attends. Takes no lock."""
        return any(client is not None and client.attends for client in list(self._clients.values()))

    def _oldest_idle_handshake(self) -> HttpRequest | None:
        """The oldest handshake that waits for its peer."""
        assert self._lock.locked()
        poll, now = select.poll(), time.monotonic()
        idle: dict[int, HttpRequest] = {}
        for request in self._handshakes.values():
            descriptor = request.sock.fileno()
            if descriptor >= 0 and not request.judging and now - request.started >= HANDSHAKE_GRACE:
                idle[descriptor] = request
                poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(0) if idle else ():
            del idle[descriptor]
        return next(iter(idle.values()), None)

    def _finish_handshake(self, request: HttpRequest) -> None:
        """Raises Refused when the request was evicted a moment ago."""
        assert self._lock.locked()
        if request.evicted:
            raise Refused(503, TOO_MANY_HANDSHAKES)
        self._leave_handshakes(request)

    def _leave_handshakes(self, request: HttpRequest) -> None:
        assert self._lock.locked()
        if self._handshakes.pop(request.name, None) is not None:
            self._handshake_ended.notify_all()
