"""Writes a running session to a file: every event of the log, as the protocol sends it, one JSON object per line.

The recorder follows the log with a cursor of its own, in a thread of its own. A slow disk therefore delays nothing: what
the log drops before it is written becomes a `system.gap` line. recording.py describes the file and reads it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from claude_mpm import __version__
from claude_mpm.archive.recording import END, SIZE, START
from claude_mpm.feed import event as ev
from claude_mpm.feed.entry import Entry, Gap
from claude_mpm.feed.log import Log
from claude_mpm.system import json_text

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024 * 1024  # of one recording; hours of a busy terminal
CLOSING_BYTES = 1024  # kept free for the line that says why a recording stops
BATCH = 256  # events taken from the log at a time
WRITE_BYTES = 1024 * 1024  # collected before they are written
SIZES_WAITING = 256  # resizes not written yet; while the disk hangs, the oldest are dropped
CHANNELS = ("*",)  # not `claude.screen`: the pictures follow from the output and the sizes


def recording_path(directory: Path, start_time: float, name: str) -> Path:
    """Where a run that began at `start_time` (seconds since the epoch) is recorded. `name`: a session or instance id.

    recording.of_session() finds it by that name.
    """
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(start_time))
    return directory / f"{began}-{name}.jsonl"


class Recorder:
    """Thread `recorder`: appends the log's events to a file until it is stopped, the file is full, or a write fails.

    The first failure is reported as one `system.error`; the session goes on without being recorded.

    Args:
        events: the log to record, from its first event on.
        path: the file to create. Its directory is created too; both are private to the user.
        size: rows and columns of Claude's terminal; None where it has none.
        max_bytes: the size the file may reach.
    """

    def __init__(self, events: Log, path: Path, size: tuple[int, int] | None, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._log = events
        self._room = max_bytes - CLOSING_BYTES  # bytes
        self._sizes: deque[_Size] = deque(maxlen=SIZES_WAITING)
        self._size: tuple[int, int] | None = None  # the newest one written
        if size is not None:
            self.resized(*size)
        self._stopping = threading.Event()
        self._fd = -1
        self._waiting: list[bytes] = []  # lines that are not written yet
        self._waiting_bytes = 0
        # A daemon: a thread that hangs in a write to a dead disk or network mount cannot be woken, and must not keep
        # the monitor from ending.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    # --- any thread ---

    def start(self) -> None:
        """Create the file and start the thread. Once, by the owner.

        Raises:
            OSError: the file cannot be created.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._follower = self._log.follow(0)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to write what the log holds by now and to end. Does not block; may be repeated."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._follower.wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait at most `timeout` seconds for the thread to end. Returns at once if it was never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def resized(self, rows: int, cols: int) -> None:
        """Note that Claude's terminal has this size from the next event on. Does not block."""
        self._sizes.append(_Size(self._log.seq, rows, cols))

    # --- the thread `recorder` ---

    def _run(self) -> None:
        try:
            self._line(START, {"version": 1, "claude_mpm_version": __version__})
            while self._follow():
                self._follower.wait()
        except _Full:
            self._report("it has reached its size limit")
        except OSError as error:
            self._report(f"{self.path}: {error.strerror or error}")
        except Exception as error:
            log.exception("the recorder failed")
            self._report(f"{type(error).__name__}: {error}")
        finally:
            self._follower.close()
            with suppress(OSError):
                os.close(self._fd)

    def _follow(self) -> bool:
        """Write what the log holds. False once the recording is complete."""
        stopping = self._stopping.is_set()  # looked at first: what was appended before stop() is still written
        while True:
            batch = self._follower.read(CHANNELS, BATCH)
            if batch.gap is not None:
                self._put(_gap_line(self._log.instance_id, batch.gap))
            for entry in batch.entries:
                self._event(entry)
            if not batch.entries:
                break
        self._write_sizes(before=self._follower.cursor + 1)
        if stopping:
            self._line(END, {"reason": "ended"})
        self._flush()
        return not stopping

    def _event(self, entry: Entry) -> None:
        self._write_sizes(before=entry.seq)
        self._put(entry.json + b"\n")

    def _write_sizes(self, before: int) -> None:
        """Write the sizes that the terminal got before event number `before`."""
        while self._sizes and self._sizes[0].seq < before:
            size = self._sizes.popleft()
            if (size.rows, size.cols) != self._size:
                self._size = (size.rows, size.cols)
                self._line(SIZE, {"rows": size.rows, "cols": size.cols})

    def _line(self, kind: str, data: dict[str, object]) -> None:
        """Write a line of the recording's own, which is not one of the log's events."""
        self._put(_own_line(kind, self._log.instance_id, data))

    def _put(self, line: bytes) -> None:
        if len(line) > self._room:
            self._waiting.append(_own_line(END, self._log.instance_id, {"reason": "full"}))
            self._flush()
            raise _Full
        self._room -= len(line)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Write the lines that wait. A write that fails leaves whole lines behind.

        Raises:
            OSError: the disk is full, or gone.
        """
        data = memoryview(b"".join(self._waiting))
        self._waiting, self._waiting_bytes = [], 0
        start = os.fstat(self._fd).st_size
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, start + bytes(data[:written]).rfind(b"\n") + 1)
            raise

    def _report(self, why: str) -> None:
        self._log.append(ev.system_error(f"The recording stops here: {why}", "recorder", severity="warning"))


class _Full(Exception):
    """The next line would make the file larger than it may be."""


class _Size(NamedTuple):
    seq: int  # of the last event before it
    rows: int
    cols: int


def _own_line(kind: str, instance_id: str, data: dict[str, object]) -> bytes:
    stamp = ev.rfc3339(time.time())
    return json_text.dumps({"type": kind, "timestamp": stamp, "instance_id": instance_id, "data": data}) + b"\n"


def _gap_line(instance_id: str, gap: Gap) -> bytes:
    event = ev.system_gap(gap.from_seq, gap.to_seq, gap.counts, "expired")
    stamp = ev.rfc3339(time.time())
    frame = {"type": event.type, "timestamp": stamp, "instance_id": instance_id, "source": event.source}
    return json_text.dumps({**frame, "data": event.data}) + b"\n"
