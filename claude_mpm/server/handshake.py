"""Who may connect: the head of a request, and the rules it must meet. Pure; no library sees a byte before it passed."""

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
    """A well-formed head. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, tuple[str, ...]]

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next(iter(self.headers.get(name, ())), None)

    def tokens(self, name: str) -> list[str]:
        """The comma-separated words of all headers of that name, in lower case."""
        return [word.strip().lower() for value in self.headers.get(name, ()) for word in value.split(",")]

    @property
    def websocket(self) -> bool:
        return self.method == "GET" and "websocket" in self.tokens("upgrade")


class Head:
    """Reads a request head as it comes. Every line is judged when it is whole, so chunks make no difference."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unread = bytearray()
        self._size = 0  # bytes of the lines read
        self._request: tuple[str, str] | None = None
        self._headers: dict[str, tuple[str, ...]] = {}
        self._lines = 0

    def feed(self, data: bytes) -> Request | None:
        """The request once its head is whole, None before.

        Raises:
            Refused: with the status to answer.
        """
        self._unread += data
        if self._request is None and self._unread and not self._unread[:1].isalpha():
            raise Refused(400, "this is not HTTP")  # TLS, for one, which would wait for an answer
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
        """What came after the head."""
        return bytes(self._unread)

    def _line(self, line: bytes) -> None:
        if self._request is None:
            match = _REQUEST_LINE.fullmatch(line)
            if match is None or match[3] != b"1.1":
                raise Refused(400, "the request line is not one of HTTP/1.1")
            if match[1] not in (b"GET", b"HEAD"):
                raise Refused(405, "only GET is served here")
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
            raise Refused(400, "one Host header is needed")
        if len(headers.get("origin", ())) > 1:
            raise Refused(400, "there is more than one Origin header")
        if "transfer-encoding" in headers or any(value != "0" for value in headers.get("content-length", ())):
            raise Refused(400, "a request with a body is not served")
        method, target = self._request
        path, _, query = target.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        return Request(method, path, dict(reversed(pairs)), headers)  # reversed: the first of a name counts


def admit(request: Request, config: Config, *, public: bool = False) -> bool:
    """Whether the valid token came with the request, which may be served.

    `public`: what is asked for holds nothing secret and needs no token.

    Raises:
        Refused: 403 by where it comes from, 401 for want of the token.
    """
    host = request.header("host") or ""
    if not _host_allowed(host, config):
        raise Refused(403, f"the Host header {host[:80]!a} is not this machine; allow it with --websocket-allow-host")
    trusted = _has_token(request, config.token)
    origin = request.header("origin")
    if origin == "null" and not trusted:
        raise Refused(403, "a page without an origin needs the token; open the page from this address instead")
    if origin not in (None, "null", *config.allow_origins) and not _ORIGIN.fullmatch(origin or ""):
        raise Refused(403, f"the origin {(origin or '')[:80]!a} is not allowed; allow it with --websocket-allow-origin")
    if config.token is not None and not trusted and not public:
        raise Refused(401, "the token is missing or wrong")
    return trusted


def accept(request: Request) -> bytes:
    """The 101 answer to an upgrade that was admitted. Extensions and subprotocols are not taken up.

    Raises:
        Refused: the upgrade is not one of RFC 6455.
    """
    if "upgrade" not in request.tokens("connection"):
        raise Refused(400, "a WebSocket request needs the header Connection: Upgrade")
    if request.headers.get("sec-websocket-version") != ("13",):
        raise Refused(426, "only version 13 of WebSocket is served")
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
