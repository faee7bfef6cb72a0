"""An accepted socket until it is known what it wants: a WebSocket, a page, or nothing we serve."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable

from claude_mpm.config import Config
from claude_mpm.errors import Refused
from claude_mpm.server import http as pages
from claude_mpm.server.connection import set_send_time, shut_down
from claude_mpm.server.handshake import Head, Request, accept, admit

DISCARD_BYTES = 64 * 1024  # read and thrown away behind a refused request, so that the answer is not lost in a reset

log = logging.getLogger(__name__)


class Visitor:
    """One accepted connection. run() belongs to the thread that was made for it; crowd_out() to any."""

    def __init__(
        self, name: str, sock: socket.socket, config: Config, stopping: int, crowded: Callable[[], bool]
    ) -> None:
        """`stopping`: a descriptor that becomes readable when the server stops. `crowded`: descriptors are scarce."""
        self.name = name
        self.sock = sock
        self._config = config
        self._stopping = stopping
        self._crowded = crowded
        self._crowded_out = False
        self._deadline = time.monotonic() + config.limits.handshake_time

    def run(self, page: Callable[[Request, bool], pages.Page], enter: Callable[[], None]) -> tuple[bool, bytes] | None:
        """Read the request and answer it. Blocks for `handshake_time` at most, or while a page is being taken.

        Args:
            page: makes the answer to a plain request; True when it came with the token.
            enter: called before a WebSocket is accepted; may raise Refused.

        Returns:
            whether a WebSocket client presented the token, and what it sent behind the head; the socket is open.
            None when the visit is over; the socket is to be closed.
        """
        try:
            try:
                head = Head(self._config.limits)
                request = self._read(head)
                if request is None:
                    return None
                public = request.path in pages.PUBLIC and not request.websocket
                trusted = admit(request, self._config, public=public)
                if request.websocket:
                    upgrade = accept(request)
                    enter()
                    self.sock.sendall(upgrade)
                    return trusted, head.rest
                self._answer(page(request, trusted), body=request.method == "GET")
            except Refused as refused:
                log.info("%s: refused, %d: %s", self.name, refused.status, refused)
                self._answer(pages.refusal(refused), body=True)
        except OSError as error:
            log.info("%s: %s", self.name, error)
        return None

    def crowd_out(self) -> None:
        """Give up this one, which has not finished its request, for a newer one."""
        self._crowded_out = True
        shut_down(self.sock, socket.SHUT_RD)

    def _read(self, head: Head) -> Request | None:
        """The request; None when the visitor left, or the server stops, before it was whole."""
        while True:
            data = self._receive(self._deadline)
            if self._crowded_out:
                raise Refused(503, "too many connections wait to say what they want")
            if data is None:
                raise Refused(408, "the request took too long")
            if not data:
                return None
            request = head.feed(data)
            if request is not None:
                return request

    def _receive(self, deadline: float) -> bytes | None:
        """The next bytes; empty at the end, or when the server stops; None at the deadline."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        ready = dict(poll.poll(max(deadline - time.monotonic(), 0) * 1000))
        if self._stopping in ready:
            return b""
        return self.sock.recv(4096) if ready else None

    def _answer(self, page: pages.Page, body: bool) -> None:
        """Send it; the last byte is followed by the end of the stream, and by nothing that could reset it."""
        set_send_time(self.sock, self._config.limits.handshake_time)
        self.sock.sendall(page.head())
        if body:
            for part in page.body:
                self.sock.sendall(part)
        shut_down(self.sock, socket.SHUT_WR)
        deadline, left = time.monotonic() + self._config.limits.close_time, DISCARD_BYTES
        while left > 0 and not self._crowded() and (data := self._receive(deadline)):
            left -= len(data)
