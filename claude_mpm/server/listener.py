"""The server: accepts on both loopback families and knows its clients."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import resource
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
from claude_mpm.server.commands import Asker, Client
from claude_mpm.server.connection import Connection, shut_down
from claude_mpm.server.handshake import Request
from claude_mpm.server.http_request import Visitor
from claude_mpm.server.session_view import ON_DEMAND, Backend
from claude_mpm.server.subscription import Subscription

ACCEPT_PAUSE = 0.2  # seconds; after accept() failed for want of descriptors or memory
CROWD_PAUSE = 0.01  # seconds; before accept() while those that were refused have not left yet
RESERVED = 40  # descriptors; for Claude's terminal, for watching and for the modules still to be loaded
HEAPS = 2  # glibc's malloc gives each thread one of its own, up to eight a core
_M_ARENA_MAX = -8  # malloc.h
_LOST = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP}  # the listening socket is no more

log = logging.getLogger(__name__)


class Server:
    """Serves the log to whoever may connect. start(), stop() and join() may be called from any thread."""

    def __init__(self, sockets: Sequence[socket.socket], log: Log, config: Config, backend: Backend) -> None:
        """Takes over listening `sockets` and closes them at the end.

        Raises:
            UsageError: other machines could connect, and there is no token.
        """
        require_token(sockets, config.token)
        self._log = log
        self._config = config
        self._backend = backend
        self._sockets = list(sockets)
        self._max_clients, self._max_visitors = _bounds(config)
        self._stopping = self._stop_end = -1  # a pipe; closing the second end makes the first readable, for all at once
        self._stopped = False
        self._listeners: list[threading.Thread] = []
        self._lock = threading.Lock()  # of all below
        self._number = 0
        self._visitors: dict[str, Visitor] = {}  # oldest first
        self._clients: dict[str, Connection | None] = {}  # None: about to be
        self._threads: set[threading.Thread] = set()
        self._demand_told: frozenset[str] = frozenset()
        self._demand_telling = False

    def start(self) -> None:
        """Begin to accept."""
        _share_heaps()
        self._stopping, self._stop_end = os.pipe()
        for sock in self._sockets:
            family = "ipv6" if sock.family == socket.AF_INET6 else "ipv4"
            thread = threading.Thread(target=self._listen, args=(sock,), name=f"listener-{family}")
            self._listeners.append(thread)
            thread.start()

    def stop(self) -> None:
        """Accept no more; every client gets what is in the log up to now, then 1001. Does not wait; idempotent."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            visitors = list(self._visitors.values())
        if not self._listeners:
            for sock in self._sockets:
                sock.close()
            return
        os.close(self._stop_end)
        for visitor in visitors:
            shut_down(visitor.sock, socket.SHUT_RDWR)  # one may be taking a large page slowly

    def join(self, timeout: float) -> bool:
        """Wait until all clients are gone: under 2 s after stop(). False when time ran out."""
        deadline = time.monotonic() + timeout
        waiting = self._listeners
        while waiting:
            for thread in waiting:
                thread.join(max(deadline - time.monotonic(), 0))
                if thread.is_alive():
                    return False
            with self._lock:
                waiting = list(self._threads)
        if self._stopped and self._stopping >= 0:
            os.close(self._stopping)
            self._stopping = -1
        return True

    @property
    def client_count(self) -> int:
        """WebSocket clients connected now."""
        return len(self._clients)

    def status(self) -> dict[str, Any]:
        """The data of system.status, whole."""
        return {**self._backend.status(), "connected_clients": self.client_count}

    # --- the listener threads ---

    def _listen(self, sock: socket.socket) -> None:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        short = False  # of descriptors; said once
        try:
            while self._stopping not in dict(poll.poll()):
                if self._crowded() and self._pause(CROWD_PAUSE):
                    return
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
        """Wait; True when the server stops."""
        poll = select.poll()
        poll.register(self._stopping, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _receive(self, sock: socket.socket) -> None:
        """Give the socket a thread. When too many have not said what they want, the oldest has to go."""
        sock.setblocking(True)
        crowded_out = None
        with self._lock:
            self._number += 1
            name = f"client-{self._number}"
            visitor = Visitor(name, sock, self._config, self._stopping, self._crowded)
            thread = threading.Thread(target=self._visit, args=(visitor,), name=f"{name}-receiver")
            self._visitors[name] = visitor
            self._threads.add(thread)
            if len(self._visitors) > self._max_visitors:
                crowded_out = self._visitors.pop(next(iter(self._visitors)))
        if crowded_out is not None:
            crowded_out.crowd_out()
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("%s: %s", name, error)
            sock.close()
            with self._lock:
                self._visitors.pop(name, None)
                self._threads.discard(thread)

    # --- a client's receiver thread ---

    def _crowded(self) -> bool:
        """Whether there are more connections than are allowed for: those that were refused have to go at once."""
        return len(self._threads) > self._max_clients + self._max_visitors

    def _visit(self, visitor: Visitor) -> None:
        try:
            try:
                entered = visitor.run(
                    lambda request, trusted: self._page(visitor, request, trusted), lambda: self._enter(visitor)
                )
                if entered is not None:
                    self._serve(visitor, *entered)
            finally:
                self._leave(visitor)
        except Exception as error:
            log.error("%s: %s: %s", visitor.name, type(error).__name__, error)
            log.debug("%s", visitor.name, exc_info=True)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _leave(self, visitor: Visitor) -> None:
        visitor.sock.close()
        with self._lock:
            self._visitors.pop(visitor.name, None)
            self._clients.pop(visitor.name, None)
        self._tell_demand()

    def _enter(self, visitor: Visitor) -> None:
        """From a visitor to a client."""
        with self._lock:
            if self._visitors.pop(visitor.name, None) is None:
                raise Refused(503, "too many connections wait to say what they want")
            if len(self._clients) >= self._max_clients:
                raise Refused(503, f"{self._max_clients} clients are connected already")
            self._clients[visitor.name] = None

    def _serve(self, visitor: Visitor, trusted: bool, rest: bytes) -> None:
        client = Client(visitor.name, self._log, self._backend, self.status, trusted, Subscription(self._log))
        connection = Connection(visitor.sock, client, self._config.limits, self._stopping, self._tell_demand)
        with self._lock:
            self._clients[visitor.name] = connection
        connection.run(rest)

    def _page(self, visitor: Visitor, request: Request, trusted: bool) -> pages.Page:
        if request.path == proof.PATH:
            return pages.proof_page(request, self._config.token, visitor.sock.getsockname()[1])
        return pages.page(request, Asker(visitor.name, self._log, self._backend, self.status, trusted))

    def _tell_demand(self) -> None:
        """Tell the session what is asked for, if that changed. One thread tells at a time, and ends with the newest."""
        while True:
            with self._lock:
                types = [client.types for client in self._clients.values() if client is not None]
                demand = ON_DEMAND & frozenset().union(*types)
                if self._demand_telling or demand == self._demand_told:
                    return
                self._demand_told, self._demand_telling = demand, True
            try:
                self._backend.demand(demand)
            finally:
                with self._lock:
                    self._demand_telling = False


def _bounds(config: Config) -> tuple[int, int]:
    """How many clients and how many visitors; fewer than configured where there are few descriptors."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    clients, visitors = config.limits.clients, config.limits.handshakes
    if limit == resource.RLIM_INFINITY:
        return clients, visitors
    room = max(limit - RESERVED, 0) // 2  # each may have a file open besides: a page, or /proc for the status
    return min(clients, max(room * 3 // 4, 1)), min(visitors, max(room // 4, 1))


def _share_heaps() -> None:
    """Threads of clients that come and go leave their heaps half empty.

    Measured with 20 of them coming and going, 200 events/s: 3 to 5 MiB more every 10 minutes; with two heaps, none.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)
