"""A claude we started: what is the same on a PTY and on pipes."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from claude_mpm.config import Limits
from claude_mpm.launch.command import Command
from claude_mpm.launch.reader import Reader
from claude_mpm.launch.signals import Signals

log = logging.getLogger(__name__)

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # told to end: pass it on, then see to it


@dataclass(frozen=True)
class Exit:
    """How a process ended: an exit code, or the name of the signal that ended it."""

    code: int | None
    signal: str | None

    @classmethod
    def from_status(cls, status: int) -> Exit:
        """From what waitpid() gave."""
        code = os.waitstatus_to_exitcode(status)
        return cls(code, None) if code >= 0 else cls(None, signal_name(-code))

    @property
    def shell_code(self) -> int:
        """As a shell tells it: the code, or 128 + the signal's number."""
        if self.signal is None:
            return self.code or 0
        number = int(self.signal) if self.signal.isdigit() else signal.Signals[self.signal].value
        return 128 + number


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


class Child:
    """One claude process of ours. Main thread only, but for `ask_to_stop` and what a subclass says.

    Args:
        kill_tree: called with a signal number when Claude had to be told to end: ends what it left running.
    """

    def __init__(self, command: Command, signals: Signals, limits: Limits, kill_tree: Callable[[int], None]) -> None:
        self._command = command
        self._signals = signals
        self._limits = limits
        self._kill_tree = kill_tree
        self._pid: int | None = None
        self._exit: Exit | None = None
        self._stop_asked = False
        self._kill_at: float | None = None
        self._leave = False  # told to end: nobody waits any more for a terminal or pipe that takes nothing
        self._readers: Sequence[Reader] = ()

    @property
    def pid(self) -> int:
        assert self._pid is not None
        return self._pid

    def ask_to_stop(self) -> None:
        """End Claude as SIGTERM to us would. Any thread."""
        self._stop_asked = True
        self._signals.wake()

    def close(self) -> None:
        """After run(): wait until the user's terminal or pipe has taken the last byte, or until we are told to end.

        A terminal that takes nothing (held, or a stalled connection) keeps us here as it keeps `cat`; its reader thread
        is then left behind, blocked.
        """
        self._drain(None)

    def _drain(self, deadline: float | None) -> None:
        """Wait until the readers are done; no longer than `deadline` (monotonic) nor after a signal to end."""
        while self._readers and not self._leave:
            if all(reader.done for reader in self._readers):
                for reader in self._readers:
                    reader.join()
                self._readers = ()
                self._drained()
                return
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            select.select([self._signals.fd], [], [], left)
            self._leave = bool(self._signals.read() & {*FORWARDED, signal.SIGINT})
        if deadline is not None and self._kill_at is not None:
            self._leave = True

    def _drained(self) -> None:
        """The readers are done: nothing uses Claude's side any more."""
        raise NotImplementedError

    def _timeout(self) -> float | None:
        """How long the main loop may sleep."""
        if self._signals.pending():  # seen already, while we waited for the terminal
            return 0.0
        return None if self._kill_at is None else max(self._kill_at - time.monotonic(), 0.0)

    def _handle_signals(self) -> None:
        """What came since the last look; and the deadline of a stop that was asked for."""
        numbers = self._signals.read()
        if self._stop_asked:
            self._stop_asked = False
            numbers.add(signal.SIGTERM)
        for number in FORWARDED:
            if number in numbers:
                self._terminate(number)
        if signal.SIGINT in numbers:
            self._interrupt()
        if signal.SIGWINCH in numbers:
            self._resized()
        stopped = self._reap()
        if signal.SIGTSTP in numbers and not stopped and self._exit is None:
            self._suspend(stopped=False)
        if signal.SIGCONT in numbers and self._exit is None:
            self._continued()
        if self._kill_at is not None and time.monotonic() >= self._kill_at and self._exit is None:
            log.warning("claude (%d) did not end in %g s; killed", self.pid, self._limits.terminate_time)
            self._kill_at = None
            self._send(signal.SIGKILL)

    def _terminate(self, number: int) -> None:
        if self._kill_at is not None and number == signal.SIGHUP:
            return  # a terminal that goes is told twice: by the end of its input, and by the signal
        if self._kill_at is not None:
            number = signal.SIGKILL  # asked twice
        else:
            self._kill_at = time.monotonic() + self._limits.terminate_time
        self._kill_tree(0)  # remember who is there now: afterwards they have another parent
        self._send(number)

    def _send(self, number: int) -> None:
        if self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _reap(self) -> bool:
        """Collect Claude's end. Returns whether it had stopped itself (Ctrl-Z), and we with it."""
        stopped = False
        for status in self._statuses():
            if os.WIFSTOPPED(status):
                stopped = True
                self._suspend(stopped=True)
                continue
            self._exit = Exit.from_status(status)
            if self._kill_at is not None:
                self._kill_tree(signal.SIGKILL)
        return stopped

    def _statuses(self) -> list[int]:
        """What waitpid() says of Claude since the last call. Does not block."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """SIGINT came to us."""
        raise NotImplementedError

    def _suspend(self, stopped: bool) -> None:
        """Claude `stopped` itself, or we were told to (SIGTSTP). Returns when we run again."""
        raise NotImplementedError

    def _continued(self) -> None:
        """We were stopped, perhaps by a signal nobody can catch, and run again."""

    def _resized(self) -> None:
        """SIGWINCH came."""
