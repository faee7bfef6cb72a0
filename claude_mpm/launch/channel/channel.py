"""The front's end of the channel to the monitor."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from claude_mpm.launch.channel.output_queue import OutputQueue
from claude_mpm.system.channel_format import LineReader, line
from claude_mpm.system.poll import wait_ready

MAX_REMARKS = 100  # sentences for the log that have not been sent yet
RELEASE_TIME = 0.2  # seconds; at Claude's end the port is waited for so long, and no longer
READ_SIZE = 65536


class Channel:
    """Tells the monitor what becomes of Claude, and hears what clients ask for. Main thread only, but for `output`.

    Nothing here ever waits for the monitor, except release(), for a moment. A monitor that has died, or was stopped,
    costs nothing but what it would have shown.

    Attributes:
        output: where the reader threads put what Claude wrote.
        notices: sentences of the monitor for the user, not shown yet.
        is_ready: the monitor has loaded its parts and reads what it is told.
    """

    def __init__(self, control_fd: int, data_fd: int | None, wake: Callable[[], None] = lambda: None) -> None:
        """`wake`: makes the main thread look at fileno() and `output.fileno()` again. Any thread calls it."""
        self._control: socket.socket | None = socket.socket(fileno=control_fd)
        self._control.setblocking(False)
        self._lines = LineReader()
        self._released = False
        self.is_ready = False
        self._remarks: deque[str] = deque(maxlen=MAX_REMARKS)
        self._wake = wake
        self.output = OutputQueue(None if data_fd is None else socket.socket(fileno=data_fd), wake)
        self.notices: list[str] = []

    def fileno(self) -> int | None:
        """Readable when there is something for read(); None: the monitor is gone."""
        return None if self._control is None else self._control.fileno()

    def tell(self, event: str, **fields: Any) -> None:
        """Tell the monitor one of the events in system/channel_format.py. Does not block."""
        if self._control is None:
            return
        message = line({"event": event, **fields})
        try:
            sent = self._control.send(message)
        except OSError:  # gone, or stopped with a full buffer: it will not be told anything any more
            sent = -1
        if sent != len(message):
            self._hang_up()

    def remark(self, sentence: str) -> None:
        """Have the monitor log a sentence. Any thread; does not block."""
        self._remarks.append(sentence)
        self._wake()

    def send_remarks(self) -> None:
        while self._remarks:
            self.tell("log", text=self._remarks.popleft())

    def read(self) -> list[dict[str, Any]]:
        """The clients' requests that have come. Does not block."""
        if self._control is None:
            return []
        try:
            data = self._control.recv(READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return []
        requests = []
        for message in self._lines.feed(data):
            if "request" in message:
                requests.append(message)
            elif isinstance(message.get("notice"), str):
                self.notices.append(message["notice"])
            elif message.get("ready") is True:
                self.is_ready = True
            elif message.get("released") is True:
                self._released = True
        return requests

    def release(self) -> bool:
        """After Claude's end: pass on the rest of its output, and wait until the monitor has given up the port.

        Blocks up to RELEASE_TIME. Returns False when the monitor did not answer: it has died or was stopped.
        """
        deadline = time.monotonic() + RELEASE_TIME
        while not (self._released and self.output.send()):
            control, data = self.fileno(), self.output.fileno()
            left = deadline - time.monotonic()
            if control is None or left <= 0:
                break
            wait_ready([control], [] if data is None else [data], left)
            self.read()
        return self._released

    def close(self) -> None:
        self.output.close()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None


def socket_pair() -> tuple[int, int]:
    """Two connected descriptors, both closed by exec. Raises OSError."""
    ends = socket.socketpair()
    return ends[0].detach(), ends[1].detach()


def close_all(*fds: int | None) -> None:
    for fd in fds:
        if fd is not None:
            os.close(fd)
