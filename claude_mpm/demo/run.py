"""One session of the stand-in: a loop over steps that become due, keys and signals."""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from claude_mpm.demo.effects import Effect, File, Hook, Line, append_line, write_file
from claude_mpm.demo.hooks import Hooks
from claude_mpm.demo.plain import PlainLines
from claude_mpm.demo.records import Records
from claude_mpm.demo.screen import LABEL, View, burst
from claude_mpm.demo.story import CANNED, GO_ON, IN_A_TERMINAL, Step
from claude_mpm.demo.terminal import IN, Gone, Terminal, write

FRAME = 0.25  # seconds; one turn of the spinner
AGAIN = 2.0  # seconds; a second Ctrl-C within this time ends the session


class Quit(Exception):
    """The session ends with exit code `code`; `reason` is what the SessionEnd hook gets."""

    def __init__(self, code: int, reason: str = "other") -> None:
        super().__init__(code)
        self.code, self.reason = code, reason


class Run:
    """One session, from its start to its exit code. Main thread only.

    Without a terminal it prints what `claude -p` prints when that was asked for, and otherwise a line for every step. On
    a terminal that cannot move its cursor (TERM=dumb, or none) it prints lines, too, and takes no keys but signals.
    """

    def __init__(
        self, args: argparse.Namespace, root: Path, speed: float, hooks: dict[str, list[object]], steps: list[Step]
    ) -> None:
        cwd = os.path.realpath(os.getcwd())
        session_id = args.session_id or str(uuid.uuid4())
        if any(root.glob(f"projects/*/{session_id}.jsonl")):
            raise ValueError(f"Session ID {session_id} is already in use.")
        self._args, self._speed = args, speed
        interactive = not args.print and os.isatty(0) and os.isatty(1)
        has_cursor = os.environ.get("TERM", "") not in ("", "dumb")
        url = os.environ.get("CLAUDE_MPM_DEMO_URL", "")
        self._terminal = Terminal() if interactive and has_cursor else None
        self._records = Records(session_id, root, cwd, os.getpid(), interactive)
        self._view = View(url)
        only_tested = args.demo_wait or args.demo_size or args.demo_burst is not None
        is_test = only_tested or args.demo_exit is not None or args.demo_crash is not None
        as_lines = self._terminal is None and not args.print and args.output_format == "text" and not is_test
        self._plain = PlainLines(url) if as_lines else None
        played = [step for step in steps if interactive or step.kind not in IN_A_TERMINAL]
        self._steps = [] if only_tested else played
        self._last_quit = self._due = 0.0
        who = {"CLAUDE_PROJECT_DIR": cwd, "CLAUDE_CODE_SESSION_ID": session_id, "CLAUDE_PID": str(os.getpid())}
        mark = {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CODE_CHILD_SESSION": "1"}
        self._hooks = Hooks(hooks, cwd, {**who, **mark})

    def run(self) -> int:
        """Play the session and return its exit code. Takes over the signals of the process.

        Raises:
            OSError: a file of the session cannot be written.
        """
        self._signals, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH):
            signal.signal(number, lambda *_: None)  # the loop reads the byte from the pipe
        self._hooks.start()
        end = Quit(0)
        try:
            self._perform(self._records.start())
            if self._terminal is not None:
                self._terminal.enter(alternate=not self._args.demo_size)
            self._test_flags()
            if self._plain is not None:
                self._print(self._plain.head())
            self._next(time.monotonic())
            self._loop()
        except Gone:
            pass
        except Quit as asked:
            end = asked
        finally:
            if self._terminal is not None:
                self._terminal.leave()
            try:
                self._perform(self._records.finish(end.reason))
            finally:
                self._hooks.stop()
        if (self._terminal is not None or self._plain is not None) and end.code == 0:
            self._print("The demo is over: nothing you saw was real.")
        return end.code

    def _loop(self) -> None:
        watched = [self._signals] if self._terminal is None else [self._signals, IN]
        while self._steps or self._args.demo_wait or self._args.demo_size:
            now = time.monotonic()
            if self._steps and now >= self._due:
                self._play(self._steps.pop(0))
                continue
            wait = max(self._due - now, 0.0) if self._steps else None
            if self._terminal is not None and self._view.busy:
                wait = FRAME if wait is None else min(wait, FRAME)
            ready = select.select(watched, [], [], wait)[0]
            if self._signals in ready:
                for number in os.read(self._signals, 64):
                    self._signal(number)
            if self._terminal is not None and IN in ready:
                for key in self._terminal.read_keys():
                    self._key(key)
            self._draw()

    def _next(self, since: float) -> None:
        """Make the next step due, its own waiting time after `since`."""
        if self._steps:
            self._due = since + self._steps[0].wait / self._speed

    def _play(self, step: Step) -> None:
        self._view.apply(step)
        if self._plain is not None and (line := self._plain.of(step)):
            self._print(line)
        self._perform(self._records.apply(step))
        self._draw()
        if step.kind == "end":
            raise Quit(0)
        self._next(self._due)

    def _test_flags(self) -> None:
        args = self._args
        if self._terminal is None and (args.demo_exit, args.demo_crash, args.demo_burst) != (None, None, None):
            write(f"{LABEL}\r\n")
        self._draw()
        self._tell_size()
        if args.demo_burst is not None:
            write(burst(args.demo_burst))
        if args.demo_crash is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if args.demo_crash not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(args.demo_crash, signal.SIG_DFL)
            os.kill(os.getpid(), args.demo_crash)
        if args.demo_exit is not None:
            raise Quit(args.demo_exit)

    # --- what comes in ---

    def _signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._tell_size()
            if self._terminal is not None:
                self._terminal.forget()
        elif number == signal.SIGINT:
            if self._args.print and self._args.output_format == "text":
                self._print("Execution error")  # as `claude -p` does
            raise Quit(0)
        elif number == signal.SIGHUP and self._terminal is not None and self._terminal.gone():
            raise Quit(0)
        else:
            raise Quit(128 + number)

    def _key(self, key: str) -> None:
        view, now = self._view, time.monotonic()
        view.hint = ""
        if key in "\x03\x04":
            if now - self._last_quit < AGAIN:
                raise Quit(0, "prompt_input_exit")
            self._last_quit, view.typed, view.hint = now, "", "Press Ctrl-C again to exit"
        elif key == "\x1a" and self._terminal is not None:
            self._terminal.suspend()
            self._next(time.monotonic())
        elif key == "\x1b":
            self._interrupt()
        elif view.dialog is not None:
            if key in "\r\n1":
                self._approve()
        elif key in "\r\n":
            self._submit(view.typed.strip())
            view.typed = ""
        elif key in "\x7f\b":
            view.typed = view.typed[:-1]
        elif key == "q" and not view.typed:
            raise Quit(0, "prompt_input_exit")
        elif key.isprintable():
            view.typed += key

    def _submit(self, text: str) -> None:
        """Take up what the user typed: now, or as soon as the open call has ended, as Claude does."""
        if text in ("/exit", "/quit"):
            raise Quit(0, "prompt_input_exit")
        if not text:
            return
        use, steps = self._records.open_call(), self._steps
        ends = (n for n, step in enumerate(steps, 1) if step.kind == "result" and step.use == use)
        at = next(ends, 0) if use else 0
        heard = [Step("prompt", 0.0, text=text), Step("say", 1.5, text=CANNED)]
        steps[at:at] = heard if self._records.turn is not None else [*heard, Step("stop", 0.2)]
        if at == 0:
            self._next(time.monotonic())

    def _approve(self) -> None:
        answer = next(step for step in self._steps if step.kind == "answer")
        self._steps = [answer, *(s for s in self._steps if s is not answer and s.kind != "notice")]
        self._due = time.monotonic()

    def _interrupt(self) -> None:
        if self._records.turn is None:
            return
        use = self._records.open_call()
        self._perform(self._records.interrupt())
        self._view.interrupt()
        self._steps = [step for step in self._steps if not use or step.use != use]
        if self._steps:
            self._steps.insert(0, GO_ON)
        self._next(time.monotonic())

    # --- what goes out ---

    def _draw(self) -> None:
        if self._terminal is None or self._args.demo_size:
            return
        cols, rows = self._terminal.size()
        now = time.time()
        seconds = int(now - self._records.turn) if self._records.turn is not None else 0
        busy = self._view.busy and self._view.dialog is None
        sign = ("◐" if int(now) % 2 else "◑") if busy else "✳"
        lines = self._view.lines(cols, rows, int(now / FRAME), seconds)
        self._terminal.draw(lines, f"{sign} DEMO (not Claude)")

    def _tell_size(self) -> None:
        if self._terminal is not None and self._args.demo_size:
            cols, rows = self._terminal.size()
            write(f"{rows} {cols}\r\n")

    def _print(self, text: str) -> None:
        try:
            write(text + "\n")
        except Gone:
            pass  # nobody reads it any more; Claude works on to the end, too

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Hook):
                self._hooks.put(effect.payload)
            elif isinstance(effect, Line):
                append_line(effect)
            elif isinstance(effect, File):
                write_file(effect)
            elif self._args.output_format == "stream-json":
                self._print(json.dumps(effect.record))
            elif effect.record["type"] == "result" and self._plain is None:
                as_json = self._args.output_format == "json"
                self._print(json.dumps(effect.record) if as_json else effect.record["result"])
