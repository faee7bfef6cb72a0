"""A claude we started: what is the same on a PTY and on pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.config import Limits
from claude_mpm.launch.channel.channel import Channel
from claude_mpm.launch.child.descendants import Descendants
from claude_mpm.launch.child.exit_status import ExitStatus
from claude_mpm.launch.child.reader import Reader
from claude_mpm.launch.command.command_line import Command
from claude_mpm.system.poll import wait_ready
from claude_mpm.system.signals import Signals

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # we are told to end: pass it on, then see to it


class Child:
    """One claude process of ours. Main thread only."""

    def __init__(self, command: Command, signals: Signals, limits: Limits, channel: Channel) -> None:
        self._command = command
        self._signals = signals
        self._limits = limits
        self._channel = channel
        self._descendants = Descendants()
        self._pid: int | None = None
        self._exit: ExitStatus | None = None
        self._kill_at: float | None = None
        self._leave = False  # we were told to end: a terminal or pipe that takes nothing is not waited for any more
        self._readers: Sequence[Reader] = ()

    @property
    def pid(self) -> int:
        assert self._pid is not None
        return self._pid

    def spawn(self) -> None:
        """Start Claude. Raises LaunchFailed when the system refuses."""
        raise NotImplementedError

    def run(self) -> ExitStatus:
        """Wait for Claude's end, and a moment for what it wrote last to be passed on. Then close()."""
        raise NotImplementedError

    def close(self) -> None:
        """After run(): wait until the user's terminal or pipe has taken the last byte, or until we are told to end.

        A terminal that takes nothing (held, or a stalled connection) keeps us here as it keeps `cat`. When we are told
        to end, its reader thread is left behind, blocked.
        """
        self._drain(None)

    # --- the main loop ---

    def _wait(self, readers: Sequence[int], writers: Sequence[int] = ()) -> tuple[set[int], set[int]]:
        """Block until a signal, a client's request, or one of the descriptors; do what the monitor wants."""
        control, data = self._channel.fileno(), self._channel.output.fileno()
        readers = [self._signals.fd, *readers, *(() if control is None else (control,))]
        readable, writable = wait_ready(readers, [*writers, *(() if data is None else (data,))], self._timeout())
        if control in readable:
            for request in self._channel.read():
                self._do(request)
        if data in writable:
            self._channel.output.send()
        self._channel.send_remarks()
        return readable, writable

    def _timeout(self) -> float | None:
        """How long the main loop may sleep."""
        if self._signals.pending():  # seen already, while we waited for the terminal
            return 0.0
        return None if self._kill_at is None else max(self._kill_at - time.monotonic(), 0.0)

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
            data = self._channel.output.fileno()
            wait_ready([self._signals.fd], [] if data is None else [data], left)
            self._channel.output.send()
            self._leave = bool(self._signals.read() & {*FORWARDED, signal.SIGINT})
        if deadline is not None and self._kill_at is not None:
            self._leave = True

    def _drained(self) -> None:
        """The readers are done: nothing uses Claude's side any more."""
        raise NotImplementedError

    # --- what clients ask for ---

    def _do(self, request: Mapping[str, Any]) -> None:
        name = request["request"]
        if name == "stop":
            self._terminate(signal.SIGTERM)
        elif name == "interrupt":
            self._interrupt_claude()
        else:
            self._do_on_terminal(request)

    def _interrupt_claude(self) -> None:
        """A client wants Claude to be interrupted."""
        raise NotImplementedError

    def _do_on_terminal(self, request: Mapping[str, Any]) -> None:
        """`input` and `resize`, which the monitor asks for only where Claude has a terminal."""

    # --- signals ---

    def _handle_signals(self) -> None:
        """What came since the last look; and the deadline after which Claude is killed."""
        numbers = self._signals.read()
        for number in FORWARDED:
            if number in numbers:
                self._terminate(number)
        if signal.SIGINT in numbers:
            self._interrupted()
        if signal.SIGWINCH in numbers:
            self._resized()
        stopped = self._reap()
        if signal.SIGTSTP in numbers and not stopped and self._exit is None:
            self._suspend(stopped=False)
        if signal.SIGCONT in numbers and self._exit is None:
            self._continued()
        if self._kill_at is not None and time.monotonic() >= self._kill_at and self._exit is None:
            self._channel.remark(f"claude ({self.pid}) did not end in {self._limits.terminate_time:g} s; killed")
            self._kill_at = None
            self._send(signal.SIGKILL)

    def _terminate(self, number: int) -> None:
        if self._kill_at is not None and number == signal.SIGHUP:
            return  # a terminal that goes is told twice: by the end of its input, and by the signal
        if self._kill_at is not None:
            number = signal.SIGKILL  # asked twice
        else:
            self._kill_at = time.monotonic() + self._limits.terminate_time
        self._descendants.remember(self.pid)
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
            self._exit = ExitStatus.from_wait(status)
            if self._kill_at is not None:
                self._descendants.kill()
        return stopped

    def _statuses(self) -> list[int]:
        """What waitpid() says of Claude since the last call. Does not block."""
        raise NotImplementedError

    def _interrupted(self) -> None:
        """SIGINT came to us."""
        raise NotImplementedError

    def _suspend(self, stopped: bool) -> None:
        """Claude `stopped` itself, or we were told to (SIGTSTP). Returns when we run again."""
        raise NotImplementedError

    def _continued(self) -> None:
        """We were stopped, perhaps by a signal nobody can catch, and run again."""

    def _resized(self) -> None:
        """SIGWINCH came."""
