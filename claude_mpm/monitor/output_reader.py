"""Claude's output, from the front to the log."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.monitor.output import OutputDecoder
from claude_mpm.sources.files.tail import Lines
from claude_mpm.system.channel_format import (
    COUNT,
    SIZE,
    STDERR,
    STDERR_LOST,
    STDOUT,
    STDOUT_LOST,
    WINSIZE,
    Record,
    RecordReader,
    Stream,
)
from claude_mpm.system.poll import wait_ready

log = logging.getLogger(__name__)

READ_SIZE = 256 * 1024
_STREAMS: dict[int, Stream] = {STDOUT: "stdout", STDERR: "stderr", STDOUT_LOST: "stdout", STDERR_LOST: "stderr"}


class Received(NamedTuple):
    """Bytes of each stream that were received, or told as lost."""

    stdout: int
    stderr: int


class OutputReader:
    """Thread `output-reader`: reads the data socket, joins and decodes what came, appends it to the log.

    Args:
        data_fd: the monitor's end of the data socket; closed by the thread.
        on_size: called in the thread with the rows and columns of Claude's terminal, at the place in the output from
            which on they hold.
        on_line: called in the thread with each line of stdout; None where nobody reads lines (not in print mode).
    """

    def __init__(
        self,
        data_fd: int,
        events: Log,
        limits: Limits,
        on_size: Callable[[int, int], None],
        on_line: Callable[[bytes], None] | None,
    ) -> None:
        self._socket = socket.socket(fileno=data_fd)
        self._socket.setblocking(False)
        self._log = events
        self._on_size = on_size
        self._on_line = on_line
        self._records = RecordReader()
        self._lines = Lines(limits.line_bytes)
        self._join_time, self._join_bytes = limits.output_join, limits.output_join_bytes
        self._decoders: dict[Stream, OutputDecoder] = {}
        self._source: ev.Source = "process"  # until a size says that it is a terminal
        self._received = {"stdout": 0, "stderr": 0}
        self._expected: Received | None = None  # set by finish(); read after the wake
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="output-reader")

    def start(self) -> None:
        self._thread.start()

    def finish(self, expected: Received | None, timeout: float) -> None:
        """End when `expected` bytes have come, or the front has hung up (None: only then), or at the time limit.

        Blocks up to `timeout` seconds. What is missing then is told as a `system.error`.
        """
        if self._thread.ident is None:
            self._socket.close()
        else:
            self._expected = expected
            os.write(self._wake_write, b"f")
            self._thread.join(timeout)
            os.write(self._wake_write, b"s")
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)
        if expected is not None:
            for stream, count in expected._asdict().items():
                self._tell_lost(stream, count - self._received[stream])

    # --- the thread ---

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:
            log.exception("the output reader ended")
            self._log.append(ev.system_error(f"Claude's output is not shown any more: {error}", "output"))
        finally:
            for decoder in self._decoders.values():
                self._append(decoder.flush(final=True))
            if self._on_line is not None and (last_line := self._lines.rest()):
                self._on_line(last_line)
            self._socket.close()

    def _turn(self) -> bool:
        """Read once. False at the end."""
        deadlines = [d.deadline for d in self._decoders.values() if d.deadline is not None]
        timeout = max(min(deadlines) - time.monotonic(), 0.0) if deadlines else None
        ready, _ = wait_ready([self._socket.fileno(), self._wake_read], (), timeout)
        data: bytes | None = None
        if self._socket.fileno() in ready:
            data = self._receive()
            for record in self._records.feed(data):
                self._take(record)
        self._flush_due()
        if self._wake_read in ready and b"s" in os.read(self._wake_read, 16):
            return False
        return data != b"" and not self._has_everything()

    def _receive(self) -> bytes:
        """b"" at the end of the stream."""
        try:
            return self._socket.recv(READ_SIZE)
        except OSError:  # a front that was killed may reset the socket
            return b""

    def _has_everything(self) -> bool:
        expected = self._expected
        return (
            expected is not None
            and self._received["stdout"] >= expected.stdout
            and self._received["stderr"] >= expected.stderr
        )

    def _take(self, record: Record) -> None:
        kind, payload = record
        if kind == SIZE:
            self._source = "pty"
            self._flush_all()
            self._on_size(*WINSIZE.unpack(payload))
            return
        stream = _STREAMS.get(kind)
        if stream is None:
            return
        if kind in (STDOUT_LOST, STDERR_LOST):
            (count,) = COUNT.unpack(payload)
            self._append(self._decoder(stream).skip(count))
            self._received[stream] += count
            self._tell_lost(stream, count)
            return
        self._received[stream] += len(payload)
        self._append(self._decoder(stream).feed(payload, time.monotonic()))
        if kind == STDOUT and self._on_line is not None:
            for line in self._lines.feed(payload):
                self._on_line(line)

    def _decoder(self, stream: Stream) -> OutputDecoder:
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = OutputDecoder(stream, self._source, self._join_time, self._join_bytes)
            self._decoders[stream] = decoder
        return decoder

    def _flush_due(self) -> None:
        now = time.monotonic()
        for decoder in self._decoders.values():
            if decoder.deadline is not None and now >= decoder.deadline:
                self._append(decoder.flush())

    def _flush_all(self) -> None:
        for decoder in self._decoders.values():
            self._append(decoder.flush())

    def _append(self, events: list[ev.Event]) -> None:
        for event in events:
            self._log.append(event)

    def _tell_lost(self, stream: str, count: int) -> None:
        if count > 0:
            self._log.append(
                ev.system_error(
                    f"{count} bytes of Claude's {stream} are missing here: the monitor could not keep up",
                    "output",
                    severity="warning",
                )
            )
