from __future__ import annotations

import contextlib
import os
import signal
import sys


def run() -> None:
    """The console script: exits with main()'s code, even when a thread hangs on a disk that does not answer."""
    _open_standard_streams()
    interruptible = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules load, Ctrl-C ends us without a traceback
    from claude_mpm.cli.main import main

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main()
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the code is Claude's from here on
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)  # quicker than taking the interpreter down, and a thread that hangs on a disk keeps nobody


def _open_standard_streams() -> None:
    """Open /dev/null in place of a closed one (`>&-`): else a socket of ours would get its number, and what is written to it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    run()
