"""An accepted connection until its request has been answered, or has made it a WebSocket."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from claude_mpm.config import Config
from claude_mpm.errors import Refused
from claude_mpm.server.http import pages
from claude_mpm.server.http.handshake import Head, Request, accept, admit
from claude_mpm.server.http.peer_user import PeerCheck
from claude_mpm.system.sockets import set_send_time, shut_down

DISCARD_BYTES = (
    64 * 1024
)  # discarded after an answer; closing with data unread would reset the connection, and the answer with it
TOO_MANY_HANDSHAKES = "too many connections are waiting to send a request"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rights:
    """What a client may do.

    Attributes:
        trusted: it presented the valid token.
        may_read_past: it presented the token, or is known to be a process of our user or of root.
        attends: if it is trusted, somebody is there who may answer Claude. Not with `attending=0` in the address.
    """

    trusted: bool
    may_read_past: bool
    attends: bool = True


class HttpRequest:
    """One accepted connection. run() belongs to the thread made for it; evict() may be called from any thread.

    Args:
        name: identifies the connection in the log.
        sock: blocking; the caller closes it.
        config: the rules that the request must meet.
        peers: checks who the peer is when there is no token to present.
        stopping: a descriptor that becomes readable when the server stops.
    """

    def __init__(self, name: str, sock: socket.socket, config: Config, peers: PeerCheck, stopping: int) -> None:
        self.name = name
        self.sock = sock
        self._config = config
        self._peers = peers
        self._stopping = stopping
        self.evicted = False
        self.judging = False  # the request has been read, and is being decided on
        self._silent = True  # nothing has been received yet
        self.started = time.monotonic()
        self._deadline = self.started + config.limits.handshake_time

    def run(
        self,
        page: Callable[[Request, Rights], pages.Page],
        begin_response: Callable[[], None],
        begin_client: Callable[[], None],
    ) -> tuple[Rights, bytes] | None:
        """Read the request and answer it. Blocks for `handshake_time` at most, then while the peer takes the response.

        Args:
            page: makes the response to a plain request; its second argument says what the client may do.
            begin_response: called before a page is made; raises Refused when too many are being sent.
            begin_client: called before a WebSocket is accepted; raises Refused when there are too many.

        Returns:
            For a WebSocket, what its client may do, and what it sent behind the request. None when the request has
            been answered and the socket is to be closed.
        """
        try:
            try:
                head = Head(self._config.limits)
                request = self._read(head)
                if request is None:
                    return None
                rights = self._admit(request)
                if request.websocket:
                    upgrade = accept(request)
                    begin_client()
                    self.sock.sendall(upgrade)
                    return rights, head.rest
                begin_response()
                self._answer(page(request, rights), body=request.method == "GET")
            except Refused as refused:
                self.judging = False
                if not self._silent:  # browsers open connections in advance and never use them
                    log.info("%s: refused, %d: %s", self.name, refused.status, refused)
                self._answer(pages.refusal(refused), body=True)
        except OSError as error:
            log.info("%s: %s", self.name, error)
        return None

    def evict(self) -> None:
        """Give this connection up in favour of a newer one; its thread sends 503 and does not wait. Does not block."""
        self.evicted = True
        shut_down(self.sock, socket.SHUT_RD)

    def _admit(self, request: Request) -> Rights:
        public = pages.is_public(request.path) and not request.websocket
        has_token = admit(request, self._config, public=public)
        if self._config.token is None and not public:
            # last, since it can be slow where it has to read a table
            return Rights(False, self._peers.check(self.sock, self.started))
        return Rights(has_token, has_token, request.query.get("attending") != "0")

    def _read(self, head: Head) -> Request | None:
        """Read to the end of the head. Returns None when the peer has gone or the server stops."""
        while True:
            data = self._receive(self._deadline)
            if self.evicted:
                raise Refused(503, TOO_MANY_HANDSHAKES)
            if data is None:
                raise Refused(408, "the request took too long")
            if not data:
                return None
            self._silent = False
            request = head.feed(data)
            if request is not None:
                self.judging = True
                return request

    def _receive(self, deadline: float) -> bytes | None:
        """Return the next bytes, b"" at the end of the stream or when the server stops, and None at the deadline."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        ready = dict(poll.poll(max(deadline - time.monotonic(), 0) * 1000))
        if self._stopping in ready:
            return b""
        return self.sock.recv(4096) if ready else None

    def _answer(self, page: pages.Page, body: bool) -> None:
        """Send the page and the end of the stream; then wait for the peer's, so that no reset overtakes the response."""
        set_send_time(self.sock, self._config.limits.handshake_time)
        self.sock.sendall(page.head())
        if body:
            for part in page.body:
                self.sock.sendall(part)
        shut_down(self.sock, socket.SHUT_WR)
        deadline, left = time.monotonic() + self._config.limits.close_time, DISCARD_BYTES
        while left > 0 and not self.evicted and (data := self._receive(deadline)):
            left -= len(data)
