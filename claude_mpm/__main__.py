from __future__ import annotations

import os
import sys
import threading

from claude_mpm.cli import main


def run() -> None:
    """The console script: exits with main()'s code, even when a thread hangs on a disk that does not answer."""
    code = main()
    left = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if left:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
