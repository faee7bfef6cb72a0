"""One WebSocket connection to a server, as a client: simple-websocket, and what it leaves out.

That is: time limits, whole sends, a bounded inbox, the reason of a refusal, what came in the same packet as the
handshake's answer, and a receiver thread that is joined. The only module that knows simple-websocket.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import threading
import time
from collections import deque
from typing import Any

from simple_websocket.errors import SimpleWebsocketError
from simple_websocket.ws import Base, Client
from wsproto import ConnectionType  # what simple-websocket's constructor wants, forgets to send, lets out
from wsproto.events import CloseConnection
from wsproto.utilities import ProtocolError as WebSocketError

from claude_mpm.errors import ConnectionFailed
from claude_mpm.system import json_text

Frame = dict[str, Any]  # one message of the protocol: `type`, `data`, and more (docs/protocol.md)

CLOSE_TIME = 1.0  # seconds to wait for the server's close frame
SEND_TIME = 5.0  # seconds for the server to take a command
HEAD_BYTES = 64 * 1024  # an HTTP answer larger than this is not ours
REASON_CHARS = 300  # of a refusal
MESSAGE_BYTES = 64 * 1024 * 1024  # one message; a whole history stays below this
INBOX_CHARS = 8 * 1024 * 1024  # unread text; when full, the receiver stops reading and the server tells the gap

log = logging.getLogger(__name__)


class ServerAway(ConnectionFailed):
    """Nothing there now, or too busy: the same attempt may succeed later."""


class Link:
    """An open connection. The constructor connects, and blocks for `timeout` seconds at most.

    `say` from any thread; `end` from any thread, any number of times.

    Raises:
        ServerAway: nobody listens, or not in time.
        ConnectionFailed: refused, with the server's reason; or what listens there is not a WebSocket server.
    """

    def __init__(self, host: str, port: int, token: str | None, timeout: float) -> None:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        deadline = time.monotonic() + timeout
        self.inbox = Inbox()
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConnectionFailed("the token has characters that no token has")
        try:
            sock = socket.create_connection((host, port), timeout)
        except ConnectionRefusedError:
            raise ServerAway(f"nothing listens on {where}; start one with: claude-mpm --websocket") from None
        except (OSError, OverflowError, UnicodeError) as error:
            raise ServerAway(f"cannot connect to {where}: {_words(error)}") from None
        wire = _Wire(sock, where, deadline)
        try:
            self._socket = _Socket(wire, where, token, self.inbox)
        except ConnectionFailed:
            wire.close()
            raise
        except (OSError, SimpleWebsocketError, WebSocketError) as error:
            wire.close()
            if isinstance(error, TimeoutError):
                raise ServerAway(f"{where} takes connections but does not answer") from None
            raise ConnectionFailed(f"{where} is not a claude-mpm: {_words(error)}") from None

    def say(self, text: str) -> None:
        """Send one message. Raises ServerAway when the connection is over or takes nothing."""
        try:
            self._socket.send(text)
        except (OSError, SimpleWebsocketError, WebSocketError) as error:
            raise ServerAway(f"the connection is lost: {_words(error)}") from None

    def end(self) -> None:
        """Close, wait for the server's goodbye for a second at most, join the receiver."""
        self.inbox.end(discard=True)
        self._socket.end()

    def code_and_reason(self) -> tuple[int | None, str | None]:
        """What the server's close frame said; (None, None) when none came."""
        return self._socket.told


class _Wire:
    """The socket as simple-websocket sees it: sends whole, and reads the answer to the handshake within its limits."""

    def __init__(self, sock: socket.socket, where: str, deadline: float) -> None:
        self._sock, self._where, self._deadline = sock, where, deadline
        self._answered = False
        self._send_lock = threading.Lock()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        with self._send_lock:
            self._sock.sendall(data)

    def recv(self, size: int) -> bytes:
        if self._answered:
            return self._sock.recv(size)
        self._answered = True
        return self._answer()

    def shutdown(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._sock.close()

    def _answer(self) -> bytes:
        """The head of the server's answer, and what came with it, if it is a 101."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = self._more()
            got += more
            if not more or len(got) > HEAD_BYTES or not got.startswith(b"HTTP/"[: len(got)]):
                raise ConnectionFailed(f"{self._where} is not a claude-mpm: it does not speak HTTP")
        status = got.split(b"\r\n", 1)[0].split(b" ", 2)[1:2]
        if status != [b"101"]:
            raise self._refusal(b"".join(status).decode("ascii", "replace"), got)
        self._sock.settimeout(None)
        limit = struct.pack("ll", int(SEND_TIME), 0)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return got

    def _refusal(self, status: str, got: bytes) -> ConnectionFailed:
        """An HTTP answer that is not the 101, as one sentence: its body's first line is the reason."""
        try:
            while len(got) < HEAD_BYTES and (more := self._more()):
                got += more
        except OSError:
            pass  # what came so far will do
        body = got.partition(b"\r\n\r\n")[2].decode("utf-8", "replace").strip()
        reason = "".join(c if c.isprintable() else " " for c in body.partition("\n")[0][:REASON_CHARS]).strip()
        said = f"{status} {reason}".strip()
        if status == "503":
            return ServerAway(f"{self._where} is too busy: {said}")
        if status in ("401", "403"):
            return ConnectionFailed(f"{self._where} refused the connection: {said}")
        return ConnectionFailed(f"{self._where} is not a claude-mpm: its answer was HTTP {said[:80]}")

    def _more(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock.recv(4096)


class _Socket(Client):  # type: ignore[misc]  # simple-websocket has no types
    """simple-websocket's client on a connected socket of ours."""

    def __init__(self, wire: _Wire, where: str, token: str | None, inbox: Inbox) -> None:
        self.host, self.path = where, "/"
        self.subprotocols: list[str] = []
        self.extra_headeers = [("Authorization", f"Bearer {token}")] if token else []
        self.inbox = inbox
        self.told: tuple[int | None, str | None] = (None, None)
        Base.__init__(
            self, wire, ConnectionType.CLIENT, 64 * 1024, max_message_size=MESSAGE_BYTES, thread_class=_receiver
        )

    def handshake(self) -> None:
        self.input_buffer = self.inbox
        super().handshake()
        self._handle_events()  # frames that came with the answer: the receiver would look at them only after the next
        self.connected = True  # if one was a goodbye, the receiver finds the end, and the reason is told

    def end(self) -> None:
        try:
            Base.close(self)  # not Client's, which closes the descriptor the receiver reads
        except (OSError, SimpleWebsocketError, WebSocketError):
            pass
        if self.thread is not threading.current_thread():
            self.thread.join(CLOSE_TIME)
            self.sock.shutdown()
            self.thread.join()

    def _handle_events(self) -> bool:
        going_on = bool(super()._handle_events())
        if not going_on:
            if self.close_reason != 1005:  # no code received
                self.told = int(self.close_reason), self.close_message
            try:
                self.sock.send(self.ws.send(CloseConnection(self.close_reason)))  # RFC 6455 5.5.1: answer a Close
            except (OSError, WebSocketError):
                pass  # it was the answer to ours
        return going_on

    def _thread(self) -> None:
        """The receiver: until the connection ends, whatever ends it. Closes the descriptor."""
        try:
            super()._thread()
        except Exception as error:  # the top of a thread
            log.warning("connection to %s ended: %s", self.host, _words(error))
        finally:
            self.connected = False
            self.sock.close()
            self.inbox.end()


def _receiver(target: Any) -> threading.Thread:
    # a daemon, so that a script which forgets close() can still exit
    return threading.Thread(target=target, name="client-receiver", daemon=True)


def _words(error: BaseException) -> str:
    """An exception's text without its class and number."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error) or errno.errorcode.get(error.errno or 0, "it failed")
    return str(error) or type(error).__name__


class Inbox:
    """What arrived and is not read yet: replies for who waits for them, the rest in order.

    simple-websocket appends to it in its receiver thread, and is made to wait when it is full. While somebody waits
    for a reply, which may stand behind events, it takes four times as much.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[tuple[Frame, int]] = deque()
        self._chars = 0
        self._replies: dict[str, Frame | None] = {}
        self._ended = False

    def append(self, message: str | bytes | bytearray) -> None:
        """Called by the receiver. Blocks while there is no room."""
        try:
            frame = json_text.loads(bytes(message) if isinstance(message, bytearray) else message)
        except ValueError as error:
            frame, message = None, f"{error}"
        if not (isinstance(frame, dict) and isinstance(frame.get("type"), str) and isinstance(frame.get("data"), dict)):
            log.warning("skipped a message that is not of the protocol: %.100r", message)
            return
        with self._changed:
            request_id = frame.get("request_id")
            if isinstance(request_id, str):
                if request_id in self._replies:
                    self._replies[request_id] = frame
                    self._changed.notify_all()
                return  # nobody waits for it any more
            self._changed.wait_for(lambda: self._ended or self._chars < INBOX_CHARS * (4 if self._replies else 1))
            if not self._ended:
                self._frames.append((frame, len(message)))
                self._chars += len(message)
                self._changed.notify_all()

    def get(self, timeout: float | None) -> Frame | None:
        """The next frame; None when time ran out; EOFError when there will be none."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._frames or self._ended, timeout):
                return None
            if not self._frames:
                raise EOFError
            frame, chars = self._frames.popleft()
            self._chars -= chars
            self._changed.notify_all()
            return frame

    def expect(self, request_id: str) -> None:
        with self._changed:
            self._replies[request_id] = None
            self._changed.notify_all()

    def reply(self, request_id: str, timeout: float) -> Frame | None:
        """The expected reply; None when time ran out; EOFError when it will not come."""
        with self._changed:
            self._changed.wait_for(lambda: self._replies[request_id] or self._ended, timeout)
            if self._replies[request_id] is None and self._ended:
                raise EOFError
            return self._replies[request_id]

    def forget(self, request_id: str) -> None:
        with self._changed:
            self._replies.pop(request_id, None)

    def end(self, discard: bool = False) -> None:
        """Nothing more comes; what is unread stays readable, unless it is to be discarded."""
        with self._changed:
            self._ended = True
            if discard:
                self._frames.clear()
            self._changed.notify_all()
