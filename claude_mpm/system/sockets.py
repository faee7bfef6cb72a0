"""Calls on sockets for which Python's socket module has no function of its own, and where a server is reached."""

from __future__ import annotations

import socket
import struct

_RESET = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds


def set_send_time(sock: socket.socket, seconds: float) -> None:
    """Let a blocking send raise BlockingIOError when nothing has been sent for `seconds` (SO_SNDTIMEO, socket(7))."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1_000_000)))


def shut_down(sock: socket.socket, how: int) -> None:
    """shutdown(), which wakes any thread blocked on the socket; does nothing when the connection has already gone."""
    try:
        sock.shutdown(how)
    except OSError:
        pass


def reset_on_close(sock: socket.socket) -> None:
    """Let close() discard what is unsent and reset the connection, so that the kernel keeps nothing for the peer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def reached_at(host: str) -> str:
    """The host by which a server of this machine is reached from here, given what it listens on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
