"""A Messages API on loopback that answers from a script, for the real claude to talk to.

The prompt names the part: `[[MAIN:hello]]` is answered from `main.hello`, the subagent's `[[SUB:alpha]]` from
`sub.alpha`, and a bare `[[MAIN]]` from the part that uses the todo tool this claude offers. The n-th answer after that
prompt is the part's n-th turn; the last one stands for all that follow.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

CHUNK_DELAY = 0.02  # seconds between two words
CHUNK_SIZE = 60  # characters of a tool's input in one piece
USAGE = {
    "input_tokens": 1000,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 300,
    "output_tokens": 50,
    "service_tier": "standard",
}
_MARKER = re.compile(r"\[\[(MAIN|SUB)(?::([\w-]+))?\]\]")
_DEFERRED = re.compile(r"deferred tools are now available.*?:\n((?:[A-Za-z_]+\n)+)", re.S)
_SEARCH = {"TodoWrite": "select:TodoWrite", "TaskCreate": "select:TaskCreate,TaskUpdate,TaskList"}


class MessagesApi:
    """The API. `said` is every text it answered to a marked prompt, in order, whoever asked."""

    def __init__(self, script: Json) -> None:
        self._script = script
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._said: list[tuple[str, str]] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="messages-api")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def said(self, kind: str = "main") -> list[str]:
        """Texts answered so far to the `main` conversation or to a `sub`."""
        with self._lock:
            return [text for asked, text in self._said if asked == kind]

    def __enter__(self) -> MessagesApi:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        assert not self._server.failures, self._server.failures[0]

    def turn(self, body: Json) -> Json:
        """The scripted answer to a request: `content`, or `error`."""
        kind, part, number = _asked(body)
        tools = {tool.get("name") for tool in body.get("tools") or []}
        if kind is None or not tools:
            return {"content": [{"type": "text", "text": _side_answer(body)}]}
        turns = self._script["sub"].get(part) or self._script["sub"]["default"] if kind == "sub" else None
        turns = turns or self._main(part, tools, _deferred(body))
        turn: Json = turns[min(number, len(turns) - 1)]
        agent = "Agent" if "Agent" in tools else "Task"
        content = [
            block
            | {"name": agent if block["name"] == "AGENT" else block["name"], "id": f"toolu_{next(self._numbers):04d}"}
            if block["type"] == "tool_use"
            else block
            for block in turn.get("content", [])
        ]
        with self._lock:
            self._said += [(kind, block["text"]) for block in content if block["type"] == "text"]
        return turn | {"content": content}

    def _main(self, part: str | None, tools: set[str], deferred: set[str]) -> Sequence[Json]:
        parts: Mapping[str, Sequence[Json]] = self._script["main"]
        if part is not None:
            return parts[part]
        for tool, name in (("TodoWrite", "with_todowrite"), ("TaskCreate", "with_tasks")):
            if tool in deferred:  # it must be asked for first
                search = {"type": "tool_use", "name": "ToolSearch", "input": {"query": _SEARCH[tool], "max_results": 5}}
                return [{"content": [search]}, *parts[name]]
            if tool in tools:
                return parts[name]
        return parts["without_todos"]

    def message(self, body: Json, content: Sequence[Json]) -> Json:
        return {
            "id": f"msg_{next(self._numbers):04d}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": list(content),
            "stop_reason": "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn",
            "stop_sequence": None,
            "usage": USAGE,
        }


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content or [] if block.get("type") == "text")


def _asked(body: Json) -> tuple[str | None, str | None, int]:
    """Who asks (`main` or `sub`), for which part, and how many answers it had since."""
    kind, part, at = None, None, 0
    messages = body.get("messages", [])
    for index, message in enumerate(messages):
        if message.get("role") == "user" and (found := _MARKER.findall(_text(message.get("content")))):
            kind, part, at = found[-1][0].lower(), found[-1][1] or None, index
    return kind, part, sum(message.get("role") == "assistant" for message in messages[at + 1 :])


def _deferred(body: Json) -> set[str]:
    """Tools this claude names but does not offer before ToolSearch asked for them."""
    texts = "\n".join(_text(message.get("content")) for message in body.get("messages", []))
    return {name for names in _DEFERRED.findall(texts) for name in names.split()}


def _side_answer(body: Json) -> str:
    """What claude asks beside the conversation: a title for it, paths in an output."""
    text = json.dumps(body)
    if "isNewTopic" in text:
        return '{"isNewTopic": true, "title": "Scripted topic"}'
    return '{"title": "Scripted title"}' if '"title"' in text else "ok"


def _stream(message: Json) -> Iterator[Json]:
    """The message as server-sent events."""
    start = message | {"content": [], "stop_reason": None, "usage": USAGE | {"output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty: Json = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in re.findall(r"\S+\s*|\s+", block["text"])]
        else:
            empty = block | {"input": {}}
            text = json.dumps(block["input"])
            pieces = [text[i : i + CHUNK_SIZE] for i in range(0, len(text), CHUNK_SIZE)]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": {"output_tokens": USAGE["output_tokens"]},
    }
    yield {"type": "message_stop"}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() joins them
    request_queue_size = 128

    def __init__(self, api: MessagesApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api
        self.pause = threading.Event()  # set at the end: nobody waits any more
        self.failures: list[str] = []
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()

    def opened(self, connection: socket.socket) -> None:
        with self._connections_lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._connections_lock:
            self._connections.discard(connection)

    def hang_up(self) -> None:
        self.pause.set()
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A claude that leaves in the middle is no error; a script without an answer is."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.failures.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_HEAD(self) -> None:
        self._answer(200, {})

    def do_GET(self) -> None:
        if self.path.startswith("/v1/models"):
            model = {
                "type": "model",
                "id": "claude-sonnet-4-5",
                "display_name": "Sonnet",
                "created_at": "2025-01-01T00:00:00Z",
            }
            return self._answer(200, {"data": [model], "has_more": False, "first_id": None, "last_id": None})
        return self._answer(404, _error("not_found_error", "not found"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            return self._answer(200, {"input_tokens": 100})
        if path != "/v1/messages":
            return self._answer(404, _error("not_found_error", "not found"))
        body = json.loads(raw)
        turn = self.server.api.turn(body)
        if "error" in turn:
            return self._answer(turn["error"]["status"], _error(turn["error"]["type"], turn["error"]["message"]))
        message = self.server.api.message(body, turn["content"])
        if not body.get("stream"):
            return self._answer(200, message)
        return self._send_stream(message, turn.get("chunk_delay", CHUNK_DELAY))

    def _answer(self, status: int, value: Json) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_stream(self, message: Json, delay: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):  # interrupted: the client hung up
            for event in _stream(message):
                self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                if event["type"] == "content_block_delta":
                    self.server.pause.wait(delay)


def _error(kind: str, message: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}}
