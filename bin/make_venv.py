"""Make or renew .venv: `make_venv.py run|test`. Run by bin/make-venv, with nothing but the standard library.

A second start waits for the first. An environment whose making was interrupted is made again. A copy of setup.py is
written into it as the last step; as long as that equals setup.py, there is nothing to do.
"""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / "unfinished"  # exists from the first step of making .venv until the last


class Failed(Exception):
    """The text is one sentence for the user."""


def main(kind: str) -> int:
    """Make sure that .venv is ready for `kind` ("run" or "test"); return the exit code. Blocks while pip works."""
    lock = os.open(ROOT, os.O_RDONLY)  # a directory can be locked, which leaves no lock file behind
    try:
        _wait_for(lock)
        if not is_made(kind):
            make(kind, lock)
    except Failed as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the next start makes it again")
        return 130
    except OSError as error:
        _say(f"cannot make {VENV}: {error}")
        return 1
    return 0


def is_made(kind: str) -> bool:
    """Whether .venv has what the present setup.py asks for."""
    try:
        stamp = (VENV / f"made-for-{kind}").read_bytes()
    except OSError:
        return False
    return stamp == (ROOT / "setup.py").read_bytes() and os.access(PYTHON, os.X_OK)


def make(kind: str, lock: int) -> None:
    """Create or renew .venv. `lock` is an open descriptor that the programs started here inherit.

    Raises:
        Failed: a step failed; the next start tries again.
    """
    wanted = (ROOT / "setup.py").read_bytes()
    needed, extras = requirements(wanted.decode())
    for stamp in VENV.glob("made-for-*"):
        if stamp.read_bytes() != wanted or stamp.name == f"made-for-{kind}":
            stamp.unlink()
    _environment(lock)
    UNFINISHED.touch()
    packages = next(VENV.glob("lib/python3*/site-packages"))
    (packages / "checkout.pth").write_text(
        os.path.relpath(ROOT, packages) + "\n"
    )  # relative, so that a checkout can be moved
    if kind == "test":
        needed = needed + extras.get("test", [])
    _say(f"installing {', '.join(needed)}")
    code = _pip(lock, needed)
    if code < 0:
        raise Failed("pip was killed; the next start makes the environment again")
    # The terminal picture is optional, and its library does not exist for every machine.
    if code == 0 and extras.get("screen") and _pip(lock, ["--only-binary", ":all:", *extras["screen"]], quiet=True):
        _say("going on without the terminal picture: its library is not available for this machine")
    UNFINISHED.unlink()
    if code:
        raise Failed("pip could not install what is needed (its output is above); the next start tries again")
    for made in ("run",) if kind == "run" else ("run", "test"):
        new = VENV / "stamp.new"
        new.write_bytes(wanted)
        new.rename(VENV / f"made-for-{made}")
    _say("ready")


def requirements(setup_py: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return install_requires and extras_require of the source of a setup.py, without running it."""
    for node in ast.walk(ast.parse(setup_py)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup":
            named = {word.arg: word.value for word in node.keywords}
            return ast.literal_eval(named["install_requires"]), ast.literal_eval(named["extras_require"])
    raise Failed("setup.py has no setup(...) call")


def _environment(lock: int) -> None:
    """Create .venv with pip in it, replacing an unfinished or broken one."""
    if (
        VENV.exists()
        and not UNFINISHED.exists()
        and _run(lock, [PYTHON, "-I", "-m", "pip", "--version"], quiet=True) == 0
    ):
        _say(f"renewing {VENV}")
        return
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise Failed(
            "Python's venv module is missing; install it, on Debian and Ubuntu with: sudo apt install python3-venv"
        )
    _say(f"first start: making {VENV} (once, well under a minute)")
    if VENV.is_symlink() or VENV.is_file():
        raise Failed(f"{VENV} is not a directory; move it away")
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    UNFINISHED.touch()
    if _run(lock, [sys.executable, "-I", "-m", "venv", VENV]):
        raise Failed(
            "python3 -m venv failed (its output is above); on Debian and Ubuntu it may need: sudo apt install python3-venv"
        )


def _pip(lock: int, packages: list[str], quiet: bool = False) -> int:
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    return _run(lock, [PYTHON, "-I", "-m", "pip", "install", *options, *packages], quiet)


def _run(lock: int, command: list[str | Path], quiet: bool = False) -> int:
    """Run a command and return its exit code, negative for a signal.

    Its output goes to stderr, because stdout belongs to the program that is started afterwards. It inherits the lock, so
    that the lock is held even if we are killed before it ends.
    """
    to = subprocess.DEVNULL if quiet else sys.stderr
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=to, stderr=to, pass_fds=[lock]).returncode
    except OSError:
        return 127


def _wait_for(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("another start is making .venv; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _say(line: str) -> None:
    sys.stderr.write(f"claude-mpm: {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
