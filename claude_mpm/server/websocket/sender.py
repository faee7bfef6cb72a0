"""The sending half of a WebSocket connection: the only code that writes to the client's socket."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

from claude_mpm.feed.selection import NOTHING, Selection
from claude_mpm.server.commands.commands import answer
from claude_mpm.server.commands.replies import Client, gap_message
from claude_mpm.server.commands.subscription import Due
from claude_mpm.server.websocket import frames
from claude_mpm.server.websocket.broadcaster import Broadcaster
from claude_mpm.server.websocket.connection_state import ConnectionState
from claude_mpm.server.websocket.fair_share import FairShare
from claude_mpm.server.websocket.frames import Closing, text_frame, text_frames
from claude_mpm.server.websocket.greeting import Greeting
from claude_mpm.server.websocket.tape import BATCH_BYTES, Tape
from claude_mpm.system.sockets import shut_down

SEND_SLICE = 5.0  # seconds; how long one send may block before it is checked whether the peer still takes anything
OFFER_BYTES = 256 * 1024  # sent to one client before the broadcaster turns to the next
FIRST_BATCH = 16  # events to read at once at first

log = logging.getLogger(__name__)


class Sender:
    """Executes a client's commands in order, and sends it everything it gets.

    Two threads write to the socket, in turns: the one that holds `_writing`. The thread `client-N-sender` holds it from
    the start and writes the greeting, replies, control frames, stored events and the close frame, blocking while the
    socket is full. When it has nothing to do it sleeps, and lends the socket by releasing the lock; then the
    broadcaster's thread may call offer(), which writes new events without blocking. What the socket does not take of
    them is kept in `_unsent`, and the sender is woken to write it before anything else. A client that is behind the
    broadcaster's tape is `_catching_up`: offers are declined until the sender has read the log up to its end.

    One reply exists at a time, so a client costs one reply's memory however many commands it sends.

    Args:
        state: shared with the receiver.
        client: whose commands are executed.
        greeting: the first message.
        broadcaster: sends the new events while this thread sleeps.
        changed: called by the sender thread when `selection` or `attends` has changed.
    """

    def __init__(
        self,
        state: ConnectionState,
        client: Client,
        greeting: Greeting,
        broadcaster: Broadcaster,
        changed: Callable[[], None],
    ) -> None:
        self.selection: Selection = NOTHING  # subscribed to; written by the sender thread
        self._state = state
        self._client = client
        self._subscription = client.subscription
        self._greeting = greeting
        self._broadcaster = broadcaster
        self._changed = changed
        self._slice = send_slice(state.limits.send_time)
        self._late_replies = client.late_replies
        self._late_replies.wake = state.wake
        self._share = FairShare()
        self._thread = threading.Thread(target=self._run, name=f"{client.name}-sender")
        self._writing = threading.Lock()  # guards the socket's sending side and the next two; see above
        self._unsent: list[memoryview] = []
        self._catching_up = False
        self._batch = min(FIRST_BATCH, state.limits.batch_events)  # events to read at once; adapts to their size
        self._was_full = False  # the socket was full a moment ago

    @property
    def attends(self) -> bool:
        """Whether the client may answer Claude, and attends. Any thread."""
        return self._client.trusted and self._client.attendance.present

    @property
    def cursor(self) -> int:
        """The seq up to which the client has been sent all live events."""
        return self._subscription.cursor

    def start(self) -> None:
        """Start the thread, and let the broadcaster send."""
        self._writing.acquire()  # on behalf of the thread
        self._broadcaster.add(self)
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread to end, which it does once `state.gone` is set and the socket is shut down."""
        if self._thread.ident is not None:
            self._thread.join()
        self._late_replies.close()
        self._broadcaster.remove(self)

    # --- the broadcaster's thread ---

    def offer(self, tape: Tape | None) -> bool:
        """Send what comes next from `tape`, if the socket is free. Does not block. Returns whether the tape holds more.

        The sender is woken for what only it can do: reading the log where the tape does not help, and waiting until a
        full socket takes the rest.
        """
        if not self._writing.acquire(blocking=False):
            return False  # the sender is at work; it asks for a round when it is done
        try:
            if self._unsent or self._catching_up:
                return False  # the sender has been woken
            if tape is not None and tape.selection != self.selection:
                return False  # they have just changed, so another round is due
            due = tape.after(self.cursor, OFFER_BYTES) if tape is not None and self._subscription.level else None
            if tape is None or due is None:
                self._catching_up = True
                self._state.wake()
                return False
            views, seq = due
            self._unsent = self._send_now(views)
            self._subscription.received(seq)
            if self._unsent:
                self._state.wake()
            return not self._unsent and seq < tape.cursor
        finally:
            self._writing.release()

    def _send_now(self, views: list[memoryview]) -> list[memoryview]:
        """Send what the socket takes at once; return the rest. The sender will meet the same error, so none is raised."""
        try:
            sent = self._state.sock.sendmsg(views, (), socket.MSG_DONTWAIT) if views else 0
        except OSError:
            sent = 0
        while views and sent >= len(views[0]):
            sent -= len(views.pop(0))
        return [views[0][sent:], *views[1:]] if views else []

    # --- the sender thread ---

    def _run(self) -> None:
        state = self._state
        try:
            self._write(self._greeting.frame(self._client))
            while not state.gone and state.closing is None:
                if self._finished():
                    state.closing = Closing(frames.GOING_AWAY, "the session is over")
                elif not self._send_next():
                    self._lend()
            if not state.gone:
                self._close()
        except OSError as error:  # the peer has gone, or takes nothing
            log.info("%s: %s", state.name, error)
            state.reset = True
            state.commands.close()  # wakes a receiver that has stopped reading
            shut_down(state.sock, socket.SHUT_RDWR)  # wakes one that reads
        except Exception as error:  # a fault of ours, which must not leave the client hanging
            log.error("%s: %s: %s", state.name, type(error).__name__, error)
            log.debug("%s", state.name, exc_info=True)
            self._fail()

    def _finished(self) -> bool:
        """Whether the server stops and the client has got all it is still to get."""
        last_seq = self._state.last_seq
        return last_seq is not None and not self._state.commands and not self._subscription.behind(last_seq)

    def _send_next(self) -> bool:
        """Send control frames, then one reply or one batch of events. False: there is nothing to send at the moment."""
        control = self._control_frames()
        if self._late_replies and not self._subscription.replaying:
            self._write(control + text_frame(self._late_replies.get()))
        elif self._may_answer():
            started = time.thread_time()
            self._write(control + self._answer())
            self._share.charge(time.thread_time() - started)
        elif control:
            self._write(control)
        elif self._subscription.replaying:
            started = time.thread_time()
            self._write(self._events())
            self._share.charge(time.thread_time() - started)  # a replay is a reply, too
        elif self._catching_up or self._state.last_seq is not None:
            self._write(self._events())
        else:
            return False
        return True

    def _may_answer(self) -> bool:
        """Whether there is a command to be executed now: not during a replay, nor before its client's turn has come,
        nor while the client has to take replies of other instances first."""
        state = self._state
        if not state.commands or self._subscription.replaying or self._late_replies.full:
            return False
        return state.last_seq is not None or self._share.rest() == 0

    def _lend(self) -> None:
        """Leave the socket to the broadcaster until there is something to do; then write what it could not."""
        state = self._state
        hurry, self._was_full = self._was_full, False
        rest = self._share.rest() if state.commands and not self._late_replies.full else None
        self._writing.release()
        try:
            if self._subscription.behind(self._client.log.seq):  # a round may have passed by while we held the socket
                (self._broadcaster.hurry if hurry else self._broadcaster.wake)()
            state.wait_for_work(rest)
        finally:
            self._writing.acquire()
        unsent, self._unsent = self._unsent, []
        self._was_full = bool(unsent)
        for view in unsent:
            self._write(view)

    def _fail(self) -> None:
        self._state.commands.close()
        self._state.closing = Closing(frames.INTERNAL_ERROR)
        try:
            self._close()
        except OSError as error:
            log.info("%s: %s", self._state.name, error)
        shut_down(self._state.sock, socket.SHUT_RD)  # wakes the receiver

    def _close(self) -> None:
        """Answer what was asked before the end; then send the close frame, and nothing after it."""
        state = self._state
        assert state.closing is not None
        self._write(self._control_frames())
        while state.commands and not self._subscription.replaying:
            self._write(self._answer())
        reason = "" if state.closing.by_peer else state.closing.reason
        self._write(frames.close_frame(state.closing.code, reason))
        state.close_sent = True
        # What is under way still arrives. A peer that sent a close sends no more; any other closes when it reads ours.
        shut_down(state.sock, socket.SHUT_RDWR if state.closing.by_peer else socket.SHUT_WR)

    def _control_frames(self) -> bytes:
        state = self._state
        out: list[bytes] = []
        while state.pongs:
            out.append(frames.pong_frame(state.pongs.popleft()))
        if state.ping_due:
            state.ping_due = False
            out.append(frames.ping_frame())
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
            self._batch = min(self._batch * 2, self._state.limits.batch_events)
        return data

    def _gap_frame(self, due: Due) -> bytes:
        assert due.gap is not None
        return text_frame(gap_message(self._client.log.instance_id, due.gap, due.reason))

    def _answer(self) -> bytes:
        """Execute the oldest command. Nothing is returned if another instance is going to answer it."""
        attended = self.attends
        reply = answer(self._client, self._state.commands.get())
        frame = b"" if reply is None else text_frame(reply)
        if self._subscription.selection != self.selection:
            self.selection = self._subscription.selection
            self._catching_up = True
            self._changed()
            self._broadcaster.wake()
        elif self.attends != attended:
            self._changed()
        return frame

    def _write(self, data: bytes | memoryview) -> None:
        """Send all of `data`. Blocks; raises OSError when the peer takes nothing for `send_time`."""
        if not data:
            return
        sock = self._state.sock
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
                if time.monotonic() - taken >= self._state.limits.send_time - self._slice:
                    raise TimeoutError("reset, the client takes nothing") from None
            else:
                self._state.heard = taken = time.monotonic()  # a full buffer got room: the peer lives


def send_slice(send_time: float) -> float:
    """Seconds one send may block. Short against `send_time`, which is thereby kept within a quarter."""
    return min(SEND_SLICE, send_time / 4)
