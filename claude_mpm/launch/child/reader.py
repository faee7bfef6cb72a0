"""The threads that pass on what Claude writes: to the user first, then to the monitor."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from claude_mpm.system.signals import Signals

READ_SIZE = 65536
# bytes; more than a pipe or a PTY holds, so what comes beyond it after Claude's end is not Claude's
AFTER_END = 1024 * 1024
HandOn = Callable[[bytes], None]  # takes what the user already has; must not block


class Reader:
    """Thread `name`: passes on one of Claude's streams. A subclass says how, in `_copy`.

    Attributes:
        done: everything has been passed on; set before Signals.wake().
    """

    def __init__(
        self, name: str, hand_on: HandOn, remark: Callable[[str], None], drain_time: float, signals: Signals
    ) -> None:
        """`remark`: takes a sentence for the log."""
        self._hand_on = hand_on
        self._remark = remark
        self._drain_time = drain_time
        self._signals = signals
        self.done = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()

    def claude_ended(self) -> None:
        """Pass on what is left, then end: within drain_time, unless the user's own terminal or pipe takes longer.

        A grandchild that keeps the stream open is not waited for longer than that.
        """
        os.write(self._wake_write, b"f")

    def join(self) -> None:
        """When done: free what it holds."""
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        try:
            self._copy()
        except Exception as error:
            self._remark(f"{self._thread.name} failed: {type(error).__name__}: {error}")
        finally:
            self.done = True
            self._signals.wake()

    def _copy(self) -> None:
        """Read to the end of the stream, or as much as claude_ended() allows."""
        raise NotImplementedError
