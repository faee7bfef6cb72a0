"""One WebSocket client: its receiver thread reads and keeps time, its sender thread does everything else."""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from claude_mpm.config import Limits
from claude_mpm.server import frames
from claude_mpm.server.broadcaster import Broadcaster
from claude_mpm.server.command_queue import CommandQueue
from claude_mpm.server.commands import Client, answer, gap_message, status_reply
from claude_mpm.server.frames import Closing, FrameReader, Received, text_frame, text_frames
from claude_mpm.server.subscription import Due
from claude_mpm.server.tape import BATCH_BYTES, Tape

RECEIVE_BYTES = 16 * 1024
SEND_SLICE = 5.0  # seconds one send may block before it is looked at whether the client still takes anything
OFFER_BYTES = 256 * 1024  # the same for what the broadcaster offers; it is shared with the other clients
PAUSE_SLICE = 0.25  # seconds; a receiver that has stopped reading looks this often whether the server stops
PONGS_WAITING = 64  # unsent pongs; older ones may be skipped (RFC 6455, section 5.5.3)
_LINGER_RESET = struct.pack("ii", 1, 0)  # close() discards what is unsent and resets

log = logging.getLogger(__name__)


class Connection:
    """A client whose handshake is done. run() belongs to the receiver thread, which becomes `client-N-receiver`.

    The sender thread alone writes, follows the log and executes commands, in the order they came; so
    there is one reply in memory at a time, and no lock. The receiver alone measures time: it asks for
    pings, finds the peer dead even while the sender is stuck in a full buffer, and closes the socket.
    """

    def __init__(
        self,
        sock: socket.socket,
        client: Client,
        limits: Limits,
        stopping: int,
        broadcaster: Broadcaster,
        changed: Callable[[], None],
    ) -> None:
        """`stopping`: a descriptor that becomes readable when the server stops. `changed`: called when `types` did."""
        self.name = client.name
        self.types: frozenset[str] = frozenset()  # subscribed; written by the sender
        self._sock = sock
        self._client = client
        self._subscription = client.subscription
        self._limits = limits
        self._stopping = stopping
        self._changed = changed
        self._slice = min(SEND_SLICE, limits.send_time / 4)
        self._broadcaster = broadcaster
        self._writing = threading.Lock()  # whoever writes to the socket holds it: the sender, or the broadcaster
        self._unsent: list[memoryview] = []  # what the broadcaster could not send; guarded by _writing
        self._awake = threading.Lock()  # a binary semaphore, free when there is something for the sender to do
        self._sender = threading.Thread(target=self._send_all, name=f"{client.name}-sender")
        # From the receiver to the sender. Each is one assignment or one append, so no lock.
        self._commands = CommandQueue(limits.commands_waiting, limits.command_bytes_waiting)
        self._pongs: deque[bytes] = deque(maxlen=PONGS_WAITING)
        self._ping_due = False
        self._last_seq: int | None = None  # the server stops: what is in the log up to here, then 1001
        self._closing: Closing | None = None  # say this and nothing else
        self._gone = False  # nobody is there any more
        # The sender's own.
        self._batch = min(16, limits.batch_events)  # events to read at once; follows their size
        self._catching_up = False  # the events after the cursor are read from the log; written by the broadcaster too
        self._was_full = False  # we had to wait for room
        # From the sender to the receiver.
        self._said_goodbye = False
        self._reset = False  # the end is a reset, which frees what the kernel holds for the peer
        self._heard = time.monotonic()  # the last sign of life of the peer
        # The receiver's own.
        self._next_ping = self._heard + limits.ping_interval
        self._give_up_at: float | None = None  # nobody waits for the peer after this

    @property
    def cursor(self) -> int:
        """The seq up to which the client has received all live events."""
        return self._subscription.cursor

    def _wake(self) -> None:
        """Give the sender something to do. Any thread."""
        if self._awake.locked():
            try:
                self._awake.release()
            except RuntimeError:
                pass  # another thread was faster

    @property
    def trusted(self) -> bool:
        """Whether this client gave the token. Any thread."""
        return self._client.trusted

    # --- the receiver thread ---

    def run(self, rest: bytes) -> None:
        """Serve the client until it is gone. `rest`: what it sent behind its handshake. Blocks; closes the socket."""
        try:
            self._prepare()
            self._writing.acquire()  # for the sender
            self._broadcaster.add(self)
            self._sender.start()
            self._receive(rest)
        except OSError as error:
            log.info("%s: %s", self.name, error)
        finally:
            self._end()

    def _prepare(self) -> None:
        sock, limits = self._sock, self._limits
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
        set_send_time(sock, self._slice)

    def _receive(self, data: bytes) -> None:
        """Read until the peer is gone, found dead, or has had its time to say goodbye.

        While the command queue is full nothing is read, so TCP makes the peer wait.
        """
        reader = FrameReader(self._limits.message_bytes)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        received = reader.feed(data)
        while True:
            paused = not self._take(received)
            wait = self._time_to_wait(paused)
            if wait <= 0:
                return
            if paused:
                self._commands.wait_for_room(min(wait, PAUSE_SLICE))
                self._heard = time.monotonic()  # its silence proves nothing while nobody listens
            ready = dict(poll.poll(0 if paused else wait * 1000 + 1))
            if self._stopping in ready:
                poll.unregister(self._stopping)
                self._last_seq = self._client.log.seq
                self._give_up_at = self._give_up_at or time.monotonic() + self._limits.close_time
                self._wake()
            if self._sock.fileno() in ready and not paused:
                data = self._sock.recv(RECEIVE_BYTES)
                if not data:
                    return
                if self._closing is None:
                    self._heard = time.monotonic()
                    received = reader.feed(data)

    def _take(self, received: Iterator[Received]) -> bool:
        """Hand what was received to the sender. False: the command queue is full, and there may be more.

        Once the server stops, commands are no longer taken; otherwise a client that never pauses would have no end.
        """
        try:
            while self._closing is None:
                if self._commands.full and self._last_seq is None:
                    self._wake()
                    return False
                message = next(received, None)
                if message is None:
                    break
                if message.kind == "text" and self._last_seq is None:
                    self._commands.put(message.payload)
                elif message.kind == "ping":
                    self._pongs.append(message.payload)
        except Closing as closing:
            if not closing.by_peer:
                log.info("%s: closed with %d: %s", self.name, closing.code, closing.reason)
            self._closing = closing
        self._wake()
        return True

    def _time_to_wait(self, paused: bool) -> float:
        """Seconds until something has to be done although nothing was received; 0: the connection is to be closed.

        While the receiver is `paused`, no pong is read. Then only the sender can find the peer dead: it always has
        replies to send, and gives up when none of them is taken for `send_time`.
        """
        now, limits = time.monotonic(), self._limits
        if self._give_up_at is None and self._closing is not None:
            self._give_up_at = now + limits.close_time
        if self._give_up_at is not None:
            self._reset = now >= self._give_up_at and not self._said_goodbye
            return max(self._give_up_at - now, 0)
        if now >= self._next_ping:
            self._next_ping = now + limits.ping_interval
            self._ping_due = True
            self._wake()
        dead_at = self._heard + limits.ping_interval + limits.ping_time
        if now >= dead_at and not paused:
            log.info("%s: no sign of life, reset", self.name)
            self._reset = True
            return 0
        return self._next_ping - now if paused else min(self._next_ping, dead_at) - now

    def _end(self) -> None:
        """Wake the sender wherever it is, wait for it, close."""
        self._gone = True
        self._wake()
        if not self._said_goodbye:
            shut_down(self._sock, socket.SHUT_RDWR)  # before the reset: close() would not wake a blocked send
        if self._sender.ident is not None:
            self._sender.join()
        self._broadcaster.remove(self)
        if self._reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self._sock.close()

    # --- the broadcaster's thread ---

    def offer(self, tape: Tape | None) -> bool:
        """Send what comes next from `tape` if the socket is free. Does not block. True: there is more on the tape.

        The sender is woken for what only it can do: to read the log where the tape does not help, and to wait until
        a full socket takes the rest.
        """
        if not self._writing.acquire(blocking=False):
            return False  # the sender is at work, and asks for a round when it is done
        try:
            if self._unsent or self._catching_up:
                return False  # the sender is about to wake
            if tape is not None and tape.types != self.types:
                return False  # they have just changed, which calls for another round
            due = tape.after(self.cursor, OFFER_BYTES) if tape is not None and self._subscription.level else None
            if tape is None or due is None:
                self._catching_up = True
                self._wake()
                return False
            views, seq = due
            self._unsent = self._send_now(views)
            self._subscription.received(seq)
            if self._unsent:
                self._wake()
            return not self._unsent and seq < tape.cursor
        finally:
            self._writing.release()

    def _send_now(self, views: list[memoryview]) -> list[memoryview]:
        """Send what the socket takes without waiting; the rest. An error is left for the sender to meet."""
        try:
            sent = self._sock.sendmsg(views, (), socket.MSG_DONTWAIT) if views else 0
        except OSError:
            sent = 0
        while views and sent >= len(views[0]):
            sent -= len(views.pop(0))
        return [views[0][sent:], *views[1:]] if views else []

    # --- the sender thread ---

    def _send_all(self) -> None:
        try:
            self._write(text_frame(status_reply(self._client)))
            while not self._gone and self._closing is None:
                ending = self._last_seq is not None
                if ending and not self._commands and not self._subscription.behind(self._last_seq or 0):
                    self._closing = Closing(frames.GOING_AWAY, "the session is over")
                elif out := self._due():
                    self._write(out)
                elif not ending and not self._commands:  # a replay that just ended held them back
                    self._lend()
            if not self._gone:
                self._say_goodbye()
        except OSError as error:  # the peer went, or takes nothing
            log.info("%s: %s", self.name, error)
            self._reset = True
            self._commands.close()  # wakes a receiver that has stopped reading
            shut_down(self._sock, socket.SHUT_RDWR)  # wakes one that reads
        except Exception as error:  # ours; the client must not hang on it
            log.error("%s: %s: %s", self.name, type(error).__name__, error)
            log.debug("%s", self.name, exc_info=True)
            self._fail()

    def _lend(self) -> None:
        """Leave the socket to the broadcaster until there is something that only we can do; then finish what it began."""
        hurry, self._was_full = self._was_full, False
        self._writing.release()
        try:
            if self._subscription.behind(self._client.log.seq):  # the round may have passed by while we held the socket
                (self._broadcaster.hurry if hurry else self._broadcaster.wake)()
            self._awake.acquire()
        finally:
            self._writing.acquire()
        unsent, self._unsent = self._unsent, []
        self._was_full = bool(unsent)
        for view in unsent:
            self._write(view)

    def _fail(self) -> None:
        self._commands.close()
        self._closing = Closing(frames.INTERNAL_ERROR)
        try:
            self._say_goodbye()
        except OSError as error:
            log.info("%s: %s", self.name, error)
        shut_down(self._sock, socket.SHUT_RD)  # wakes the receiver

    def _say_goodbye(self) -> None:
        """What was asked before the end is answered; then the close frame, and nothing after it."""
        assert self._closing is not None
        out = [frames.pong_frame(payload) for payload in self._pongs]
        while self._commands and not self._subscription.replaying:
            out.append(self._answer())
        out.append(frames.close_frame(self._closing.code, "" if self._closing.by_peer else self._closing.reason))
        self._write(b"".join(out))
        self._said_goodbye = True
        # What is on its way still arrives. The peer that closed sends no more; another one closes when it reads this.
        shut_down(self._sock, socket.SHUT_RDWR if self._closing.by_peer else socket.SHUT_WR)

    def _due(self) -> bytes:
        """The frames to send now: control frames, then one reply, or as many events as make one batch."""
        out: list[bytes] = []
        while self._pongs:
            out.append(frames.pong_frame(self._pongs.popleft()))
        if self._ping_due:
            self._ping_due = False
            out.append(frames.ping_frame())
        if self._commands and not self._subscription.replaying:
            out.append(self._answer())
        elif not out and (self._catching_up or self._subscription.replaying or self._last_seq is not None):
            return self._events()
        return b"".join(out)

    def _events(self) -> bytes:
        """The next events, read from the log."""
        due = self._subscription.next(self._batch)
        data = text_frames([entry.json for entry in due.entries])
        if due.gap is not None:
            data = self._gap_frame(due) + data
        if len(due.entries) < self._batch:
            self._catching_up = False
        if len(data) > BATCH_BYTES:
            self._batch = max(self._batch // 2, 1)
        elif len(due.entries) == self._batch:
            self._batch = min(self._batch * 2, self._limits.batch_events)
        return data

    def _answer(self) -> bytes:
        frame = text_frame(answer(self._client, self._commands.get()))
        if self._subscription.types != self.types:
            self.types = self._subscription.types
            self._catching_up = True
            self._changed()
            self._broadcaster.wake()
        return frame

    def _gap_frame(self, due: Due) -> bytes:
        assert due.gap is not None
        return text_frame(gap_message(self._client.log.instance_id, due.gap, due.reason))

    def _write(self, data: bytes | memoryview) -> None:
        """Send all of `data`. Blocks; raises OSError when the peer takes nothing for `send_time`."""
        sock = self._sock
        try:
            sent = sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        view = memoryview(data)[sent:]
        taken = time.monotonic() if view else 0.0
        while view:
            try:
                view = view[sock.send(view) :]
            except BlockingIOError:
                if time.monotonic() - taken >= self._limits.send_time - self._slice:
                    raise TimeoutError("takes nothing, reset") from None
            else:
                self._heard = taken = time.monotonic()  # a full buffer got room: the peer lives


def set_send_time(sock: socket.socket, seconds: float) -> None:
    """How long a blocking send waits before it raises BlockingIOError."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1_000_000)))


def shut_down(sock: socket.socket, how: int) -> None:
    """shutdown(), which wakes whoever is blocked on the socket; it may be gone already."""
    try:
        sock.shutdown(how)
    except OSError:
        pass
