"""HTTP on the same port: the monitor page, and what scripts want without a WebSocket."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from claude_mpm.errors import Refused
from claude_mpm.feed import event as ev
from claude_mpm.feed.patterns import is_pattern
from claude_mpm.server import proof
from claude_mpm.server.commands import Asker, reply, status_reply
from claude_mpm.server.handshake import Request
from claude_mpm.system import json_text

PUBLIC = frozenset({"/", "/healthz", proof.PATH})  # hold nothing secret, need no token
CHUNK_EVENTS = 256  # events encoded at a time
_PACKAGE = Path(__file__).parent.parent
_INLINE = re.compile(r"<(script|style)\b[^>]*>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
_LOOPBACK = "ws://localhost:* ws://127.0.0.1:* http://localhost:* http://127.0.0.1:*"  # CSP has no word for [::1]
_EXTRA: dict[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    405: {"Allow": "GET, HEAD"},
    426: {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
}


@dataclass(frozen=True)
class Page:
    """An answer. The body may be made while it is sent; its end is the end of the connection."""

    status: int
    content_type: str
    body: Iterable[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self) -> bytes:
        headers = {
            "Content-Type": self.content_type,
            "Connection": "close",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def refusal(error: Refused) -> Page:
    """One line saying why."""
    return Page(error.status, "text/plain; charset=utf-8", [f"{error}\n".encode()], _EXTRA.get(error.status, {}))


def page(request: Request, asker: Asker) -> Page:
    """The answer to a request that was admitted.

    Raises:
        Refused: 404 or 400.
    """
    make = _PAGES.get(request.path)
    if make is None:
        raise Refused(404, "there is no such page; see /, /healthz, /status, /instances, /events, /asyncapi.yaml")
    try:
        return make(request, asker)
    except OSError as error:
        raise Refused(503, f"this cannot be read now: {error.strerror}") from None


def proof_page(request: Request, token: str | None, port: int) -> Page:
    """The image by which a page opened from disk knows us: proof.py. `port` is the one the request arrived on.

    Raises:
        Refused: 400.
    """
    try:
        width, height = proof.size(token, port, request.query.get("nonce", ""), request.query.get("part", ""))
    except ValueError as error:
        raise Refused(400, str(error)) from None
    headers = {"Cross-Origin-Resource-Policy": "cross-origin"}
    return Page(200, "image/svg+xml", [proof.svg(width, height)], headers)


def content_security_policy(html: str) -> str:
    """Nothing but the page's own inline script and style, and connections to this machine."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for tag, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[tag.lower()].append(f"'sha256-{digest}'")
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hashes['script']) or chr(39) + 'none' + chr(39)}",
            f"style-src {' '.join(hashes['style']) or chr(39) + 'none' + chr(39)}",
            f"connect-src 'self' {_LOOPBACK}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _find(in_checkout: str, packaged: str) -> Path:
    for path in (_PACKAGE.parent / in_checkout, _PACKAGE / "data" / packaged):
        if path.is_file():
            return path
    raise Refused(404, f"{packaged} is not part of this installation")


def _monitor(request: Request, asker: Asker) -> Page:
    html = _find("monitor.html", "monitor.html").read_text(encoding="utf-8")  # universal newlines, as browsers hash
    headers = {"Content-Security-Policy": content_security_policy(html)}
    return Page(200, "text/html; charset=utf-8", [html.encode()], headers)


def _asyncapi(request: Request, asker: Asker) -> Page:
    return Page(200, "application/yaml", [_find("docs/asyncapi.yaml", "asyncapi.yaml").read_bytes()])


def _healthz(request: Request, asker: Asker) -> Page:
    return _json(json_text.dumps({"status": "ok"}))


def _status(request: Request, asker: Asker) -> Page:
    return _json(status_reply(asker))


def _instances(request: Request, asker: Asker) -> Page:
    return _json(reply("instances", {"instances": asker.backend.instances()}))


def _events(request: Request, asker: Asker) -> Page:
    types = [word for word in request.query.get("types", "").split(",") if word] or ["*"]
    if not all(map(is_pattern, types)):
        raise Refused(400, "types is a list of patterns with commas between: agent.*,todo.update")
    since, limit = _number(request, "since"), _number(request, "limit")
    log = asker.log
    lost = log.gap(since, types) if since is not None else None
    entries, _ = log.history(types, log.seq if limit is None else limit, since or 0)

    def lines() -> Iterable[bytes]:
        if lost is not None:
            gap = ev.system_gap(lost.from_seq, lost.to_seq, lost.counts, "expired")
            yield reply(gap.type, gap.data, instance_id=log.instance_id, source=gap.source) + b"\n"
        for start in range(0, len(entries), CHUNK_EVENTS):
            yield b"".join([entry.json() + b"\n" for entry in entries[start : start + CHUNK_EVENTS]])

    return Page(200, "application/x-ndjson", lines())


def _number(request: Request, name: str) -> int | None:
    value = request.query.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 15):
        raise Refused(400, f"{name} is a whole number")
    return int(value)


def _json(body: bytes) -> Page:
    return Page(200, "application/json", [body + b"\n"])


_PAGES: dict[str, Callable[[Request, Asker], Page]] = {
    "/": _monitor,
    "/healthz": _healthz,
    "/status": _status,
    "/instances": _instances,
    "/events": _events,
    "/asyncapi.yaml": _asyncapi,
}
