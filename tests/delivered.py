"""What a source delivers, kept and waited for; what a hub passes on is held to docs/asyncapi.yaml."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from schemas import check
from support import TIMEOUT

from claude_mpm.fleet.source import Source

Frame = dict[str, Any]


class Delivered:
    """Takes frames from any thread. Not `checked`: a scripted server's, whose data are no more than a test needs."""

    def __init__(self, checked: bool = True) -> None:
        self._checked = checked
        self.frames: list[Frame] = []
        self._grown = threading.Condition()

    def take(self, frame: Frame) -> None:
        of_the_source = frame["type"] == "system.error" and "instance_id" not in frame
        if self._checked and not of_the_source:
            check(frame)
        with self._grown:
            self.frames.append(frame)
            self._grown.notify_all()

    def wait_for(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """Wait until `condition()`, looked at after each frame, is true, and return it."""
        value: Any = None

        def holds() -> Any:
            nonlocal value
            value = condition()
            return value

        with self._grown:
            if not self._grown.wait_for(holds, TIMEOUT):
                told = "\n".join(str(frame)[:300] for frame in self.frames)
                raise AssertionError(f"{what} never came; so far\n{told}")
        return value

    def of(self, instance_id: str) -> list[Frame]:
        """The frames about one instance, replies left out."""
        return [f for f in self.frames if f.get("instance_id") == instance_id and "request_id" not in f]

    def seqs(self, instance_id: str) -> list[int]:
        return [frame["seq"] for frame in self.of(instance_id) if "seq" in frame]

    def types(self, instance_id: str) -> list[str]:
        return [frame["type"] for frame in self.of(instance_id)]

    def listed(self) -> list[str]:
        """The ids in the newest list of instances."""
        lists = [f["data"]["instances"] for f in self.frames if f["type"] == "instances"]
        return [info["instance_id"] for info in lists[-1]] if lists else []

    def errors(self) -> list[Frame]:
        """The data of every `system.error` of the source itself."""
        return [f["data"] for f in self.frames if f["type"] == "system.error" and "instance_id" not in f]

    def wait_seqs(self, instance_id: str, seqs: list[int]) -> None:
        self.wait_for(lambda: self.seqs(instance_id)[-1:] == seqs[-1:], f"events {seqs}")
        assert self.seqs(instance_id) == seqs

    def wait_reply(self, request_id: str) -> Frame:
        found: list[Frame] = self.wait_for(
            lambda: [f for f in self.frames if f.get("request_id") == request_id], f"the reply {request_id}"
        )
        return found[0]

    def wait_error(self, words: str) -> Frame:
        """The data of the source's first `system.error` that has these words."""
        found: list[Frame] = self.wait_for(lambda: [e for e in self.errors() if words in e["error"]], words)
        return found[0]


@contextmanager
def started(source: Source, checked: bool = True) -> Iterator[Delivered]:
    """The source, delivering; ended afterwards."""
    delivered = Delivered(checked)
    source.start(delivered.take)
    try:
        yield delivered
    finally:
        source.stop()
        source.stop()
        assert source.join(TIMEOUT), "the source did not end"
