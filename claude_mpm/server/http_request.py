"""An accepted connection until its request is answered: by a page, by a refusal, or by becoming a WebSocket."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable

from claude_mpm.config import Config
from claude_mpm.errors import Refused
from claude_mpm.server import http as pages
from claude_mpm.server.handshake import Head, Request, accept, admit
from claude_mpm.server.peer_user import PeerCheck
from claude_mpm.server.sockets import set_send_time, shut_down

DISCARD_BYTES = 64 * 1024  # read and discarded after an answer; closing with unread data would reset it away
TOO_MANY_HANDSHAKES = "too many connections have not sent their request yet"

log = logging.getLogger(__name__)


class HttpRequest:
    """One accepted connection. run() belongs to the thread made for it; evict() may be called from any thread.

    Args:
        name: of the connection, in the log.
        sock: blocking; run() neither opens nor closes it.
        config: the rules to be met.
        peers: asked who the peer is when there is no token that would tell.
        stopping: a descriptor that becomes readable when the server stops.
    """

    def __init__(self, name: str, sock: socket.socket, config: Config, peers: PeerCheck, stopping: int) -> None:
        self.name = name
        self.sock = sock
        self._config = config
        self._peers = peers
        self._stopping = stopping
        self.evicted = False
        self.judging = False  # the request was read, and its answer is being decided
        self._silent = True  # not a byte was received
        self.started = time.monotonic()
        self._deadline = self.started + config.limits.handshake_time

    def run(
        self,
        page: Callable[[Request, bool], pages.Page],
        begin_response: Callable[[], None],
        enter: Callable[[], None],
    ) -> tuple[bool, bytes] | None:
        """Read the request and answer it. Blocks for `handshake_time` at most, or while a page is being taken.

        Args:
            page: makes the answer to a plain request; its second argument says whether the token was presented.
            begin_response: called before a page is made; raises Refused when too many are being sent.
            enter: called before a WebSocket is accepted; raises Refused when there are too many.

        Returns:
            Whether a WebSocket client presented the token, and what it sent behind its request. None when everything
            is said; the socket is then to be closed.
        """
        try:
            try:
                head = Head(self._config.limits)
                request = self._read(head)
                if request is None:
                    return None
                trusted = self._admit(request)
                if request.websocket:
                    upgrade = accept(request)
                    enter()
                    self.sock.sendall(upgrade)
                    return trusted, head.rest
                begin_response()
                self._answer(page(request, trusted), body=request.method == "GET")
            except Refused as refused:
                self.judging = False
                if not self._silent:  # browsers open connections in advance and never use them
                    log.info("%s: refused, %d: %s", self.name, refused.status, refused)
                self._answer(pages.refusal(refused), body=True)
        except OSError as error:
            log.info("%s: %s", self.name, error)
        return None

    def evict(self) -> None:
        """Give this connection up for a newer one. It gets a 503 if it listens, and is not waited for. Does not block."""
        self.evicted = True
        shut_down(self.sock, socket.SHUT_RD)

    def _admit(self, request: Request) -> bool:
        public = request.path in pages.PUBLIC and not request.websocket
        trusted = admit(request, self._config, public=public)
        if self._config.token is None and not public:
            self._peers.check(self.sock, self.started)  # last, since it may read a long table
        return trusted

    def _read(self, head: Head) -> Request | None:
        """Read to the end of the head. None: the peer left, or the server stops."""
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
        """The next bytes; b"" at the end of the stream or when the server stops; None at the deadline."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        ready = dict(poll.poll(max(deadline - time.monotonic(), 0) * 1000))
        if self._stopping in ready:
            return b""
        return self.sock.recv(4096) if ready else None

    def _answer(self, page: pages.Page, body: bool) -> None:
        """Send the page, then the end of the stream, then wait for the peer's, so that no reset overtakes the answer."""
        set_send_time(self.sock, self._config.limits.handshake_time)
        self.sock.sendall(page.head())
        if body:
            for part in page.body:
                self.sock.sendall(part)
        shut_down(self.sock, socket.SHUT_WR)
        deadline, left = time.monotonic() + self._config.limits.close_time, DISCARD_BYTES
        while left > 0 and not self.evicted and (data := self._receive(deadline)):
            left -= len(data)
