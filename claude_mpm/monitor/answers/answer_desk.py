"""Where Claude's hooks wait for answers, and where clients give them: a local socket in the spool, and one thread."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from claude_mpm.errors import ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Decision, Event
from claude_mpm.launch.command.answer_hook import GREETING_TIME
from claude_mpm.monitor.answers.question import TOO_LARGE, answer_line, parse
from claude_mpm.monitor.answers.waiting_hook import MAX_HOOKS, PayloadTooLarge, WaitingHook, listen
from claude_mpm.system.poll import wait_ready

log = logging.getLogger(__name__)

MAX_HELD = 1024 * 1024  # bytes of the payloads of all open questions; each greeting of a client repeats their inputs
MARGIN = 0.5  # seconds before the hook would give up by itself, so that we know why it ended
LOOK = 1.0  # seconds between two looks whether anybody is still there to answer an agent's question
ACCEPT_PAUSE = 0.2  # seconds; after accept() failed for want of descriptors or memory
MAX_SETTLED = 200  # request ids remembered, to say what became of them

OUT_OF_TIME = "nobody answered in time, so Claude asks in the terminal"
NOBODY_THERE = "no client was connected, so Claude asks in the terminal"
HOOK_ENDED = "Claude took the question back: it was answered in the terminal, or interrupted"
NOT_TAKEN = "Claude took the question back before the answer reached it"
TOO_MANY = "too many questions are open at once"
_EXPIRED = "this question is not open any more"


class Reports(Protocol):
    """What becomes of questions, told to whoever makes the events. Does not block."""

    def asked(self, request_id: str, question: dict[str, Any], at: float) -> None: ...

    def delivered(self, request_id: str, decision: Decision, client: str) -> None: ...

    def hook_ended(self, request_id: str | None, reason: str) -> None: ...


class AnswerDesk:
    """Holds open questions until they are answered, withdrawn or out of time.

    answer() and settle() may be called by any thread; everything else happens in the thread `answer-desk`, which alone
    uses the sockets. Nothing but start() and join() blocks.

    Args:
        spool: the private directory (0700) in which the hooks find the socket.
        emit: appends an event to the log.
        is_anybody_there: whether a client is connected that may answer.
    """

    def __init__(self, spool: Path, emit: Callable[[Event], object], is_anybody_there: Callable[[], bool]) -> None:
        self._spool = spool
        self._reports: Reports
        self._emit = emit
        self._is_anybody_there = is_anybody_there
        self._thread = threading.Thread(target=self._run, name="answer-desk")
        self._listening: socket.socket | None = None
        self._woken, self._wake = -1, -1
        self._hooks: list[WaitingHook] = []  # the thread's own
        self._lock = threading.Lock()  # guards everything below
        self._open: dict[str, WaitingHook] = {}  # by request id
        self._settled: dict[str, bool] = {}  # by request id, oldest first: whether a client's answer ended it
        self._to_close: list[str] = []
        self._stopped = False

    def start(self, reports: Reports) -> None:
        """Listen, and report what becomes of each question. Raises OSError where the system refuses the socket."""
        self._reports = reports
        self._listening = listen(self._spool)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._thread.start()

    def stop(self) -> None:
        """Let every hook go, in silence. Any thread; idempotent."""
        with self._lock:
            self._stopped = True
        self._nudge()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
            with self._lock:
                ends = () if self._thread.is_alive() or self._wake < 0 else (self._woken, self._wake)
                if ends:
                    self._woken = self._wake = -1
            for end in ends:
                os.close(end)

    # --- any thread ---

    def answer(self, request_id: str, decision: str, message: str | None, answers: object, client: str) -> None:
        """Give the waiting hook an answer; the first one counts. What becomes of it is told by `claude.question`.

        Raises:
            ProtocolError: `already_answered`, `expired`, or `invalid_params` (monitor/answers/question.py).
        """
        with self._lock:
            hook = self._open.get(request_id)
            if hook is None or hook.question is None or self._stopped:
                if self._settled.get(request_id):
                    raise ProtocolError("already_answered", "another answer came first")
                raise ProtocolError("expired", _EXPIRED)
            if hook.client is not None:
                raise ProtocolError("already_answered", f"{hook.client} answered first")
            line = answer_line(hook.question, decision, message, answers)
            hook.decision, hook.client = next(one for one in hook.question.decisions if one == decision), client
            tool = hook.question.tool
        detail: dict[str, Any] = {"request": request_id, "decision": decision, "tool": tool}
        if message is not None:
            detail["characters"] = len(message)
        self._emit(ev.system_control("answer", client, detail))  # before Claude can act on it
        with self._lock:
            hook.outgoing += line + b"\n"
        self._nudge()

    def settle(self, request_id: str) -> None:
        """The question is over, as Claude's records show: its hook, if it still waits, is let go."""
        with self._lock:
            if request_id in self._open:
                self._to_close.append(request_id)
        self._nudge()

    def _nudge(self) -> None:
        with self._lock:
            if self._wake >= 0:
                try:
                    os.write(self._wake, b"x")
                except BlockingIOError:  # it has been woken often enough
                    pass

    # --- the thread ---

    def _run(self) -> None:
        assert self._listening is not None
        try:
            while not self._stopped:
                self._turn(self._listening)
        except Exception as error:
            log.exception("the answer desk failed")
            self._emit(ev.system_error(f"questions can no longer be answered here: {error}", "answers"))
        finally:
            self._listening.close()
            for hook in list(self._hooks):
                self._let_go(hook)

    def _turn(self, listening: socket.socket) -> None:
        """Wait for something to do, and do it."""
        poll = select.poll()
        poll.register(listening, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        by_fd = {hook.fileno(): hook for hook in self._hooks}
        for fd, hook in by_fd.items():
            poll.register(fd, select.POLLIN | (select.POLLOUT if hook.outgoing else 0))
        for fd, events in poll.poll(self._time_to_wait()):
            if fd == self._woken:
                os.read(fd, 4096)
            elif fd == listening.fileno():
                self._accept(listening)
            else:
                self._serve(by_fd[fd], events)
        self._close_settled()
        self._look_at_the_clock()

    def _time_to_wait(self) -> float | None:
        """Milliseconds for poll(); None when no hook waits."""
        if not self._hooks:
            return None
        left = min(hook.deadline for hook in self._hooks) - time.monotonic()
        asks_agent = any(hook.question is not None and hook.question.agent_id for hook in self._hooks)
        return max(min(left, LOOK) if asks_agent else left, 0.0) * 1000 + 1

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock = listening.accept()[0]
        except BlockingIOError:
            return
        except OSError as error:  # no descriptors or memory left; the hook goes on waiting, or gives up by itself
            log.warning("a hook was not accepted: %s", error)
            wait_ready([self._woken], timeout=ACCEPT_PAUSE)
            return
        if len(self._hooks) >= MAX_HOOKS:
            sock.close()
            self._reports.hook_ended(None, TOO_MANY)
            return
        self._hooks.append(WaitingHook(sock, time.monotonic() + GREETING_TIME))

    def _serve(self, hook: WaitingHook, events: int) -> None:
        try:
            if events & select.POLLOUT:
                hook.send(self._lock)
            if events & ~select.POLLOUT:
                payload = hook.receive()
                if payload is not None:
                    self._ask(hook, payload)
                elif hook.has_taken and hook.request_id is not None and hook.decision and hook.client:
                    self._let_go(hook)
                    self._reports.delivered(hook.request_id, hook.decision, hook.client)
        except PayloadTooLarge:
            self._end(hook, TOO_LARGE)
        except ValueError:  # not our hook
            self._let_go(hook)
        except OSError:
            self._end(hook, NOT_TAKEN if hook.client is not None else HOOK_ENDED)

    def _ask(self, hook: WaitingHook, payload: bytes) -> None:
        """The payload is complete: open the question, or say why only the terminal can answer it."""
        try:
            question = parse(payload)
        except ValueError as error:
            self._end(hook, str(error))
            return
        if question.agent_id and not self._is_anybody_there():
            self._end(hook, NOBODY_THERE)
        elif sum(other.size for other in self._hooks) > MAX_HELD:
            self._end(hook, TOO_MANY)
        else:
            now, request_id = time.time(), f"q-{os.urandom(6).hex()}"  # no id of another run means anything here
            data = question.describe()
            if question.agent_id:
                data["expires_at"] = ev.rfc3339(now + question.wait - MARGIN)
            with self._lock:
                hook.question, hook.request_id = question, request_id
                hook.deadline = time.monotonic() + question.wait - MARGIN
                hook.outgoing = b"%.2f\n" % (question.wait - MARGIN / 2)
                self._open[request_id] = hook
            self._reports.asked(request_id, data, now)

    def _close_settled(self) -> None:
        with self._lock:
            closing = [self._open[request_id] for request_id in self._to_close if request_id in self._open]
            self._to_close.clear()
        for hook in closing:
            self._let_go(hook)

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        waiting: Iterable[WaitingHook] = list(self._hooks)
        for hook in waiting:
            if now >= hook.deadline:
                self._end(hook, OUT_OF_TIME)
            elif hook.question and hook.question.agent_id and hook.client is None and not self._is_anybody_there():
                self._end(hook, NOBODY_THERE)

    def _end(self, hook: WaitingHook, reason: str) -> None:
        """The hook's question cannot be answered any more, and nobody has been told yet."""
        self._let_go(hook)
        self._reports.hook_ended(hook.request_id, reason)

    def _let_go(self, hook: WaitingHook) -> None:
        """Close the connection; without a whole answer the hook ends in silence."""
        self._hooks.remove(hook)
        with self._lock:
            if hook.request_id is not None and self._open.pop(hook.request_id, None) is not None:
                self._settled[hook.request_id] = hook.client is not None
                if len(self._settled) > MAX_SETTLED:
                    del self._settled[next(iter(self._settled))]
        hook.close()
