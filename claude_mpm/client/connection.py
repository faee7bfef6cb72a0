"""One WebSocket connection to a server, as a client. The only module that knows simple-websocket.

Only the documented names of simple-websocket are used. Its receive queue has no bound, so the thread that reads the
socket empties that queue before each read, into a FrameQueue that makes it wait: at most one read's worth of frames
(RECEIVE_BYTES, plus one message of MESSAGE_BYTES) is ever in the library's hands.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
from collections.abc import Callable

import simple_websocket
from wsproto.utilities import ProtocolError as WebSocketError  # simple-websocket lets these through

from claude_mpm.client.frame_queue import QUEUE_CHARS, Frame, FrameQueue
from claude_mpm.client.transport import URL, Transport, describe
from claude_mpm.errors import ConnectionFailed, ServerUnavailable
from claude_mpm.feed import event as ev

CLOSE_TIME = 1.0  # seconds to wait for the server's close frame
RECEIVE_BYTES = 64 * 1024  # one read
MESSAGE_BYTES = 16 * 1024 * 1024  # one message; a reply carries at most 4 MiB of events, an event far less
NO_STATUS = 1005  # what simple-websocket reports when no close frame came, or one without a code (RFC 6455 7.4.1)
LEAVING_CODES = (1001, 1012, 1013)  # close codes of a server that may be back: going away, restarting, overloaded

LIBRARY_ERRORS = (simple_websocket.ConnectionError, simple_websocket.ConnectionClosed, WebSocketError)

log = logging.getLogger(__name__)


class Connection:
    """A connection to one server; `open` once, then `send` from any thread, and `close`.

    Args:
        queue_chars: bound of `frames`, in characters of JSON text.
        attending: see Client.

    Attributes:
        frames: what the server sent.
        close_code, close_reason: what the server's close frame said; None when none has come.
    """

    def __init__(
        self, host: str, port: int, token: str | None, queue_chars: int = QUEUE_CHARS, attending: bool = True
    ) -> None:
        self.frames = FrameQueue(queue_chars)
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.transport: Transport | None = None
        self._host, self._port, self._token = host, port, token
        self._url = URL if attending else f"{URL}?attending=0"
        self._websocket: simple_websocket.Client | None = None
        self._opened = threading.Event()
        self._receiver: threading.Thread | None = None
        self._send_lock = threading.Lock()
        self._closing = False

    def open(self, timeout: float) -> None:
        """Connect and shake hands. Blocks for at most `timeout` seconds.

        Raises:
            ServerUnavailable: nobody listens, the server is too busy, or it does not answer in time.
            ConnectionFailed: refused, with the server's reason; or what listens is not a WebSocket server.
        """
        if self._token is not None and not (self._token.isascii() and self._token.isprintable()):
            raise ConnectionFailed("the token contains characters that no token has")
        self.transport = Transport(self._host, self._port, time.monotonic() + timeout, self._take_messages)
        try:
            self._websocket = self._shake_hands(self.transport)
        except BaseException:
            self.transport.release()
            raise
        finally:
            self._opened.set()  # an interrupted handshake may have started the receiver; it ends at once

    def _shake_hands(self, transport: Transport) -> simple_websocket.Client:
        headers = [("Authorization", f"Bearer {self._token}")] if self._token else []
        try:
            return simple_websocket.Client(
                self._url,
                headers=headers,
                receive_bytes=RECEIVE_BYTES,
                max_message_size=MESSAGE_BYTES,
                ssl_context=transport,
                thread_class=self._make_receiver,
            )
        except TimeoutError:
            raise ServerUnavailable(f"{transport.where} takes connections but does not answer") from None
        except (OSError, ValueError, *LIBRARY_ERRORS) as error:
            raise ConnectionFailed(f"{transport.where} is not a claude-mpm: {describe(error)}") from None

    def greeting(self, timeout: float) -> Frame:
        """The server's first frame, its `system.status`. Blocks for at most `timeout` seconds.

        Raises:
            ServerUnavailable: the server is about to leave or restart, or is too busy.
            ConnectionFailed: it is not a claude-mpm. The connection is closed, here and above.
        """
        try:
            frame = self.frames.get(timeout)
        except EOFError:
            frame = None
        if frame is not None and frame["type"] == ev.SYSTEM_STATUS and "instance_id" in frame:
            return frame
        self.close()
        where = f"{self._host}:{self._port}"
        if self.close_code in LEAVING_CODES:
            raise ServerUnavailable(f"{where} closed the connection at once: {self.close_reason or self.close_code}")
        raise ConnectionFailed(f"{where} is a WebSocket server, but not a claude-mpm")

    def send(self, text: str) -> None:
        """Send one message. Blocks for at most transport.SEND_TIME. Any thread.

        Raises:
            ServerUnavailable: the connection has ended, or the server takes nothing.
        """
        if self._websocket is None:
            raise ServerUnavailable("not connected")
        try:
            with self._send_lock:
                self._websocket.send(text)
        except (OSError, *LIBRARY_ERRORS) as error:
            raise ServerUnavailable(f"the connection is lost: {describe(error)}") from None

    def close(self) -> None:
        """Say goodbye, wait at most CLOSE_TIME for the server's, and join the receiver. Any thread, any number of times.

        Unread frames are discarded, and whoever waits for one is woken.
        """
        self.frames.end(discard=True)
        self._closing = True
        if self._websocket is None or self._receiver is None or self.transport is None:
            return
        try:
            self._websocket.close()
        except (OSError, *LIBRARY_ERRORS):
            pass  # it has ended already
        if self._receiver is not threading.current_thread():
            self._receiver.join(CLOSE_TIME)
            self.transport.shut_down()
            self._receiver.join()

    # --- the receiver thread ---

    def _make_receiver(self, target: Callable[[], None]) -> threading.Thread:
        # A daemon, so that a script which forgets close() can still exit.
        self._receiver = threading.Thread(target=self._receive, args=(target,), name="client-receiver", daemon=True)
        return self._receiver

    def _receive(self, read_until_end: Callable[[], None]) -> None:
        """Run simple-websocket's loop, which reads, parses, and answers pings until the connection ends."""
        self._opened.wait()
        assert self.transport is not None
        try:
            read_until_end()
            ended = self._take_messages()
            if ended is not None and ended.reason != NO_STATUS:
                self.close_code, self.close_reason = int(ended.reason), ended.message
                self._answer_close(self.transport, self.close_code)
        except Exception as error:  # the top of a thread
            log.warning("the connection to %s ended: %s", self.transport.where, describe(error))
        finally:
            self.transport.shut_down()
            self.transport.release()
            self.frames.end()

    def _take_messages(self) -> simple_websocket.ConnectionClosed | None:
        """Move whole messages from the library's queue to ours. Blocks while ours is full.

        Returns:
            how the connection ended, once it has.
        """
        if self._websocket is None:
            return None
        try:
            while (message := self._websocket.receive(timeout=0)) is not None:
                self.frames.append(message)
        except simple_websocket.ConnectionClosed as ended:
            return ended
        return None

    def _answer_close(self, transport: Transport, code: int) -> None:
        """Answer the server's close frame with one of the same code (RFC 6455 5.5.1); the library's client does not."""
        if self._closing:
            return  # the server's was the answer to ours
        payload, key = struct.pack("!H", code), os.urandom(4)
        masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
        try:
            transport.send(bytes([0x88, 0x80 | len(payload)]) + key + masked)
        except OSError:
            pass  # the server has left already
