"""What Claude's terminal shows, from the output in the log.

Nothing is computed when nobody asks: the emulator stays where it was, and the log keeps the output. Who
looks gets the picture after a replay from there, or, when the log has let go of what comes next, anew from
the oldest kept.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Sequence
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Entry, Log
from claude_mpm.screen.emulator_process import EmulatorProcess
from claude_mpm.screen.pictures import Frames

log = logging.getLogger(__name__)

INTERVAL = 0.1  # seconds between two events; the eye does not read faster
HOLD_TIME = 0.5  # seconds a program may hold back the picture by synchronized output (mode 2026)
PICTURE_TIME = 5.0  # seconds picture() waits; a replay of 16 MiB takes a fraction of one
MIN_SIZE = (5, 20)  # rows, columns; in smaller terminals Ghostty's emulator can be made to crash (pyghostty 0.1.3)
MAX_SIZE = (500, 1000)  # larger is no terminal anybody looks at
MAX_SIZES = 256  # resizes remembered for a replay
BATCH = 64  # events of output read at a time
_RESUME = re.compile(r"[\x1b\n]")  # where text cut anywhere can be taken up: not inside a sequence


class Screen:
    """The terminal's picture: an event at most every INTERVAL while active, and on demand at any time.

    A failure of the emulator ends it with one `system.error`; from then on there is no picture.

    Args:
        log: where the output is read and the events go.
        size: (rows, cols) of the terminal when its output begins.
    """

    def __init__(self, log: Log, size: tuple[int, int]) -> None:
        self._log = log
        self._news = threading.Condition()  # guards the next seven
        self._sizes = _Sizes(_bounded(*size))
        self._active = False
        self._begins = False  # somebody new follows
        self._stopping = False
        self._wanted = 0  # pictures asked for
        self._answered = 0  # of these
        self._answer: dict[str, Any] | None = None
        self._emulator: EmulatorProcess | None = None  # from here on the thread's own
        self._is_fed = False
        self._frames = Frames()
        self._next = 0.0  # time.monotonic() before which no event is due
        self._held_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="screen")

    # --- any thread ---

    def start(self) -> None:
        self._follower = self._log.follow(0)
        self._follower.want({})
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. There is no picture any more. Does not block."""
        self._stopping = True
        self._wake()
        emulator = self._emulator
        if emulator is not None:
            emulator.kill()

    def join(self, timeout: float | None = None) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def set_active(self, active: bool) -> None:
        """Whether somebody follows `claude.screen`. The first event after it is the whole picture. Does not block."""
        with self._news:
            self._begins |= active and not self._active
            self._active = active
        self._wake()

    def resize(self, rows: int, cols: int) -> None:
        """The terminal has this size from what the log holds now on. Does not block."""
        with self._news:
            self._sizes.add(self._log.seq, _bounded(rows, cols))
        self._wake()

    def picture(self) -> dict[str, Any] | None:
        """The data of `claude.screen`, all rows, as of now. None when the screen is off. Blocks up to PICTURE_TIME."""
        with self._news:
            if not self._thread.is_alive():
                return None
            self._wanted += 1
            ticket = self._wanted
        self._wake()
        with self._news:
            self._news.wait_for(lambda: self._answered >= ticket or self._stopping, PICTURE_TIME)
            return self._answer if self._answered >= ticket else None

    def _wake(self) -> None:
        if self._thread.ident is not None:
            self._follower.wake()

    # --- the thread `screen` ---

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        except Exception as error:  # an extra that fails must cost its own picture and nothing else
            if not self._stopping:  # stop() kills the emulator
                log.error("the screen is off: %s: %s", type(error).__name__, error)
                self._log.append(ev.system_error(f"The screen is off: {error}", "screen", severity="warning"))
        finally:
            self._follower.close()
            if self._emulator is not None:
                self._emulator.close()
            with self._news:
                self._stopping = True
                self._news.notify_all()

    def _turn(self) -> None:
        with self._news:
            active, wanted = self._active, self._wanted
            begins, self._begins = self._begins, False
        if not active and wanted == self._answered:
            self._follower.want({})  # appends do not wake us
            self._follower.wait()
            return
        if begins:
            self._frames.begin()
        emulator = self._catch_up()
        if self._stopping:
            return
        self._frames.take(emulator.picture())
        if wanted > self._answered:
            self._reply(wanted)
        if active:
            self._show(emulator)

    def _reply(self, wanted: int) -> None:
        answer = dict(self._frames.full().data)
        with self._news:
            self._answer, self._answered = answer, wanted
            self._news.notify_all()

    def _show(self, emulator: EmulatorProcess) -> None:
        """Append what changed when it is due, else wait for the time or the output that it takes."""
        now = time.monotonic()
        if not emulator.is_held:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = now
        if now < self._next:
            self._follower.want({})
            self._follower.wait(self._next - now)
        elif self._held_since is not None and now < self._held_since + HOLD_TIME:
            self._follower.wait(self._held_since + HOLD_TIME - now)
        elif (event := self._frames.diff()) is not None:
            self._next = now + INTERVAL
            self._log.append(event)
        else:
            self._follower.wait()

    def _catch_up(self) -> EmulatorProcess:
        """Feed what the log has. Its follower wakes us for more output from here on."""
        emulator = self._emulator or self._begin()
        while not self._stopping:
            batch = self._follower.read((ev.CLAUDE_OUTPUT,), BATCH)
            if batch.gap is not None:
                emulator = self._begin()
            for entry in batch.entries:
                self._feed(emulator, entry)
            if not batch.entries:
                self._apply_sizes(emulator, self._follower.cursor)
                break
        return emulator

    def _begin(self) -> EmulatorProcess:
        if self._emulator is not None:
            self._emulator.close()
        with self._news:
            size = self._sizes.begin()
        self._emulator = emulator = EmulatorProcess(*size)
        self._is_fed = False
        return emulator

    def _feed(self, emulator: EmulatorProcess, entry: Entry) -> None:
        self._apply_sizes(emulator, entry.seq - 1)
        data = entry.message()["data"]
        if data["stream"] != "stdout":
            return
        text = data["content"]
        if not self._is_fed and data["offset"] > 0 and (place := _RESUME.search(text)):
            text = text[place.start() :]
        self._is_fed = True
        emulator.feed(text)

    def _apply_sizes(self, emulator: EmulatorProcess, seq: int) -> None:
        with self._news:
            sizes = self._sizes.until(seq)
        for rows, cols in sizes:
            emulator.resize(rows, cols)


def _bounded(*size: int) -> tuple[int, int]:
    """A size an emulator can have; a terminal that was never sized (0) is taken for 24×80."""
    rows, cols = (
        min(max(side, least), most) if side > 0 else usual
        for side, least, most, usual in zip(size, MIN_SIZE, MAX_SIZE, (24, 80), strict=True)
    )
    return rows, cols


class _Sizes:
    """The terminal's sizes, each with the number of the last event before it. Whoever owns it serialises the calls."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._sizes = [(0, size)]
        self._applied = 0

    def add(self, seq: int, size: tuple[int, int]) -> None:
        if size == self._sizes[-1][1]:
            return
        self._sizes.append((seq, size))
        if len(self._sizes) > MAX_SIZES:  # a replay from before the oldest begins with the oldest
            del self._sizes[0]
            self._applied = max(self._applied - 1, 0)

    def begin(self) -> tuple[int, int]:
        """The size that a replay begins with."""
        self._applied = 1
        return self._sizes[0][1]

    def until(self, seq: int) -> Sequence[tuple[int, int]]:
        """The sizes that come next and were there before what follows event `seq`."""
        start = self._applied
        while self._applied < len(self._sizes) and self._sizes[self._applied][0] <= seq:
            self._applied += 1
        return [size for _, size in self._sizes[start : self._applied]]
