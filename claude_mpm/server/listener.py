"""The server: accepts on both loopback families and knows its connections."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from claude_mpm.config import Config
from claude_mpm.errors import Refused
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.server import http as pages
from claude_mpm.server import proof
from claude_mpm.server.bind import require_token
from claude_mpm.server.broadcaster import Broadcaster
from claude_mpm.server.commands import Asker, Client
from claude_mpm.server.connection import Connection, shut_down
from claude_mpm.server.handshake import Request
from claude_mpm.server.http_request import TOO_MANY_HANDSHAKES, HttpRequest
from claude_mpm.server.peer_user import PeerCheck
from claude_mpm.server.process_limits import Capacity, capacity, raise_descriptor_limit
from claude_mpm.server.session_view import ON_DEMAND, SessionView
from claude_mpm.server.subscription import Subscription

ACCEPT_PAUSE = 0.2  # seconds; after accept() failed for want of descriptors or memory
HANDSHAKE_GRACE = 0.25  # seconds; a client that has just connected is not dropped for a newer one
_LOST = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP}  # the listening socket is no more

log = logging.getLogger(__name__)


class Server:
    """Serves the log to whoever may connect. Every method may be called from any thread.

    A connection is in one of three states, each with a bound of its own, and holds a thread only within it: a
    handshake (nothing is known of it yet), a response (HTTP, being sent) or a client (WebSocket).
    """

    def __init__(self, sockets: Sequence[socket.socket], log: Log, config: Config, session: SessionView) -> None:
        """Take over the listening `sockets`, to be closed by close_listeners() or stop().

        Raises:
            UsageError: other machines could connect, and there is no token.
        """
        require_token(sockets, config.token)
        self._log = log
        self._config = config
        self._session = session
        self._sockets = list(sockets)
        self._peers = PeerCheck()
        self._capacity = Capacity(config.limits.clients, config.limits.handshakes, config.limits.responses)
        # Two pipes. Closing the second end makes the first one readable, for every thread that polls it.
        self._closing = self._close_end = -1  # the listeners end
        self._stopping = self._stop_end = -1  # every connection ends
        self._listeners: list[threading.Thread] = []
        self._broadcaster = Broadcaster(log, config.limits.batch_events)
        self._lock = threading.Lock()  # guards all below
        self._handshake_ended = threading.Condition(self._lock)
        self._stopped = False
        self._number = 0
        self._handshakes: dict[str, HttpRequest] = {}  # oldest first
        self._responses: dict[str, HttpRequest] = {}
        self._clients: dict[str, Connection | None] = {}  # None: not running yet
        self._threads: set[threading.Thread] = set()
        self._demand_told: frozenset[str] = frozenset()
        self._demand_telling = False

    def start(self) -> None:
        """Begin to accept. Raises this process's soft limit of open files where the clients allowed need more."""
        self._capacity = capacity(self._config.limits, raise_descriptor_limit(self._config.limits))
        self._closing, self._close_end = os.pipe()
        self._stopping, self._stop_end = os.pipe()
        self._broadcaster.start()
        for sock in self._sockets:
            family = "ipv6" if sock.family == socket.AF_INET6 else "ipv4"
            thread = threading.Thread(target=self._listen, args=(sock,), name=f"listener-{family}")
            self._listeners.append(thread)
            thread.start()

    def close_listeners(self) -> None:
        """Close the listening sockets, so that the port is free; clients stay. Blocks until it is done; idempotent."""
        self._end_listeners()
        for thread in self._listeners:
            thread.join()

    def stop(self) -> None:
        """Accept no more; every client gets what is in the log up to now, then 1001. Does not block; idempotent."""
        self._end_listeners()
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._handshake_ended.notify_all()
            requests = [*self._handshakes.values(), *self._responses.values()]
            stop_end, self._stop_end = self._stop_end, -1
        self._broadcaster.stop()
        if stop_end >= 0:
            os.close(stop_end)
        for request in requests:
            shut_down(request.sock, socket.SHUT_RDWR)  # one may be sending a large page to a slow reader

    def join(self, timeout: float) -> bool:
        """Wait until all threads have ended: under 2 s after stop(). False when time ran out."""
        deadline = time.monotonic() + timeout
        waiting = self._listeners
        while waiting:
            for thread in waiting:
                thread.join(max(deadline - time.monotonic(), 0))
                if thread.is_alive():
                    return False
            with self._lock:
                waiting = list(self._threads)
        if self._stopped and not self._broadcaster.join(max(deadline - time.monotonic(), 0)):
            return False
        with self._lock:
            ended = [end for end in (self._closing, self._stopping) if end >= 0] if self._stopped else []
            if self._stopped:
                self._closing = self._stopping = -1
        for end in ended:
            os.close(end)
        return True

    @property
    def client_count(self) -> int:
        """WebSocket clients connected now."""
        return len(self._clients)

    def status(self) -> dict[str, Any]:
        """The complete data of system.status."""
        return {**self._session.status(), "connected_clients": self.client_count}

    def _end_listeners(self) -> None:
        with self._lock:
            close_end, self._close_end = self._close_end, -1
        if close_end >= 0:
            os.close(close_end)
        elif not self._listeners:  # never started
            for sock in self._sockets:
                sock.close()

    # --- the listener threads ---

    def _listen(self, sock: socket.socket) -> None:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._closing, select.POLLIN)
        short = False  # of descriptors; said once
        try:
            while self._closing not in dict(poll.poll()):
                try:
                    accepted = sock.accept()[0]
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno in _LOST:
                        raise
                    if not short and error.errno != errno.ECONNABORTED:
                        log.warning("no new clients for now: %s", error)
                    short = error.errno != errno.ECONNABORTED
                    if short and self._pause(ACCEPT_PAUSE):
                        return
                    continue
                short = False
                self._receive(accepted)
        except Exception as error:
            log.error("the listener ended: %s", error)
            self._log.append(
                ev.system_error(
                    f"no new clients can connect ({threading.current_thread().name}): {error}",
                    "server",
                    hint="clients that are connected stay; restart claude-mpm to accept new ones",
                )
            )
        finally:
            sock.close()

    def _pause(self, seconds: float) -> bool:
        """Wait. True: the listeners are to end."""
        poll = select.poll()
        poll.register(self._closing, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _receive(self, sock: socket.socket) -> None:
        """Start a thread for the socket, or turn it away."""
        sock.setblocking(True)
        with self._lock:
            self._number += 1
            name = f"client-{self._number}"
        request = HttpRequest(name, sock, self._config, self._peers, self._stopping)
        if not self._begin_handshake(request):
            _turn_away(sock)
            return
        thread = threading.Thread(target=self._serve, args=(request,), name=f"{name}-receiver")
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            log.warning("%s: %s", name, error)
            _turn_away(sock)
            self._end(request, thread)

    def _begin_handshake(self, request: HttpRequest) -> bool:
        """Reserve a place for the request. Where there is none, wait until one is left, or the oldest is dropped.

        Dropping the oldest first makes a slow-loris attacker evict itself. Who has just connected, or has sent
        something that its thread has not read yet, is not dropped: many clients that connect at once are served one
        after the other.
        """
        deadline = request.started + self._config.limits.handshake_time
        with self._lock:
            while len(self._handshakes) >= self._capacity.handshakes and not self._stopped:
                idle = self._oldest_idle_handshake()
                if idle is not None:
                    idle.evict()
                if not self._handshake_ended.wait(HANDSHAKE_GRACE) and time.monotonic() >= deadline:
                    return False
            if not self._stopped:
                self._handshakes[request.name] = request
            return not self._stopped

    def _oldest_idle_handshake(self) -> HttpRequest | None:
        """The oldest handshake that waits for its peer. The lock must be held."""
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

    # --- a connection's own thread ---

    def _serve(self, request: HttpRequest) -> None:
        try:
            try:
                entered = request.run(
                    lambda wanted, trusted: self._page(request, wanted, trusted),
                    lambda: self._begin_response(request),
                    lambda: self._enter(request),
                )
                if entered is not None:
                    self._run_client(request, *entered)
            finally:
                request.sock.close()
                with self._lock:
                    self._clients.pop(request.name, None)
                self._tell_demand()
        except Exception as error:
            log.error("%s: %s: %s", request.name, type(error).__name__, error)
            log.debug("%s", request.name, exc_info=True)
        finally:
            self._end(request, threading.current_thread())

    def _end(self, request: HttpRequest, thread: threading.Thread) -> None:
        with self._lock:
            self._responses.pop(request.name, None)
            self._leave_handshakes(request)
            self._threads.discard(thread)

    def _leave_handshakes(self, request: HttpRequest) -> None:
        """Free the request's place, if it has one. The lock must be held."""
        assert self._lock.locked()
        if self._handshakes.pop(request.name, None) is not None:
            self._handshake_ended.notify_all()

    def _admit(self, request: HttpRequest) -> None:
        """Its handshake is over. Refused where it was given up for a newer one a moment before. Needs the lock."""
        assert self._lock.locked()
        if request.evicted:
            raise Refused(503, TOO_MANY_HANDSHAKES)
        self._leave_handshakes(request)

    def _begin_response(self, request: HttpRequest) -> None:
        with self._lock:
            if len(self._responses) >= self._capacity.responses:
                raise Refused(503, f"{self._capacity.responses} responses are being sent already")
            self._admit(request)
            self._responses[request.name] = request

    def _enter(self, request: HttpRequest) -> None:
        with self._lock:
            if len(self._clients) >= self._capacity.clients:
                raise Refused(503, f"{self._capacity.clients} clients are connected already")
            self._admit(request)
            self._clients[request.name] = None

    def _run_client(self, request: HttpRequest, trusted: bool, rest: bytes) -> None:
        client = Client(request.name, self._log, self._session, self.status, trusted, Subscription(self._log))
        connection = Connection(
            request.sock, client, self._config.limits, self._stopping, self._broadcaster, self._tell_demand
        )
        with self._lock:
            self._clients[request.name] = connection
        connection.run(rest)

    def _page(self, request: HttpRequest, wanted: Request, trusted: bool) -> pages.Page:
        if wanted.path == proof.PATH:
            return pages.proof_page(wanted, self._config.token, request.sock.getsockname()[1])
        return pages.page(wanted, Asker(request.name, self._log, self._session, self.status, trusted))

    def _tell_demand(self) -> None:
        """Tell the session what is subscribed to, if that changed. One thread tells at a time, and ends with the newest."""
        while True:
            with self._lock:
                types = [client.types for client in self._clients.values() if client is not None]
                demand = ON_DEMAND & frozenset().union(*types)
                if self._demand_telling or demand == self._demand_told:
                    return
                self._demand_told, self._demand_telling = demand, True
            try:
                self._session.demand(demand)
            finally:
                with self._lock:
                    self._demand_telling = False


def _turn_away(sock: socket.socket) -> None:
    """Send a 503 if that needs no waiting, and close."""
    page = pages.refusal(Refused(503, "too many connections"))
    try:
        sock.setblocking(False)
        sock.send(page.head() + b"".join(page.body))
    except OSError:
        pass
    sock.close()
