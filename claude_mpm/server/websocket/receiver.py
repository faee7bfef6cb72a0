"""The receiving half of a WebSocket connection: reads what the client sends, and measures time for both halves."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator

from claude_mpm.server.websocket.connection_state import ConnectionState
from claude_mpm.server.websocket.frames import Closing, FrameReader, Received

RECEIVE_BYTES = 16 * 1024
PAUSE_SLICE = 0.25  # seconds; how often a receiver that has stopped reading checks whether the server stops

log = logging.getLogger(__name__)


class Receiver:
    """Queues commands and pings for the sender, lets it send pings, and decides when the peer is to be given up.

    It measures time because it never blocks for long: it finds a dead peer even while the sender is stuck in a full
    socket buffer. All methods belong to the connection's receiver thread.

    Args:
        state: shared with the sender.
        stopping: a descriptor that becomes readable when the server stops.
        newest_seq: returns the seq of the newest event in the log.
    """

    def __init__(self, state: ConnectionState, stopping: int, newest_seq: Callable[[], int]) -> None:
        self._state = state
        self._limits = state.limits
        self._stopping = stopping
        self._newest_seq = newest_seq
        self._next_ping = state.heard + self._limits.ping_interval
        self._give_up_at: float | None = None  # the peer's time to close is over then; None while nothing is closing

    def run(self, data: bytes) -> None:
        """Receive until the peer has gone, is found dead, or has had its time to close the connection. Blocks.

        While the command queue is full nothing is read, so that TCP makes the peer wait.

        Args:
            data: what the peer sent behind its handshake.

        Raises:
            OSError: the connection broke.
        """
        state, sock = self._state, self._state.sock
        reader = FrameReader(self._limits.message_bytes)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        received = reader.feed(data)
        while True:
            paused = not self._take(received)
            wait = self._time_to_wait(paused)
            if wait <= 0:
                return
            if paused:
                state.commands.wait_for_room(min(wait, PAUSE_SLICE))
                state.heard = time.monotonic()  # its silence proves nothing while nobody listens
            ready = dict(poll.poll(0 if paused else wait * 1000 + 1))
            if self._stopping in ready:
                poll.unregister(self._stopping)
                self._server_stops()
            if sock.fileno() in ready and not paused:
                data = sock.recv(RECEIVE_BYTES)
                if not data:
                    return
                if state.closing is None:  # otherwise discarded (RFC 6455 section 1.4)
                    state.heard = time.monotonic()
                    received = reader.feed(data)

    def _server_stops(self) -> None:
        self._state.last_seq = self._newest_seq()
        self._give_up_at = self._give_up_at or time.monotonic() + self._limits.close_time
        self._state.wake()

    def _take(self, received: Iterator[Received]) -> bool:
        """Hand what was received to the sender. Returns False when the command queue is full and more may follow.

        Once the server stops, no more commands are accepted; otherwise a client that never pauses would keep it alive.
        """
        state = self._state
        try:
            while state.closing is None:
                if state.commands.full and state.last_seq is None:
                    state.wake()
                    return False
                message = next(received, None)
                if message is None:
                    break
                if message.kind == "text" and state.last_seq is None:
                    state.commands.put(message.payload)
                elif message.kind == "ping":
                    state.pongs.append(message.payload)
        except Closing as closing:
            if not closing.by_peer:
                log.info("%s: closed with %d: %s", state.name, closing.code, closing.reason)
            state.closing = closing
        state.wake()
        return True

    def _time_to_wait(self, paused: bool) -> float:
        """Seconds until something has to be done even if nothing is received; 0 when the connection is to be closed.

        A `paused` receiver reads no pongs, so only the sender can find the peer dead: it has replies to send as long as
        the command queue is full, and gives up when the peer takes none of them for `send_time`.
        """
        now, state, limits = time.monotonic(), self._state, self._limits
        if self._give_up_at is None and state.closing is not None:
            self._give_up_at = now + limits.close_time
        if self._give_up_at is not None:
            state.reset = now >= self._give_up_at and not state.close_sent
            return max(self._give_up_at - now, 0)
        if now >= self._next_ping:
            self._next_ping = now + limits.ping_interval
            state.ping_due = True
            state.wake()
        dead_at = state.heard + limits.ping_interval + limits.ping_time
        if now >= dead_at and not paused:
            log.info("%s: reset, no sign of life for %.0f s", state.name, limits.ping_interval + limits.ping_time)
            state.reset = True
            return 0
        return self._next_ping - now if paused else min(self._next_ping, dead_at) - now
