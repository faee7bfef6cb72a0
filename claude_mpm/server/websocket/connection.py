"""One WebSocket client, from the end of its handshake to its close."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from claude_mpm.config import Limits
from claude_mpm.feed.selection import Selection
from claude_mpm.server.commands.replies import Client
from claude_mpm.server.websocket.broadcaster import Broadcaster
from claude_mpm.server.websocket.connection_state import ConnectionState
from claude_mpm.server.websocket.greeting import Greeting
from claude_mpm.server.websocket.receiver import Receiver
from claude_mpm.server.websocket.sender import Sender, send_slice
from claude_mpm.system.sockets import reset_on_close, set_send_time, shut_down

log = logging.getLogger(__name__)


class Connection:
    """A client with two threads: one receives (receiver.py), one sends (sender.py).

    The receiver's thread is the one that calls run(); it starts the sender, joins it, and closes the socket.

    Args:
        sock: connected, its handshake answered; run() closes it.
        client: whose commands are executed.
        limits: of buffers and of time.
        stopping: a descriptor that becomes readable when the server stops.
        greeting: the first message.
        broadcaster: sends new events to clients that are up to date.
        changed: called by the sender thread when `selection` or `attends` has changed.
    """

    def __init__(
        self,
        sock: socket.socket,
        client: Client,
        limits: Limits,
        stopping: int,
        greeting: Greeting,
        broadcaster: Broadcaster,
        changed: Callable[[], None],
    ) -> None:
        self._state = ConnectionState(client.name, sock, limits)
        self._receiver = Receiver(self._state, stopping, lambda: client.log.seq)
        self._sender = Sender(self._state, client, greeting, broadcaster, changed)

    @property
    def selection(self) -> Selection:
        """The events that the client subscribes to. Any thread."""
        return self._sender.selection

    @property
    def attends(self) -> bool:
        """Whether this client may answer Claude, and attends. Any thread."""
        return self._sender.attends

    def run(self, rest: bytes) -> None:
        """Serve the client until it has gone. Blocks; call it once.

        Args:
            rest: what the client sent behind its handshake.
        """
        try:
            self._prepare()
            self._sender.start()
            self._receiver.run(rest)
        except OSError as error:
            log.info("%s: %s", self._state.name, error)
        finally:
            self._end()

    def _prepare(self) -> None:
        sock, limits = self._state.sock, self._state.limits
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
        set_send_time(sock, send_slice(limits.send_time))

    def _end(self) -> None:
        """Wake the sender wherever it blocks, wait for it, and close."""
        state = self._state
        state.gone = True
        state.wake()
        if not state.close_sent:
            shut_down(state.sock, socket.SHUT_RDWR)  # close() alone would not wake a blocked send
        self._sender.join()
        if state.reset:
            reset_on_close(state.sock)
        state.sock.close()
