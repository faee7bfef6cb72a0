"""What is known of the run that is watched before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin

NOT_STARTED_HERE = "claude-mpm did not start this Claude and has no hook in it"
StartReason = Literal["startup", "clear", "resume", "compact", "attach"]


@dataclass(frozen=True)
class RunInfo:
    """The Claude that is to be watched.

    Attributes:
        config_dir: Claude's own directory (`~/.claude`).
        cwd: Claude's working directory.
        session_id: the id Claude will use; None when Claude picks one itself (resume, continue), or was attached to.
        version: Claude's, where it is known without running it: (2, 1, 330).
        print_mode: `-p`: its stdout may be stream-json.
        has_output: whether Claude's output passes through us.
        terminal_size: rows and columns of the terminal Claude gets from us; None when it gets none.
        spool: the private directory of the hooks; None when Claude runs without them.
        temporary: directories to remove at the end: the spool, a demo's world.
        unanswerable: why clients cannot answer Claude's dialogs, one sentence; None: a hook of Claude's waits for them.
        troubles: what went wrong before the session began, for the clients: (component, sentence).
    """

    config_dir: Path
    cwd: Path
    session_id: str | None = None
    version: tuple[int, int, int] | None = None
    print_mode: bool = False
    has_output: bool = False
    terminal_size: tuple[int, int] | None = None
    spool: Path | None = None
    temporary: tuple[Path, ...] = ()
    unanswerable: str | None = NOT_STARTED_HERE
    troubles: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ending:
    """How it ended. `code` and `signal` are None where only the parent of the process knows.

    Attributes:
        has_ended: False when Claude runs on and is only not watched any more.
        time: seconds since the epoch; None for now.
    """

    reason: str
    code: int | None = None
    signal: str | None = None
    has_ended: bool = True
    failed_to_start: bool = False
    time: float | None = None

    def status(self, pid: int | None) -> Event:
        """The last `claude.status`. `pid`: Claude's; None when it never ran."""
        has_failed = pid is None or self.signal is not None or self.code not in (None, 0)
        return ev.claude_status(
            "error" if has_failed else "stopped",
            origin=Origin("process"),
            pid=pid,
            message=self.reason,
            exit_code=self.code,
            signal=self.signal,
        )


def ending_of(event: Mapping[str, object]) -> Ending:
    """From the front's `exited` event (system/channel_format.py)."""
    code, signal, at = event.get("code"), event.get("signal"), event.get("time")
    return Ending(
        _reason(code if isinstance(code, int) else None, str(signal) if signal else None),
        code if isinstance(code, int) else None,
        str(signal) if signal else None,
        time=at if isinstance(at, float) else None,
    )


def _reason(code: int | None, signal_name: str | None) -> str:
    if signal_name is not None:
        return f"Claude was ended by {signal_name}"
    return "Claude ended" if code == 0 else f"Claude ended with exit code {code}"
