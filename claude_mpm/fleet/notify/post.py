"""One POST of JSON to a URL that the user gave.

With the standard library's http.client: all there is to do is one request that is given up after a few seconds, and an
HTTP library would add redirects, proxies, pools and cookies, each of which would have to be switched off here.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time

from claude_mpm.system.post_target import Target

POST_TIME = 5.0  # seconds; for each step up to the request, and for the whole first line of the answer
STATUS_BYTES = 1024  # read of an answer at most: its first line is all that matters
_TRY_AGAIN = frozenset({408, 425, 429})  # refusals that are about the moment (RFC 9110, 8470, 6585)


class PostFailed(Exception):
    """Not delivered. The text completes "it failed because" and holds nothing of the URL.

    Attributes:
        is_final: the same request would fail again.
    """

    def __init__(self, why: str, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final


class Poster:
    """Posts to one target, one body at a time. send() belongs to one thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = ssl.create_default_context() if target.is_tls else None  # verifies certificate and host name
        self._lock = threading.Lock()  # guards the next two
        self._sock: socket.socket | None = None
        self._aborted = False

    def send(self, body: bytes) -> None:
        """Post, and return once the server has said that it took it. Blocks for a few times POST_TIME at most.

        Redirects are not followed, and nothing is read of the answer but its first line.

        Raises:
            PostFailed: it was not taken, or not provably.
        """
        try:
            status = self._status(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PostFailed("there was no time left for it to answer" if self._aborted else _why(error)) from None
        finally:
            self._close()
        if 300 <= status < 400:
            raise PostFailed(f"it answered with a redirect (HTTP {status}), which is not followed", is_final=True)
        if not 200 <= status < 300:
            is_final = 400 <= status < 500 and status not in _TRY_AGAIN
            raise PostFailed(f"it answered with HTTP {status}", is_final)

    def abort(self) -> None:
        """Let the send() that is going on fail, and all later ones. Any thread; does not block.

        A name that is being looked up, and a connection that is being made, cannot be interrupted.
        """
        with self._lock:
            self._aborted = True
            if self._sock is not None:
                try:
                    # not SSLSocket.shutdown(), which takes away what the other thread is reading with
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except OSError:
                    pass

    def _status(self, body: bytes) -> int:
        target = self._target
        kind = http.client.HTTPSConnection if target.is_tls else http.client.HTTPConnection
        connection = kind(target.host, target.port)
        connection.sock = self._connect()
        connection.request("POST", target.path, body, target.headers)
        return self._first_line()

    def _connect(self) -> socket.socket:
        """Raises OSError."""
        if self._aborted:
            raise ConnectionAbortedError
        sock = socket.create_connection((self._target.host, self._target.port), POST_TIME)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_hostname=self._target.host, do_handshake_on_connect=False)
        with self._lock:
            self._sock = sock
            if self._aborted:
                raise ConnectionAbortedError
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        return sock

    def _first_line(self) -> int:
        """The status. Read here instead of by http.client, whose time limit begins anew with every byte."""
        assert self._sock is not None
        deadline, received = time.monotonic() + POST_TIME, b""
        while b"\n" not in received and len(received) < STATUS_BYTES:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._sock.recv(STATUS_BYTES)
            if not data:
                raise http.client.BadStatusLine("")
            received += data
        version, _, rest = received.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise http.client.BadStatusLine("")
        return int(rest[:3])

    def _close(self) -> None:
        with self._lock:
            if self._sock is not None:
                self._sock.close()
                self._sock = None


def _why(error: Exception) -> str:
    """One clause. Only texts of the system are repeated: those of http.client may quote the URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, socket.gaierror):
        return "its host name is unknown"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "it did not answer with HTTP"
