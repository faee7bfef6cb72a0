"""What tests share: one time limit, and waiting for a condition without guessing how long it takes."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TIMEOUT = 10.0 * float(os.environ.get("CLAUDE_MPM_TEST_TIME", "1"))  # seconds; a deadline, never a wait
ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
_tick = threading.Event()  # never set: its wait() is the pause between two looks


def wait_until(condition: Callable[[], T], what: str = "the condition", timeout: float = TIMEOUT) -> T:
    """Look until `condition()` is true and return it; fail with `what` at the deadline."""
    deadline, pause = time.monotonic() + timeout, 0.0005
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {timeout:g} s")
        _tick.wait(pause)
        pause = min(pause * 2, 0.01)  # most things take a millisecond or two, and some are expensive to look at
    return value


def free_port() -> int:
    """A port of the IPv4 loopback that nobody listens on at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def held(post: Callable[[Callable[[], None]], object]) -> threading.Event:
    """Keep the thread that does what is posted to it busy until the returned event is set."""
    busy, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        go_on.wait(TIMEOUT)

    post(hold)
    assert busy.wait(TIMEOUT)
    return go_on


def open_fds() -> dict[int, str]:
    """This process's descriptors and what they are open on (Linux; elsewhere empty)."""
    found: dict[int, str] = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def child_pids() -> set[int]:
    """Direct children of this process, zombies too (Linux; elsewhere empty)."""
    try:
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    except OSError:
        return set()
