"""A client that keeps every frame and holds each to docs/asyncapi.yaml as it comes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from schemas import check
from support import TIMEOUT
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

Json = dict[str, Any]
SLOW = 6 * TIMEOUT  # seconds; a whole scripted session of a real claude takes 5 to 15


class Watcher:
    """A WebSocket client that keeps every frame; each is checked against docs/asyncapi.yaml as it comes."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self._frames: list[Json] = []
        self._grown = threading.Condition()
        self._failure: AssertionError | None = None
        self.ended = False
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connecting = connect(
            f"ws://localhost:{port}/", additional_headers=headers, max_size=None, open_timeout=TIMEOUT
        )
        self._thread = threading.Thread(target=self._read, name="watcher")

    def __enter__(self) -> Watcher:
        self._socket = self._connecting.__enter__()
        self._thread.start()
        self._socket.send(json.dumps({"command": "subscribe", "channels": ["*"], "since": 0}))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connecting.__exit__(kind, error, trace)
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    def _read(self) -> None:
        try:
            for text in self._socket:
                frame = json.loads(text)
                try:
                    check(frame)
                except AssertionError as error:
                    self._failure = self._failure or error
                with self._grown:
                    self._frames.append(frame)
                    self._grown.notify_all()
        except ConnectionClosed:
            pass
        with self._grown:
            self.ended = True
            self._grown.notify_all()

    def frames(self) -> list[Json]:
        """Every frame so far."""
        with self._grown:
            return list(self._frames)

    def all(self, event_type: str, **fields: object) -> list[Json]:
        """The data of every event of this type so far whose data has these values."""
        with self._grown:
            found = [frame["data"] for frame in self._frames if frame["type"] == event_type and "seq" in frame]
        return [data for data in found if all(data.get(name) == value for name, value in fields.items())]

    def session_ids(self) -> set[str | None]:
        """Claude's session in the envelopes of what Claude was seen to do."""
        with self._grown:
            return {
                frame["session_id"] for frame in self._frames if frame["type"] in ("claude.message", "claude.usage")
            }

    def sources(self) -> set[str]:
        """Who told something so far."""
        with self._grown:
            return {str(frame.get("source")) for frame in self._frames}

    def text(self, event_type: str, key: str) -> str:
        """One text of all these events."""
        return "".join(data[key] for data in self.all(event_type))

    def types(self) -> list[str]:
        with self._grown:
            return [frame["type"] for frame in self._frames]

    def wait_for(self, condition: Callable[[], Any], timeout: float = SLOW) -> Any:
        """Wait until `condition()`, looked at after each frame, is true, and return it."""
        value: Any = None

        def holds() -> Any:
            nonlocal value
            value = condition()
            return value or self.ended

        with self._grown:
            self._grown.wait_for(holds, timeout)
        if not value:
            raise AssertionError(
                f"it never came; {'the connection ended after' if self.ended else 'so far'} {self.brief()}"
            )
        return value

    def wait_event(self, event_type: str, **fields: object) -> Json:
        """Wait for an event with these values in its data; the first such."""
        found: list[Json] = self.wait_for(lambda: self.all(event_type, **fields))
        return found[0]

    def wait_ended(self) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: self.ended, SLOW), "the server never closed the connection"

    def brief(self) -> str:
        """All but output, a line each, for messages."""
        with self._grown:
            frames = [frame for frame in self._frames if frame["type"] != "claude.output"]
        return "\n" + "\n".join(
            f"{f.get('seq')} {f['type']} ({f.get('source')}) {json.dumps(f['data'])[:200]}" for f in frames
        )
