"""Fails every test that leaves a thread, a child or a descriptor behind, and keeps tests out of the user's home."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import child_pids, open_fds, wait_until

# A script's `&` starts us with SIGINT and SIGQUIT ignored, `nohup` with SIGHUP. Programs inherit what is ignored, and
# so would all that the tests start: no test that sends one of them could pass.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

_SHARED_FD = ("/dev/", "anon_inode:[eventpoll]")  # /dev/urandom and the like, opened once and kept by libraries


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a child or a descriptor. Session fixtures are set up before this one looks."""
    threads, children, fds = set(threading.enumerate()), child_pids(), open_fds()
    yield

    def left() -> list[str]:
        found = [f"thread {t.name}" for t in threading.enumerate() if t not in threads]
        found += [f"child {pid}" for pid in child_pids() - children]
        found += [
            f"fd {fd} on {name}"
            for fd, name in open_fds().items()
            if fds.get(fd) != name and not name.startswith(_SHARED_FD)
        ]
        return found

    try:
        wait_until(lambda: not left())
    except AssertionError:
        pytest.fail(f"left behind: {', '.join(left())}")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME, and no variable of Claude's or ours in the environment."""
    path = tmp_path_factory.mktemp("home")
    ours = ("CLAUDE", "WEBSOCKET_TOKEN", "NOTIFY_URL", "PUBLISH", "REDIS_PASSWORD")
    for name in (*(f"CLAUDE_MPM_{each}" for each in ours), "CLAUDE_CONFIG_DIR", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(path))
    return path
