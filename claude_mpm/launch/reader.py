"""What passes on one of Claude's streams: a thread that reads, and where what it read goes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Literal, Protocol

from claude_mpm.launch.signals import Signals

log = logging.getLogger(__name__)

READ_SIZE = 65536
# bytes; more than a pipe or a PTY holds: what comes beyond, after Claude's end, is not Claude's
AFTER_END = 1024 * 1024


class OutputSink(Protocol):
    """Takes what Claude wrote, after the user has it. Must not block.

    `feed` is called with each piece, `tick` when `deadline` (monotonic seconds, or None) has come, all from the
    thread that reads this stream; `finish` once at its end.
    """

    def feed(self, data: bytes) -> None: ...

    def tick(self) -> None: ...

    def finish(self) -> None: ...

    @property
    def deadline(self) -> float | None: ...


SinkFor = Callable[[Literal["stdout", "stderr"]], OutputSink]


class Reader:
    """Thread `name`: passes on one of Claude's streams. A subclass says how, in `_copy`.

    Attributes:
        done: all has been passed on; set before Signals.wake().
    """

    def __init__(self, name: str, sink: OutputSink, drain_time: float, signals: Signals) -> None:
        self._sink = sink
        self._drain_time = drain_time
        self._signals = signals
        self.done = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()

    def claude_ended(self) -> None:
        """Pass on what is left, then end: within drain_time, but for the user's own terminal or pipe.

        A grandchild that keeps the stream open is not waited for longer.
        """
        os.write(self._wake_write, b"f")

    def join(self) -> None:
        """When done: free what it holds."""
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        try:
            self._copy()
        except Exception:
            log.exception("%s failed", self._thread.name)
        finally:
            self._sink.finish()
            self.done = True
            self._signals.wake()

    def _copy(self) -> None:
        """Read to the end of the stream, or to what claude_ended() allows."""
        raise NotImplementedError
