"""The log file: size-bounded, written by a thread of its own so that no disk can hold up the session."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from claude_mpm.config import Limits

QUEUE_LINES = 1000  # lines waiting for a slow disk; more are dropped
_FORMAT = "%(asctime)s %(levelname)s %(process)d %(threadName)s %(name)s: %(message)s"


@contextmanager
def file_log(path: Path, limits: Limits, on_trouble: Callable[[str], None]) -> Iterator[None]:
    """While entered, write the program's log to `path`. `on_trouble` gets one sentence if that fails."""
    logging.raiseExceptions = False  # a log that fails must not print into Claude's terminal
    root = logging.getLogger("claude_mpm")
    root.setLevel(logging.INFO)
    root.propagate = False
    lines: queue.Queue[Any] = queue.Queue(QUEUE_LINES)
    handler = logging.handlers.QueueHandler(lines)
    writer = _Writer(lines, _File(path, limits, on_trouble))
    writer.start()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        if writer.stop():
            for target in writer.handlers:
                target.close()


class _Writer(logging.handlers.QueueListener):
    """The standard library's listener; its thread is a daemon, so a disk that hangs cannot keep us from ending."""

    _thread: threading.Thread | None

    def start(self) -> None:
        super().start()
        assert self._thread is not None
        self._thread.name = "log-writer"

    def stop(self) -> bool:  # type: ignore[override]
        """As in the base class, but waits a second at most: returns False if a disk hangs, and its file is then left alone."""
        thread, self._thread = self._thread, None
        assert thread is not None
        try:
            self.enqueue_sentinel()
        except queue.Full:
            return False
        thread.join(1.0)
        return not thread.is_alive()


class _File(logging.handlers.RotatingFileHandler):
    def __init__(self, path: Path, limits: Limits, on_trouble: Callable[[str], None]) -> None:
        super().__init__(
            path, maxBytes=limits.log_bytes, backupCount=limits.log_files - 1, encoding="utf-8", delay=True
        )
        self.setFormatter(logging.Formatter(_FORMAT))
        self._on_trouble = on_trouble
        self._told = False

    def _open(self):  # type: ignore[no-untyped-def]  # the standard library gives it no type we could name
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:
        """The disk is full or gone: tell the clients once. The session goes on."""
        if not self._told:
            self._told = True
            self._on_trouble(f"The log file {self.baseFilename} cannot be written")

    def close(self) -> None:
        """As in the base class. What a full disk did not take is lost, and clients were told."""
        with contextlib.suppress(OSError):
            super().close()
