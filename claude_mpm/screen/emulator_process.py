"""The terminal emulator in a process of its own.

What Claude prints is hostile input, and the emulator is native code, which input has made crash (pyghostty 0.1.3,
one cell wide, with links): in here that would end Claude's session. There it ends the picture.
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

_ROOT = Path(__file__).parents[2]  # where the package is, installed or not


class EmulatorProcess:
    """One terminal. For one thread, but for kill(); close() ends the process and waits for it.

    Every method may block as long as the emulator is busy with what it was fed before.

    Raises:
        OSError: the process cannot be started.
        RuntimeError: the emulator has ended (any method).
    """

    def __init__(self, rows: int, cols: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "claude_mpm.screen.emulator", str(rows), str(cols)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",  # `-m` looks for modules in the working directory first, and that is anybody's
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *_inherited_path()])},
            start_new_session=True,  # no Ctrl-C of the terminal
        )
        self.is_held = False  # whether the program was in the middle of a repaint that it asked not to show

    def feed(self, text: str) -> None:
        self._send("feed", text)

    def resize(self, rows: int, cols: int) -> None:
        self._send("resize", rows, cols)

    def picture(self) -> Picture:
        """What the terminal shows after all that was fed."""
        self._send("picture")
        reply = self._receive()
        self.is_held = reply.pop("is_held")
        return Picture(**reply)

    def kill(self) -> None:
        """End it now, whatever it does; who waits for it fails. Any thread; does not block."""
        self._process.kill()

    def close(self) -> None:
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
        except OSError:  # it has ended; its last words are waiting
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
