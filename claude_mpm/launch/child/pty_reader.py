"""Claude's terminal to the user's: the thread that copies what Claude writes."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections.abc import Callable

from claude_mpm.launch.child.modes import ModeTracker
from claude_mpm.launch.child.reader import AFTER_END, READ_SIZE, HandOn, Reader
from claude_mpm.launch.child.terminal import write_all
from claude_mpm.system.signals import Signals

LAG_TIME = 0.05  # seconds; what was written to a PTY shows at its other end a moment later
BLOCK_SIZE = 65536  # bytes; a read of a PTY gives 4 KiB at most, so what is done per read decides the speed
BLOCK_TIME = 0.005  # seconds after its first byte at which a block is handed on as it is


class PtyReader(Reader):
    """Thread `pty-reader`: Claude's bytes to the user's terminal as they come, then in blocks to the monitor."""

    def __init__(
        self,
        master: int,
        out_fd: int,
        hand_on: HandOn,
        remark: Callable[[str], None],
        drain_time: float,
        signals: Signals,
    ) -> None:
        """`master`: Claude's terminal, non-blocking. `out_fd`: the user's."""
        super().__init__("pty-reader", hand_on, remark, drain_time, signals)
        self._master = master
        self._out = out_fd
        self._modes = ModeTracker()
        self._settling = False  # settle() waits
        self._settled = threading.Event()
        self._block: list[bytes] = []  # what the monitor has not been given yet
        self._block_size = 0  # bytes
        self._block_due = 0.0  # when it is handed on, full or not
        self._until: float | None = None  # set when Claude has ended: the time to give up

    def settle(self, timeout: float) -> None:
        """Wait until what Claude has written so far is on the terminal, for `timeout` seconds at most."""
        self._settled.clear()
        os.write(self._wake_write, b"s")
        self._settled.wait(timeout)

    def _copy(self) -> None:
        try:
            self._pass_on()
            self._write(self._modes.undo())  # what Claude left on in the user's terminal
        finally:
            self._settled.set()

    def _pass_on(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        after_end = AFTER_END
        while after_end > 0:
            size, is_open = self._pass_some()
            after_end -= size if self._until is not None else 0
            if not is_open:
                break
            ready = dict(poll.poll(self._timeout()))
            if self._wake_read in ready:
                self._take_wake()
            elif not ready and self._until is not None and not self._block:
                break  # Claude is dead and nothing is left in its terminal
            if self._block and time.monotonic() >= self._block_due:
                self._hand_on_block()
        self._hand_on_block()

    def _timeout(self) -> float | None:
        """Milliseconds to wait for more; None: as long as it takes."""
        now = time.monotonic()
        times = [self._block_due - now] if self._block else []
        if self._until is not None:
            times.append(min(LAG_TIME, self._until - now))
        return max(min(times), 0.0) * 1000 if times else None

    def _take_wake(self) -> None:
        asked = os.read(self._wake_read, 64)
        self._settling |= b"s" in asked
        if b"f" in asked:
            self._until = time.monotonic() + self._drain_time

    def _pass_some(self) -> tuple[int, bool]:
        """Copy what is there, for BLOCK_TIME at most. Returns how many bytes that was, and whether more may come."""
        size, is_open, is_empty = 0, True, False
        until = time.monotonic() + BLOCK_TIME
        while is_open and not is_empty and time.monotonic() < until:
            try:
                data = os.read(self._master, READ_SIZE)
            except BlockingIOError:
                is_empty = True
                continue
            except OSError as error:
                if error.errno != errno.EIO:  # EIO: the last process closed the terminal
                    self._remark(f"Claude's terminal cannot be read: {error.strerror}")
                data = b""
            is_open = bool(data)
            self._write(data)
            size += len(data)
            if not self._block:
                self._block_due = time.monotonic() + BLOCK_TIME
            self._block.append(data)
            self._block_size += len(data)
            if self._block_size >= BLOCK_SIZE:
                self._hand_on_block()
        if is_empty and self._settling:  # only a look that began after settle() asked counts
            self._settling = False
            self._settled.set()
        return size, is_open

    def _hand_on_block(self) -> None:
        """Give the monitor what the user has had for a moment."""
        block = b"".join(self._block)
        self._block.clear()
        self._block_size = 0
        if block:
            self._modes.feed(block)
            self._hand_on(block)

    def _write(self, data: bytes) -> None:
        if self._out < 0 or not data:
            return
        try:
            write_all(self._out, data)
        except OSError:  # the user's terminal is gone: SIGHUP is on its way, Claude goes on until then
            self._out = -1
