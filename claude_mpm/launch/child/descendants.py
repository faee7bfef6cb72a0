"""What Claude started and left running when it had to be told to end."""

from __future__ import annotations

import signal


class Descendants:
    """The processes below Claude at the moment it is told to end. psutil is loaded only then."""

    def __init__(self) -> None:
        self._identities: list[tuple[int, float]] = []

    def remember(self, pid: int) -> None:
        """Note who is below `pid` now: once it has ended they have another parent."""
        from claude_mpm.system.processes import descendants

        self._identities = descendants(pid)

    def kill(self) -> None:
        """End those of them that still run."""
        from claude_mpm.system.processes import signal_all

        signal_all(self._identities, signal.SIGKILL)
