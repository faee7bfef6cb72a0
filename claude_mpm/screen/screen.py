"""What Claude's terminal shows, derived from the output in the log.

While nobody looks, nothing is computed: the emulator stays where it was, and the log keeps the output. When somebody
looks, the emulator catches up from there; or, if the log no longer holds what comes next, it starts anew with the oldest
output that is kept.
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
from claude_mpm.screen.pictures import PictureDiffs

log = logging.getLogger(__name__)

INTERVAL = 0.1  # seconds between two events; nobody reads faster
HOLD_TIME = 0.5  # seconds for which synchronized output (DEC private mode 2026) may hold back the picture
PICTURE_TIME = 5.0  # seconds that picture() waits; to replay a full log takes a fraction of one
MIN_SIZE = (5, 20)  # rows, columns; input can crash Ghostty's emulator in smaller terminals (pyghostty 0.1.3)
MAX_SIZE = (500, 1000)  # rows, columns; nobody looks at a larger terminal
MAX_SIZES = 256  # resizes that are remembered for a replay
BATCH = 64  # events of output read at a time
_RESUME = re.compile(r"[\x1b\n]")  # where output that begins anywhere is certainly not inside an escape sequence


class Screen:
    """The terminal's picture: as `claude.screen` events while active, at most one per INTERVAL, and at any time on demand.

    If the emulator fails, one `system.error` says so, and from then on there is no picture.

    Args:
        log: where the output is read and the events are appended.
        size: (rows, cols) of the terminal before its first output.
    """

    def __init__(self, log: Log, size: tuple[int, int]) -> None:
        self._log = log
        self._news = threading.Condition()  # guards the seven attributes below
        self._sizes = _Sizes(_bounded(*size))
        self._active = False
        self._restarts = False  # a new client follows: the next event must be the whole picture
        self._stopping = False
        self._wanted = 0  # how many times picture() asked
        self._answered = 0  # how many of these the answer below covers
        self._answer: dict[str, Any] | None = None
        # From here on the thread's own, but stop() kills the emulator.
        self._emulator: EmulatorProcess | None = None
        self._is_fed = False  # the emulator has had output
        self._diffs = PictureDiffs()
        self._next = 0.0  # time.monotonic() at which the next event may be appended
        self._held_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="screen")

    # --- any thread ---

    def start(self) -> None:
        """Start the thread. Once, by the owner."""
        self._follower = self._log.follow(0)
        self._follower.want({})
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; from then on there is no picture. Does not block; may be repeated."""
        self._stopping = True
        self._wake()
        emulator = self._emulator
        if emulator is not None:
            emulator.kill()

    def join(self, timeout: float | None = None) -> None:
        """Wait at most `timeout` seconds for the thread to end. Returns at once if it was never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def set_active(self, active: bool) -> None:
        """Say whether anybody subscribes to `claude.screen`; the first event is then the whole picture. Does not block."""
        with self._news:
            self._restarts |= active and not self._active
            self._active = active
        self._wake()

    def resize(self, rows: int, cols: int) -> None:
        """Note that the terminal has this size for the output that comes after what the log holds now. Does not block."""
        with self._news:
            self._sizes.add(self._log.seq, _bounded(rows, cols))
        self._wake()

    def picture(self) -> dict[str, Any] | None:
        """The data of `claude.screen` with all rows, as of now; None when there is none. Blocks for PICTURE_TIME at most."""
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
        except Exception as error:  # the picture is an extra: its failure must not cost anything else
            if not self._stopping:  # else it is only that stop() killed the emulator
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
            restarts, self._restarts = self._restarts, False
        if not active and wanted == self._answered:
            self._follower.want({})  # so that no append wakes this thread
            self._follower.wait()
            return
        if restarts:
            self._diffs.restart()
        emulator = self._catch_up()
        if self._stopping:
            return
        self._diffs.update(emulator.picture())
        if wanted > self._answered:
            self._reply(wanted)
        if active:
            self._show(emulator)

    def _reply(self, wanted: int) -> None:
        answer = dict(self._diffs.full().data)
        with self._news:
            self._answer, self._answered = answer, wanted
            self._news.notify_all()

    def _show(self, emulator: EmulatorProcess) -> None:
        """Append what changed if that is due; otherwise wait until it is, or for more output."""
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
        elif (event := self._diffs.diff()) is not None:
            self._next = now + INTERVAL
            self._log.append(event)
        else:
            self._follower.wait()

    def _catch_up(self) -> EmulatorProcess:
        """Feed the emulator all output in the log. From here on, more output wakes this thread."""
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
        self._emulator = emulator = EmulatorProcess.spawn(*size)
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
    """The nearest size that the emulator may have. A terminal that was never given a size (0) counts as 24 x 80."""
    rows, cols = (
        min(max(side, least), most) if side > 0 else usual
        for side, least, most, usual in zip(size, MIN_SIZE, MAX_SIZE, (24, 80), strict=True)
    )
    return rows, cols


class _Sizes:
    """The terminal's sizes, each with the number of the last event before it. Not thread-safe: the screen's lock guards it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._sizes = [(0, size)]
        self._applied = 0

    def add(self, seq: int, size: tuple[int, int]) -> None:
        if size == self._sizes[-1][1]:
            return
        self._sizes.append((seq, size))
        if len(self._sizes) > MAX_SIZES:  # a replay of even older output starts with the oldest size that is left
            del self._sizes[0]
            self._applied = max(self._applied - 1, 0)

    def begin(self) -> tuple[int, int]:
        """Start a replay: the size before the first output."""
        self._applied = 1
        return self._sizes[0][1]

    def until(self, seq: int) -> Sequence[tuple[int, int]]:
        """The next sizes that took effect before the output that follows event `seq`."""
        start = self._applied
        while self._applied < len(self._sizes) and self._sizes[self._applied][0] <= seq:
            self._applied += 1
        return [size for _, size in self._sizes[start : self._applied]]
