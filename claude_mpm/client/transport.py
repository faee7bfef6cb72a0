"""The TCP connection under simple-websocket, with time limits and the reason of a refusal.

simple-websocket's client opens its own socket, and then has no time limit, sends without checking that everything was
sent, and reduces a refused handshake to a status code. Its documented `ssl_context` argument decides what a `wss://`
connection is read from and written to; we pass a Transport there, which wraps plain TCP instead of TLS.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable

from claude_mpm.errors import ConnectionFailed, ServerUnavailable

URL = "wss://127.0.0.1/"  # numeric, so that simple-websocket looks nothing up; Transport connects elsewhere
URL_HOST = b"\r\nHost: 127.0.0.1\r\n"
SEND_TIME = 5.0  # seconds for the server to take what we send
HEAD_BYTES = 64 * 1024  # a longer answer to a handshake is not from a claude-mpm
READ_BYTES = 4096  # of the answer, at a time
REASON_CHARS = 300  # of a refusal that are shown


class Transport:
    """A socket as simple-websocket uses one: `wrap_socket`, `connect`, `send`, `recv`, `close`.

    Args:
        host, port: where to connect.
        deadline: time.monotonic() by which the connection stands and the handshake is answered.
        before_read: called in the reading thread before each read that follows the handshake.
    """

    def __init__(self, host: str, port: int, deadline: float, before_read: Callable[[], None]) -> None:
        self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host, self._port, self._deadline, self._before_read = host, port, deadline, before_read
        self._sock: socket.socket | None = None
        self._send_lock = threading.Lock()  # the receiver answers pings while other threads send commands
        self._first_frames: bytes | None = None  # what followed the 101 in the same packet; None before the 101

    # --- what simple-websocket calls ---

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None) -> Transport:
        """Take the place of the library's unconnected socket."""
        sock.close()
        return self

    def connect(self, address: object) -> None:
        """Connect to our host instead of `address`, trying each of its addresses.

        Raises:
            ServerUnavailable: nobody listens there, or not in time.
        """
        try:
            self._sock = socket.create_connection((self._host, self._port), self._seconds_left())
        except ConnectionRefusedError:
            raise ServerUnavailable(
                f"nothing listens on {self.where}; start one with: claude-mpm --websocket"
            ) from None
        except (OSError, OverflowError, UnicodeError) as error:
            raise ServerUnavailable(f"cannot connect to {self.where}: {describe(error)}") from None
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> int:
        """Send all of `data`. Any thread. An OSError ends the connection: part of a frame may have been sent."""
        if self._first_frames is None:  # simple-websocket leaves the port and the brackets of IPv6 out of Host
            where = self.where.encode("ascii" if self.where.isascii() else "idna")
            data = data.replace(URL_HOST, b"\r\nHost: " + where + b"\r\n", 1)
        try:
            with self._send_lock:
                self._connected().sendall(data)
        except OSError:
            self.shut_down()
            raise
        return len(data)

    def recv(self, size: int) -> bytes:
        """Read at most `size` bytes; b"" at the end. The first call returns the whole head of the server's answer.

        The head comes alone: simple-websocket would not look at frames behind it before the next packet.

        Raises:
            ConnectionFailed: the answer refuses the WebSocket, or is not HTTP.
            TimeoutError: no answer by the deadline.
        """
        if self._first_frames is None:
            return self._answer()
        self._before_read()
        if self._first_frames:
            data, self._first_frames = self._first_frames[:size], self._first_frames[size:]
            return data
        return self._connected().recv(size)

    def close(self) -> None:
        """Do nothing. simple-websocket closes while another thread reads; `release` comes from the reader."""

    # --- what the connection calls ---

    def shut_down(self) -> None:
        """End the stream both ways, which wakes the reader. Any thread, any number of times."""
        try:
            self._connected().shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    def release(self) -> None:
        """Close the descriptor. Only for the thread that reads, or before there is one."""
        if self._sock is not None:
            self._sock.close()

    # --- the answer to the handshake ---

    def _answer(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            data = self._read_in_time()
            received += data
            if not data or len(received) > HEAD_BYTES or not received.startswith(b"HTTP/"[: len(received)]):
                raise ConnectionFailed(f"{self.where} is not a claude-mpm: it does not speak HTTP")
        head, end, body = received.partition(b"\r\n\r\n")
        status = b"".join(head.split(b"\r\n", 1)[0].split(b" ", 2)[1:2]).decode("ascii", "replace")
        if status != "101":
            raise self._refusal(status, body)
        sock = self._connected()
        sock.settimeout(None)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_TIME), int(SEND_TIME % 1 * 1e6))
        )
        self._first_frames = body
        return head + end

    def _refusal(self, status: str, body: bytes) -> ConnectionFailed:
        """The error for an HTTP answer other than 101. The first line of its body is the reason."""
        try:
            while len(body) < HEAD_BYTES and (data := self._read_in_time()):
                body += data
        except OSError:
            pass  # what has come so far will do
        first_line = body.decode("utf-8", "replace").strip().partition("\n")[0][:REASON_CHARS]
        reason = "".join(c if c.isprintable() else " " for c in first_line).strip()
        answer = f"{status} {reason}".strip()
        if status == "503":
            return ServerUnavailable(f"{self.where} is too busy: {answer}")
        if status in ("401", "403"):
            return ConnectionFailed(f"{self.where} refused the connection: {answer}")
        return ConnectionFailed(f"{self.where} is not a claude-mpm: its answer was HTTP {answer[:80]}")

    def _read_in_time(self) -> bytes:
        sock = self._connected()
        sock.settimeout(self._seconds_left())
        return sock.recv(READ_BYTES)

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _connected(self) -> socket.socket:
        if self._sock is None:
            raise OSError(errno.ENOTCONN, "not connected")
        return self._sock


def describe(error: BaseException) -> str:
    """The text of an exception, without its class and number."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error) or errno.errorcode.get(error.errno or 0, "the connection failed")
    return str(error) or type(error).__name__
