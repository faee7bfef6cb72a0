"""Lets the tools run straight from a checkout with any python3. This file must parse on every Python 3."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
NEEDED = ("simple_websocket", "wsproto", "psutil")


def use_checkout() -> None:
    """Make claude_mpm importable. If this Python lacks the libraries, run the tool again with that of .venv.

    Raises:
        SystemExit: with code 2, when neither has them; stderr says what to do.
    """
    sys.path.insert(1, str(ROOT))
    if sys.version_info >= (3, 10) and all(importlib.util.find_spec(name) for name in NEEDED):
        return
    python = VENV / "bin" / "python"
    if os.access(python, os.X_OK) and Path(sys.prefix) != VENV:
        os.execv(python, [str(python), *sys.argv])
    name = os.path.basename(sys.argv[0])
    sys.stderr.write(f"{name}: what it needs is not installed yet; run {ROOT / 'bin' / 'claude-mpm'} --version once\n")
    raise SystemExit(2)
