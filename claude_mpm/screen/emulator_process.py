"""The terminal emulator in a process of its own.

What Claude prints is hostile input, and the emulator is native code that such input has crashed before (pyghostty 0.1.3,
a terminal one cell wide, with links). In our own process a crash would end the monitor; here it ends only the picture.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from claude_mpm.screen.pictures import Picture

_ROOT = Path(__file__).parents[2]  # the directory that holds the package, in a checkout or installed


class EmulatorProcess:
    """One terminal. For one thread, except kill().

    Every method but kill() may block for as long as the emulator is busy with what it was fed, and raises RuntimeError
    once the emulator has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.is_held = False  # at the last picture the program was in the middle of a synchronized repaint

    @classmethod
    def spawn(cls, rows: int, cols: int) -> EmulatorProcess:
        """Start the emulator's process; close() ends it.

        Raises:
            OSError: the process cannot be started.
        """
        return cls(
            subprocess.Popen(
                [sys.executable, "-m", "claude_mpm.screen.emulator", str(rows), str(cols)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",  # `-m` searches the working directory first, and anybody may have put a module there
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *_inherited_path()])},
                start_new_session=True,  # the terminal's Ctrl-C must not reach it
            )
        )

    def feed(self, text: str) -> None:
        """Write `text` to the terminal."""
        self._send("feed", text)

    def resize(self, rows: int, cols: int) -> None:
        """Give the terminal another size."""
        self._send("resize", rows, cols)

    def picture(self) -> Picture:
        """What the terminal shows after everything it was fed. Waits for the emulator to get there."""
        self._send("picture")
        reply = self._receive()
        self.is_held = reply.pop("is_held")
        return Picture(**reply)

    def kill(self) -> None:
        """End the process at once; a method that waits for it raises. Any thread; does not block."""
        self._process.kill()

    def close(self) -> None:
        """End the process, wait for it and close its pipes."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _send(self, *request: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it has ended, and may have said why
            self._receive()
            raise RuntimeError("the emulator has ended") from None

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise RuntimeError(f"the emulator was killed by signal {-code}" if code < 0 else "the emulator has ended")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply


def _inherited_path() -> list[str]:
    path = os.environ.get("PYTHONPATH")
    return [path] if path else []
