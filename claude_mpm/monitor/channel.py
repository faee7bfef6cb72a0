"""The monitor's end of the channel to the front: what the front tells, and what clients may do to Claude through it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

from claude_mpm.errors import ClaudeMpmError
from claude_mpm.system.channel_format import LineReader, line

log = logging.getLogger(__name__)

PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"  # bracketed paste (xterm)
INPUT_WAITING = 65536  # bytes of send_input that Claude has not taken yet; more is refused
READ_SIZE = 65536


class FrontChannel:
    """Control messages from and to the front. read() belongs to one thread, everything else to any; nothing blocks.

    Serves as `server.session_view.Control`: what a client with the right to may do to Claude. Those methods raise
    ClaudeMpmError when it cannot be done.
    """

    def __init__(self, control_fd: int, has_terminal: bool) -> None:
        """`has_terminal`: whether Claude runs on a terminal of the front's."""
        self._socket = socket.socket(fileno=control_fd)
        self._socket.setblocking(False)
        self._lines = LineReader()
        self._lock = threading.Lock()  # one writer at a time; guards the next two
        self._input_waiting = 0  # bytes
        self._is_open = True
        self._has_terminal = has_terminal
        self._last_key = 0.0

    @property
    def last_key(self) -> float:
        """When the user, or a client by send_input, last typed; seconds since the epoch. Known since report_keys()."""
        return self._last_key

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> list[dict[str, Any]] | None:
        """The events that have come; None: the front is gone, or has become Claude."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        events = []
        for message in self._lines.feed(data):
            if message.get("event") == "typed":
                with self._lock:
                    self._input_waiting -= message["bytes"]
            elif message.get("event") == "keys":
                self._last_key = message["time"]
            elif message.get("event") == "log":
                log.warning("the front says: %s", message.get("text"))
            elif "event" in message:
                events.append(message)
        return events

    def notice(self, sentence: str) -> None:
        """Something the user should know; the front shows it when Claude has left the terminal."""
        self._send({"notice": sentence})

    def ready(self) -> None:
        """We have loaded what we need, and read from now on."""
        self._send({"ready": True})

    def report_keys(self) -> None:
        """Be told from now on when the user types, though not what."""
        self._send({"request": "report_keys"})

    def release(self) -> None:
        """The port is free again."""
        self._send({"released": True})

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._socket.close()

    # --- asked for by clients ---

    def send_input(self, text: str) -> None:
        """Type `text` for Claude."""
        self._type(text)
        self._last_key = time.time()

    def paste(self, text: str) -> None:
        """Put `text` into Claude's box as a terminal pastes it, so that its line ends do not submit it."""
        self._type(f"{PASTE_START}{text}{PASTE_END}")

    def press_enter(self) -> None:
        """Submit what is in Claude's box."""
        self._type("\r")

    def _type(self, text: str) -> None:
        self._require_terminal()
        size = len(text.encode("utf-8", "replace"))
        with self._lock:
            if self._input_waiting + size > INPUT_WAITING:
                raise ClaudeMpmError("Claude reads no input at the moment")
            self._input_waiting += size
        self._request("input", text=text)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self._request("interrupt")

    def stop(self) -> None:
        """End Claude, as SIGTERM to claude-mpm does."""
        self._request("stop")

    def resize(self, cols: int, rows: int) -> None:
        """Size Claude's terminal, until the user's own changes."""
        self._require_terminal()
        self._request("resize", cols=cols, rows=rows)

    def _require_terminal(self) -> None:
        if not self._has_terminal:
            raise ClaudeMpmError("this Claude runs without a terminal")

    def _request(self, name: str, **fields: Any) -> None:
        if not self._send({"request": name, **fields}):
            raise ClaudeMpmError("Claude has ended, or claude-mpm is stopped")

    def _send(self, message: dict[str, Any]) -> bool:
        data = line(message)
        with self._lock:
            if not self._is_open:
                return False
            try:
                return self._socket.send(data) == len(data)
            except OSError:  # gone, or stopped and its buffer is full
                return False
