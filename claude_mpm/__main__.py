from __future__ import annotations

import os
import signal
import sys
import threading


def run() -> None:
    """The console script: exits with main()'s code, even when a thread hangs on a disk that does not answer."""
    _open_standard_streams()
    interruptible = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules load, Ctrl-C just ends us: no traceback
    from claude_mpm.cli.main import main

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main()
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the code is Claude's from here on
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _open_standard_streams() -> None:
    """A closed one (`>&-`) becomes /dev/null: else a socket or file of ours gets its number, and what is meant for it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    run()
