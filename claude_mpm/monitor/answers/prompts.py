"""Prompts that clients enter: when that is safe, and how it is done.

Claude takes what is typed as the user's: with a draft in its box the prompt would be merged with it, with a dialog open
Enter would answer "1. Yes", and a text that begins with `!` or `/` is a command. So a prompt is entered only when
Claude is idle and nothing has been typed since the last prompt. Measured with Claude Code 1.0.128 to 2.1.331.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from claude_mpm.errors import ClaudeMpmError, ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event

# 1.x and 2.0 take an Enter that they read together with the paste for a part of it. So Enter waits until Claude has
# shown the paste, and so long after that (seconds).
ENTER_PAUSE = 0.3
ECHO_PAUSE, ECHO_TIME = 0.1, 5.0  # seconds between two looks whether it has, and until it must have
NO_ECHO = "Claude does not react"
RECORD_TIME = 5.0  # seconds until a prompt is recorded; Claude takes a tenth of a second
NOT_TAKEN = "Claude has not taken it; press Enter in the terminal"
MAX_PROMPT = 32 * 1024  # characters
COMMANDS = ("!", "/")  # how a text begins that Claude would run as a command
NOT_ENTERED = "a client's prompt was typed into Claude's box but not entered, because {reason}"


class Keyboard(Protocol):
    """How input reaches Claude, and when keys of anybody else last did, in seconds since the epoch."""

    def paste(self, text: str) -> None: ...

    def press_enter(self) -> None: ...

    def report_keys(self) -> None: ...

    @property
    def last_key(self) -> float: ...


class Prompts:
    """Enters prompts one at a time. Any thread may call anything; nothing blocks.

    Args:
        keyboard: Claude's.
        snapshot: the data of `system.status`.
        emit: appends an event to the log.
        output: the seq of the newest `claude.output`.
        later: runs a call in some thread after so many seconds; False if it will not.
    """

    def __init__(
        self,
        keyboard: Keyboard,
        snapshot: Callable[[], Mapping[str, Any]],
        emit: Callable[[Event], object],
        output: Callable[[], int],
        later: Callable[[float, Callable[[], None]], bool],
    ) -> None:
        self._keyboard = keyboard
        self._snapshot = snapshot
        self._emit = emit
        self._output = output
        self._later = later
        self._lock = threading.Lock()  # guards all below; times are seconds since the epoch
        self._is_entering = False
        self._pasted = 0.0  # when we last typed a prompt
        self._recorded = 0.0  # when the last prompt, whoever entered it, was recorded

    def start(self) -> None:
        """Be told when the user types. To be called once Claude runs: the front takes no requests before that."""
        self._keyboard.report_keys()

    def send_prompt(self, text: str, client: str) -> None:
        """Type `text`; Enter is pressed once Claude shows it.

        Raises:
            ProtocolError: `invalid_params` for a text that Claude would not take as a prompt, else `busy`.
            ClaudeMpmError: Claude has no terminal, or takes no input.
        """
        clean = _checked(text)
        with self._lock:
            reason = "another prompt is being entered" if self._is_entering else self._why_not(self._pasted)
            if reason is not None:
                raise ProtocolError("busy", reason)
            self._is_entering, self._pasted = True, time.time()
        try:
            self._emit(ev.system_control("send_prompt", client, {"characters": len(text)}))
            seen, deadline = self._output(), time.monotonic() + ECHO_TIME
            self._keyboard.paste(clean)
            if not self._later(ECHO_PAUSE, lambda: self._wait_for_echo(seen, deadline)):
                raise ClaudeMpmError("claude-mpm cannot press Enter at the moment")
        except ClaudeMpmError:
            with self._lock:
                self._is_entering = False
            raise

    def recorded(self, at: float | None) -> None:
        """A prompt was recorded: what was typed before it is no draft any more. `at`: seconds since the epoch."""
        with self._lock:
            self._recorded = max(self._recorded, time.time() if at is None else at)

    def _wait_for_echo(self, seen: int, deadline: float) -> None:
        """An idle Claude writes nothing, so what it writes after the paste is the paste. `seen`: its output before."""
        if self._output() > seen:
            self._later(ENTER_PAUSE, self._enter)
        elif time.monotonic() < deadline:
            self._later(ECHO_PAUSE, lambda: self._wait_for_echo(seen, deadline))
        else:
            with self._lock:
                self._is_entering = False
            self._say_not_entered(NO_ECHO)

    def _enter(self) -> None:
        """Press Enter, unless something has happened since that gives the key another meaning."""
        with self._lock:
            reason = self._why_not(0.0)
            self._is_entering = False
        try:
            if reason is None:
                self._keyboard.press_enter()
        except ClaudeMpmError as error:
            reason = str(error)
        if reason is not None:
            self._say_not_entered(reason)
        else:
            self._later(RECORD_TIME, self._look)

    def _look(self) -> None:
        """Whether the prompt was recorded. Enter is not pressed again: by now it could answer a dialog."""
        with self._lock:
            was_taken = self._recorded >= self._pasted
        if not was_taken:
            self._say_not_entered(NOT_TAKEN)

    def _say_not_entered(self, reason: str) -> None:
        self._emit(ev.system_error(NOT_ENTERED.format(reason=reason), "prompts", severity="warning"))

    def _why_not(self, pasted: float) -> str | None:
        """Why Enter would not submit exactly this prompt; None: it would. Needs the lock.

        `pasted`: when an earlier prompt was typed that may still be in the box.
        """
        assert self._lock.locked()
        now = self._snapshot()
        if now.get("questions") or now.get("activity") == "waiting":
            return "Claude waits for the user's answer"
        if now.get("activity") != "idle":
            return "Claude is not idle"
        if max(self._keyboard.last_key, pasted) > self._recorded:
            return "something has been typed in the terminal since the last prompt"
        return None


def _checked(text: str) -> str:
    """The text as it is pasted. Raises ProtocolError."""
    clean = text.strip().replace("\r\n", "\n").replace("\r", "\n")
    if not clean:
        raise ProtocolError("invalid_params", "text is empty")
    if len(clean) > MAX_PROMPT:
        raise ProtocolError("invalid_params", f"text has more than {MAX_PROMPT} characters")
    if clean.startswith(COMMANDS):
        raise ProtocolError("invalid_params", "text begins with ! or /, which Claude would run as a command")
    if any(not (character.isprintable() or character in "\n\t") for character in clean if ord(character) < 0xA0):
        raise ProtocolError("invalid_params", "text has control characters")  # ESC could end the paste
    return clean
