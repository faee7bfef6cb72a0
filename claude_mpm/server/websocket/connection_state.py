"""What the two threads of a WebSocket connection tell each other."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque

from claude_mpm.config import Limits
from claude_mpm.server.websocket.command_queue import CommandQueue
from claude_mpm.server.websocket.frames import Closing

PONGS_WAITING = 64  # unsent pongs; older ones may be skipped (RFC 6455 section 5.5.3)


class ConnectionState:
    """The socket, and what the receiver and the sender know of the connection.

    Every field has one writer, named here, unless it says otherwise. Writing one is a single assignment or append, so
    no lock is needed; the receiver calls wake() after it has given the sender something to do.
    """

    def __init__(self, name: str, sock: socket.socket, limits: Limits) -> None:
        self.name = name
        self.sock = sock
        self.limits = limits
        # Written by the receiver.
        self.commands = CommandQueue(limits.commands_waiting, limits.command_bytes_waiting)
        self.pongs: deque[bytes] = deque(maxlen=PONGS_WAITING)  # payloads of the pings that are not answered yet
        self.ping_due = False  # reset by the sender
        self.last_seq: int | None = None  # the server stops: send the log up to this seq, then close with 1001
        self.gone = False  # the peer is not there any more, or is given up
        # Written by either. The first reason to close the connection counts.
        self.closing: Closing | None = None
        self.reset = False  # end with a reset
        self.heard = time.monotonic()  # the peer's last sign of life: it sent something, or took something from us
        # Written by the sender.
        self.close_sent = False
        self._work = threading.Lock()  # a binary semaphore: not held while there is work for the sender

    def wake(self) -> None:
        """Tell the sender that there is something for it to do. Any thread."""
        if self._work.locked():
            try:
                self._work.release()
            except RuntimeError:
                pass  # another thread released it first

    def wait_for_work(self, timeout: float | None) -> None:
        """Block until wake() is called or `timeout` seconds are over; return at once if it was called since the last time.

        Only the sender may call it.
        """
        self._work.acquire(timeout=-1 if timeout is None else timeout)
