"""How a process ended."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple


class ExitStatus(NamedTuple):
    """An exit code, or the name of the signal that ended the process; neither when nobody could tell."""

    code: int | None
    signal: str | None

    @classmethod
    def from_wait(cls, status: int) -> ExitStatus:
        """From a status of waitpid()."""
        code = os.waitstatus_to_exitcode(status)
        return cls(code, None) if code >= 0 else cls(None, _signal_name(-code))

    @property
    def shell_code(self) -> int:
        """As a shell tells it: the code, or 128 + the signal's number."""
        if self.signal is None:
            return self.code or 0
        number = int(self.signal) if self.signal.isdigit() else signal.Signals[self.signal].value
        return 128 + number


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)
