"""Parses the head of an HTTP request, and decides whether its sender may connect. Does no I/O.

A strict parser of our own, so that no library sees a byte of a request that has not been admitted.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from wsproto.utilities import generate_accept_token

from claude_mpm.config import Config, Limits
from claude_mpm.errors import Refused

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") (/[!-~]*) HTTP/([0-9]\.[0-9])")
_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_HERE = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_PORT = r"(?::[0-9]{1,5})?"
_HOST = re.compile(_HERE + _PORT, re.IGNORECASE | re.ASCII)
_ORIGIN = re.compile(r"https?://" + _HERE + _PORT, re.ASCII)


@dataclass(frozen=True)
class Request:
    """A well-formed request head. Header names are in lower case; of a repeated query parameter the first value counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, tuple[str, ...]]

    def header(self, name: str) -> str | None:
        """The value of the first header of that name; None when there is none."""
        return next(iter(self.headers.get(name, ())), None)

    def tokens(self, name: str) -> list[str]:
        """The items of a comma-separated list, in lower case, collected from all headers of that name."""
        return [word.strip().lower() for value in self.headers.get(name, ()) for word in value.split(",")]

    @property
    def websocket(self) -> bool:
        """Whether this is a request for a WebSocket; whether it is a valid one is decided by accept()."""
        return self.method == "GET" and "websocket" in self.tokens("upgrade")


class Head:
    """Parses a request head as it arrives, line by line, so it makes no difference how the bytes are split."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unread = bytearray()
        self._size = 0  # bytes of the lines read
        self._request: tuple[str, str] | None = None
        self._headers: dict[str, tuple[str, ...]] = {}
        self._lines = 0

    def feed(self, data: bytes) -> Request | None:
        """Return the request once its head is complete, and None before that.

        Raises:
            Refused: the request is malformed, too large, or of a kind that is not served.
        """
        self._unread += data
        if self._request is None and self._unread and not self._unread[:1].isalpha():
            raise Refused(
                400, "this is not HTTP"
            )  # TLS, for instance: without an answer its client would wait until the handshake times out
        while (end := self._unread.find(b"\n")) >= 0:
            line = bytes(self._unread[: end + 1])
            self._size += len(line)
            if self._size > self._limits.head_bytes:
                raise Refused(431, "the request head is too large")
            del self._unread[: end + 1]
            if not line.endswith(b"\r\n"):
                raise Refused(400, "a line of the request head does not end with CRLF")
            if line == b"\r\n":
                return self._whole()
            self._line(line[:-2])
        if self._size + len(self._unread) > self._limits.head_bytes:
            raise Refused(431, "the request head is too large")
        return None

    @property
    def rest(self) -> bytes:
        """What was received behind the head."""
        return bytes(self._unread)

    def _line(self, line: bytes) -> None:
        if self._request is None:
            match = _REQUEST_LINE.fullmatch(line)
            if match is None or match[3] != b"1.1":
                raise Refused(400, "the request line is not valid HTTP/1.1")
            if match[1] not in (b"GET", b"HEAD"):
                raise Refused(405, "only GET and HEAD are supported")
            self._request = match[1].decode(), match[2].decode()
            return
        self._lines += 1
        if self._lines > self._limits.head_lines:
            raise Refused(431, "the request has too many headers")
        match = _HEADER.fullmatch(line)
        if match is None:
            raise Refused(400, "a header is malformed")
        name, value = match[1].decode().lower(), match[2].decode("latin-1").rstrip(" \t")
        self._headers[name] = (*self._headers.get(name, ()), value)

    def _whole(self) -> Request:
        if self._request is None:
            raise Refused(400, "this is not HTTP")
        headers = self._headers
        if len(headers.get("host", ())) != 1:
            raise Refused(400, "exactly one Host header is required")
        if len(headers.get("origin", ())) > 1:
            raise Refused(400, "more than one Origin header")
        if "transfer-encoding" in headers or any(value != "0" for value in headers.get("content-length", ())):
            raise Refused(400, "requests with a body are not supported")
        method, target = self._request
        path, _, query = target.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        return Request(method, path, dict(reversed(pairs)), headers)  # reversed, so that the first of a name wins


def admit(request: Request, config: Config, *, public: bool = False) -> bool:
    """Check where the request comes from and its token, and return whether it presented the valid token.

    Args:
        request: well-formed.
        config: the token, and the hosts and origins that are allowed besides this machine's.
        public: what is requested contains nothing secret, so it needs no token.

    Raises:
        Refused: 403 for a host or origin that is not allowed (which stops DNS rebinding and foreign web pages), 401 for
            a token that is missing or wrong.
    """
    host = request.header("host") or ""
    if not _host_allowed(host, config):
        raise Refused(
            403, f"the Host header {host[:80]!a} does not name this machine; allow it with --websocket-allow-host"
        )
    trusted = _has_token(request, config.token)
    origin = request.header("origin")
    if origin == "null" and not trusted:
        raise Refused(403, "a page opened from a file needs the token; open it from this address instead")
    if origin not in (None, "null", *config.allow_origins) and not _ORIGIN.fullmatch(origin or ""):
        raise Refused(403, f"the origin {(origin or '')[:80]!a} is not allowed; allow it with --websocket-allow-origin")
    if config.token is not None and not trusted and not public:
        raise Refused(401, "the token is missing or wrong")
    return trusted


def accept(request: Request) -> bytes:
    """Return the 101 response to a WebSocket request that was admitted (RFC 6455 section 4.2).

    Extensions and subprotocols are declined.

    Raises:
        Refused: the request is not a valid WebSocket handshake.
    """
    if "upgrade" not in request.tokens("connection"):
        raise Refused(400, "a WebSocket request must have the header Connection: Upgrade")
    if request.headers.get("sec-websocket-version") != ("13",):
        raise Refused(426, "only WebSocket version 13 is supported")
    keys = request.headers.get("sec-websocket-key", ())
    if len(keys) != 1 or not _is_key(keys[0]):
        raise Refused(400, "the Sec-WebSocket-Key header is malformed")
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + generate_accept_token(keys[0].encode("latin-1"))
        + b"\r\n\r\n"
    )


def _host_allowed(host: str, config: Config) -> bool:
    if _HOST.fullmatch(host):
        return True
    named = {name.lower() for name in (*config.allow_hosts, config.host or "") if name}
    return host.lower() in named or re.sub(r":[0-9]{1,5}\Z", "", host.lower()) in named


def _has_token(request: Request, token: str | None) -> bool:
    if token is None:
        return False
    scheme, _, given = (request.header("authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.query.get("token", "")
    return secrets.compare_digest(given.strip().encode("utf-8", "replace"), token.encode("utf-8", "replace"))


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
