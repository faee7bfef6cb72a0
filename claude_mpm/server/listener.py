"""The server: accepts connections on both loopback families, and gives each a thread."""

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
from claude_mpm.feed.selection import Selection
from claude_mpm.server.accept_pace import AcceptPace
from claude_mpm.server.admission import Admission
from claude_mpm.server.bind import require_token
from claude_mpm.server.commands.replies import Asker, Attendance, Client
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.commands.subscription import Subscription
from claude_mpm.server.http import pages, proof
from claude_mpm.server.http.handshake import Request
from claude_mpm.server.http.peer_user import PeerCheck
from claude_mpm.server.http.request import HttpRequest, Rights
from claude_mpm.server.process_limits import capacity, raise_descriptor_limit
from claude_mpm.server.websocket.broadcaster import Broadcaster
from claude_mpm.server.websocket.connection import Connection
from claude_mpm.server.websocket.demand import Demand
from claude_mpm.server.websocket.greeting import Greeting
from claude_mpm.system.sockets import shut_down

ACCEPT_PAUSE = 0.2  # seconds; after accept() has failed for want of descriptors or memory
_LOST = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP}  # the listening socket cannot be used any more

log = logging.getLogger(__name__)


class Server:
    """Serves the log to whoever may connect. Any thread may call any method."""

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
        self._pace = AcceptPace()
        self._admission = Admission(config.limits)
        admission = self._admission
        self._demand = Demand(session.on_demand, admission.subscribed, admission.is_attended, self._tell_session)
        self._greeting = Greeting(lambda: self.client_count)
        self._broadcaster = Broadcaster(log, config.limits.batch_events)
        # Two pipes. Closing the second end makes the first one readable, for every thread that polls it.
        self._closing = self._close_end = -1  # the listeners end
        self._stopping = self._stop_end = -1  # every connection ends
        self._listeners: list[threading.Thread] = []
        self._lock = threading.Lock()  # guards all below, and the four descriptors above
        self._stopped = False
        self._number = 0  # of the newest connection
        self._threads: set[threading.Thread] = set()  # of the connections

    def start(self) -> None:
        """Begin to accept. Raises the process's soft limit on open files if the configured clients need more."""
        limits = self._config.limits
        self._admission.capacity = capacity(limits, raise_descriptor_limit(limits))
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
        """Accept no more; send every client what is in the log now, then close with 1001. Does not block; idempotent."""
        self._end_listeners()
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            stop_end, self._stop_end = self._stop_end, -1
        requests = self._admission.stop()
        self._broadcaster.stop()
        if stop_end >= 0:
            os.close(stop_end)
        for request in requests:
            shut_down(request.sock, socket.SHUT_RDWR)  # it may be sending a large page to a slow reader

    def join(self, timeout: float) -> bool:
        """Wait until all threads have ended, which takes less than 2 s after stop(). Returns False on timeout."""
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
        return self._admission.client_count

    def is_attended(self) -> bool:
        """Whether a client is connected that may answer Claude, and attends."""
        return self._admission.is_attended()

    def status(self) -> dict[str, Any]:
        """The complete data of system.status."""
        return {**self._session.status(), "connected_clients": self.client_count}

    def _tell_session(self, wanted: Selection, attended: bool) -> None:
        self._session.demand(wanted)
        self._session.attended(attended)

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
        is_short = False  # of descriptors or memory; logged once
        try:
            while self._closing not in dict(poll.poll()):
                if self._closes_within(self._pace.next()):
                    return
                try:
                    accepted = sock.accept()[0]
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno in _LOST:
                        raise
                    if not is_short and error.errno != errno.ECONNABORTED:
                        log.warning("no new clients for now: %s", error)
                    is_short = error.errno != errno.ECONNABORTED
                    if is_short and self._closes_within(ACCEPT_PAUSE):
                        return
                    continue
                is_short = False
                self._start_connection(accepted)
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

    def _closes_within(self, seconds: float) -> bool:
        """Wait. Returns True as soon as the listeners are to end."""
        if seconds <= 0:
            return False
        poll = select.poll()
        poll.register(self._closing, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _start_connection(self, sock: socket.socket) -> None:
        """Start a thread for the socket, or turn it away."""
        sock.setblocking(True)
        with self._lock:
            self._number += 1
            name = f"client-{self._number}"
        request = HttpRequest(name, sock, self._config, self._peers, self._stopping)
        if not self._admission.begin_handshake(request):
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

    # --- a connection's own thread ---

    def _serve(self, request: HttpRequest) -> None:
        try:
            try:
                upgraded = request.run(
                    lambda wanted, rights: self._page(request, wanted, rights),
                    lambda: self._admission.begin_response(request),
                    lambda: self._admission.begin_client(request),
                )
                if upgraded is not None:
                    self._run_client(request, *upgraded)
            finally:
                request.sock.close()
                self._admission.end_client(request.name)
                self._demand.update()
        except Exception as error:
            log.error("%s: %s: %s", request.name, type(error).__name__, error)
            log.debug("%s", request.name, exc_info=True)
        finally:
            self._end(request, threading.current_thread())

    def _end(self, request: HttpRequest, thread: threading.Thread) -> None:
        self._admission.end(request)
        with self._lock:
            self._threads.discard(thread)

    def _run_client(self, request: HttpRequest, rights: Rights, rest: bytes) -> None:
        client = Client(
            request.name,
            self._log,
            self._session,
            self.status,
            rights.trusted,
            Subscription(self._log),
            may_read_past=rights.may_read_past,
            attendance=Attendance(rights.attends),
        )
        connection = Connection(
            request.sock,
            client,
            self._config.limits,
            self._stopping,
            self._greeting,
            self._broadcaster,
            self._demand.update,
        )
        self._admission.run_client(request.name, connection)
        connection.run(rest)

    def _page(self, request: HttpRequest, wanted: Request, rights: Rights) -> pages.Page:
        if wanted.path == proof.PATH:
            return pages.proof_page(wanted, self._config.token, request.sock.getsockname()[1])
        asker = Asker(
            request.name,
            self._log,
            self._session,
            self.status,
            rights.trusted,
            may_read_past=rights.may_read_past,
        )
        return pages.page(wanted, asker)


def _turn_away(sock: socket.socket) -> None:
    """Send a 503 if that does not block, and close."""
    page = pages.refusal(Refused(503, "too many connections"))
    try:
        sock.setblocking(False)
        sock.send(page.head() + b"".join(page.body))
    except OSError:
        pass
    sock.close()
