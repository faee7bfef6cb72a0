"""HTTP on the same port: the monitor page, and the status and history for scripts that use no WebSocket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from claude_mpm.errors import ProtocolError, Refused
from claude_mpm.feed.patterns import is_pattern
from claude_mpm.feed.state import activity_of
from claude_mpm.server.commands.params import MAX_SEARCH, moment
from claude_mpm.server.commands.past import SESSIONS_DEFAULT, SESSIONS_MAX, past_of
from claude_mpm.server.commands.replies import HISTORY_BYTES, HISTORY_MAX, Asker, reply, status_reply
from claude_mpm.server.http import proof
from claude_mpm.server.http.event_lines import PIECE_BYTES, event_lines
from claude_mpm.server.http.handshake import Request
from claude_mpm.system import json_text

PAGE_FILES = "/page/"  # the path under which the files of claude_mpm/page/ are served, by their names in that folder
_PACKAGE = Path(__file__).parents[2]
_PUBLIC = frozenset({"/", "/healthz", proof.PATH})  # need no token: they hold nothing secret
_LOOPBACK = "ws://localhost:* ws://127.0.0.1:* http://localhost:* http://127.0.0.1:*"  # a CSP source cannot name [::1]
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        f"connect-src 'self' {_LOOPBACK}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_TYPES = {  # what the page may consist of
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_SESSION_EVENTS = re.compile(r"/sessions/([A-Za-z0-9-]{1,64})/events")
_STATUS = {"forbidden": 403, "unavailable": 503}
_EXTRA: dict[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    405: {"Allow": "GET, HEAD"},
    426: {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
}


@dataclass(frozen=True)
class Page:
    """An HTTP response. The body may be generated while it is sent; the connection ends with it."""

    status: int
    content_type: str
    body: Iterable[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self) -> bytes:
        """The status line and the headers, up to and with the empty line."""
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
    """The response to a refused request: one line that says why."""
    return Page(error.status, "text/plain; charset=utf-8", [f"{error}\n".encode()], _EXTRA.get(error.status, {}))


def page(request: Request, asker: Asker) -> Page:
    """The response to a request that the handshake's rules admitted.

    Raises:
        Refused: with status 404 (no such page), 400 (bad query) or 503 (the file cannot be read).
    """
    make = _PAGES.get(request.path)
    if request.path.startswith(PAGE_FILES):
        make = _page_file
    elif _SESSION_EVENTS.fullmatch(request.path):
        make = _session_events
    if make is None:
        raise Refused(
            404,
            "there is no such page; see /, /healthz, /status, /activity, /instances, /events, /sessions, /asyncapi.yaml",
        )
    try:
        return make(request, asker)
    except ProtocolError as error:
        if isinstance(error, Refused):
            raise
        raise Refused(_STATUS.get(error.code, 400), str(error)) from None
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


def is_public(path: str) -> bool:
    """Whether a path is served without the token. The page's own files are: they are the same for everybody."""
    return path in _PUBLIC or path.startswith(PAGE_FILES)


def _find(in_checkout: str, packaged: str) -> Path:
    for path in (_PACKAGE.parent / in_checkout, _PACKAGE / "data" / packaged):
        if path.is_file():
            return path
    raise Refused(404, f"{packaged} is not part of this installation")


def _index(request: Request, asker: Asker) -> Page:
    return _file(_page_files(_PACKAGE / "page"), "index.html")


def _page_file(request: Request, asker: Asker) -> Page:
    return _file(_page_files(_PACKAGE / "page"), request.path.removeprefix(PAGE_FILES))


def _file(files: Mapping[str, Path], name: str) -> Page:
    path = files.get(name)
    if path is None:
        raise Refused(404, f"{name[:80]!a} is not part of the page")
    return Page(200, _TYPES[path.suffix], [path.read_bytes()], {"Content-Security-Policy": CONTENT_SECURITY_POLICY})


@lru_cache(maxsize=1)
def _page_files(folder: Path) -> Mapping[str, Path]:
    """The page's files by their names in `folder`, as they were at the first request.

    A request is looked up in this table. No path is ever built from what a client sends, so none can lead elsewhere.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _asyncapi(request: Request, asker: Asker) -> Page:
    return Page(200, "application/yaml", [_find("docs/asyncapi.yaml", "asyncapi.yaml").read_bytes()])


def _healthz(request: Request, asker: Asker) -> Page:
    return _json(json_text.dumps({"status": "ok"}))


def _status(request: Request, asker: Asker) -> Page:
    return _json(status_reply(asker))


def _activity(request: Request, asker: Asker) -> Page:
    """Unlike `/status`, which measures processes, it costs next to nothing: status bars ask every few seconds."""
    data = activity_of(asker.log.snapshot())
    return _json(reply("activity", data, instance_id=asker.log.instance_id))


def _instances(request: Request, asker: Asker) -> Page:
    return _json(reply("instances", {"instances": asker.backend.instances()}))


def _events(request: Request, asker: Asker) -> Page:
    types = [word for word in request.query.get("types", "").split(",") if word] or ["*"]
    if not all(map(is_pattern, types)):
        raise Refused(400, "types is a comma-separated list of patterns: agent.*,todo.update")
    since, limit = _number(request, "since"), _number(request, "limit")
    return Page(200, "application/x-ndjson", event_lines(asker.log, types, since, limit))


def _sessions(request: Request, asker: Asker) -> Page:
    query, limit = request.query, _number(request, "limit")
    if any(len(query.get(name, "")) > MAX_SEARCH for name in ("text", "project")):
        raise Refused(400, f"text and project may have at most {MAX_SEARCH} characters")
    try:
        since = moment(query["since"]) if query.get("since") else None
    except ValueError:
        raise Refused(400, "since must be a time such as 2026-01-31T12:00:00Z") from None
    data = past_of(asker).sessions(
        text=query.get("text") or None,
        project=query.get("project") or None,
        since=since,
        before=query.get("before") or None,
        limit=SESSIONS_DEFAULT if limit is None else min(max(limit, 1), SESSIONS_MAX),
        max_bytes=HISTORY_BYTES,
    )
    return _json(reply("sessions", data))


def _session_events(request: Request, asker: Asker) -> Page:
    match = _SESSION_EVENTS.fullmatch(request.path)
    assert match is not None
    past, since, limit = past_of(asker), _number(request, "since") or 0, _number(request, "limit")

    def more(since: int, left: int | None) -> tuple[list[bytes], bool] | None:
        count = HISTORY_MAX if left is None else min(left, HISTORY_MAX)
        return past.events(match[1], since=since, before=None, limit=count, max_bytes=PIECE_BYTES)

    first = more(since, limit) if limit != 0 else ([], False)
    if first is None:
        raise Refused(404, f"there is no session {match[1]}")
    return Page(200, "application/x-ndjson", _session_lines(first, since, limit, more))


def _session_lines(
    found: tuple[list[bytes], bool] | None,
    since: int,
    left: int | None,
    more: Callable[[int, int | None], tuple[list[bytes], bool] | None],
) -> Iterator[bytes]:
    """A session's events as lines, page by page: a slow reader holds one page, and nobody waits for it.

    If the next page cannot be read, the last line is an `error`, so that nobody takes what came for everything.
    """
    while found is not None:
        messages, goes_on = found
        yield b"".join(part for message in messages for part in (message, b"\n"))
        since += len(messages)  # the numbers of a session's events have no holes
        left = None if left is None else left - len(messages)
        if not goes_on or left == 0:
            return
        try:
            found = more(since, left)
        except ProtocolError as error:
            yield reply("error", {"code": error.code, "message": str(error), "command": None}) + b"\n"
            return


def _number(request: Request, name: str) -> int | None:
    value = request.query.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= 15):
        raise Refused(400, f"{name} must be a whole number")
    return int(value)


def _json(body: bytes) -> Page:
    return Page(200, "application/json", [body + b"\n"])


_PAGES: dict[str, Callable[[Request, Asker], Page]] = {
    "/": _index,
    "/healthz": _healthz,
    "/status": _status,
    "/activity": _activity,
    "/instances": _instances,
    "/events": _events,
    "/sessions": _sessions,
    "/asyncapi.yaml": _asyncapi,
}
