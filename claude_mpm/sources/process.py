"""Processes: how busy Claude's are and we are, when one that is not our child ends, and which is which.

psutil is loaded on first need: not before Claude is started.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)

Identity = tuple[int, float]  # a pid and when that process started: no later process has both

FRESH = 0.5  # seconds; a younger sample is given again: many askers cost no more than one
EXIT_POLL = 0.2  # seconds between two looks where the system has no pidfd
MIB = 1024 * 1024


# --- which process ---


def process_identity(pid: int) -> Identity | None:
    """`pid` and when it started; None: there is no such process, or only its zombie.

    The start is only good for comparing on this machine. On Linux it is in clock ticks since boot, because seconds
    since the epoch would change for all processes when the clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in b"ZXx" else (pid, float(fields[19]))
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return None
    except (OSError, IndexError, ValueError):
        return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else (pid, process.create_time())
    except (psutil.Error, ValueError):
        return None


def descendants(pid: int) -> list[Identity]:
    """The processes below `pid`, without ourselves. Empty when it is gone."""
    found = [process_identity(process.pid) for process in _tree(pid)[1:]]
    return [identity for identity in found if identity is not None]


def signal_all(identities: Iterable[Identity], number: int) -> None:
    """Send signal `number` to those that still run; a pid that is another process by now is spared."""
    for identity in identities:
        with suppress(ProcessLookupError, PermissionError):
            if not hasattr(os, "pidfd_open"):
                if process_identity(identity[0]) == identity:
                    os.kill(identity[0], number)
                continue
            pidfd = os.pidfd_open(identity[0])
            try:
                if process_identity(identity[0]) == identity:
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)


def _tree(pid: int) -> list[psutil.Process]:
    """`pid` and all below it, but not ourselves: after an exec we are Claude's child."""
    import psutil

    try:
        top = psutil.Process(pid)
        return [top, *(child for child in top.children(recursive=True) if child.pid != os.getpid())]
    except (psutil.Error, ValueError):
        return []


@dataclass(frozen=True)
class Surroundings:
    """Where a process works and where its user's files are. Nothing else of its environment is kept: it has secrets."""

    cwd: Path
    home: str | None
    claude_config_dir: str | None


def surroundings(pid: int) -> Surroundings:
    """Of a process of our own user.

    Raises:
        ProcessLookupError: there is none.
        PermissionError: it is somebody else's.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if hasattr(os, "getuid") and process.uids().real != os.getuid():
            raise PermissionError(f"process {pid} is another user's")
        environ = process.environ()
        return Surroundings(Path(process.cwd()), environ.get("HOME"), environ.get("CLAUDE_CONFIG_DIR"))
    except (psutil.NoSuchProcess, ValueError):
        raise ProcessLookupError(f"no process {pid}") from None
    except psutil.AccessDenied:
        raise PermissionError(f"process {pid} does not let itself be looked at") from None


def companions(pid: int) -> list[int]:
    """Other processes of the same user, name and working directory, but those above and below `pid`: a second claude
    in the same project. Empty when `pid` is gone. Looks at every process: tens of milliseconds."""
    import psutil

    try:
        process = psutil.Process(pid)
        name, cwd, user = process.name(), process.cwd(), process.uids().real
        family = {pid, *(p.pid for p in process.parents()), *(p.pid for p in process.children(recursive=True))}
    except (psutil.Error, ValueError):
        return []
    found = []
    for other in psutil.process_iter():
        with suppress(psutil.Error):
            if other.pid not in family and other.name() == name and other.uids().real == user and other.cwd() == cwd:
                found.append(other.pid)
    return found


# --- its end ---


class ExitWatch:
    """Waits for the end of a process that is not our child. For one thread; close() or `with` when done."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._identity = process_identity(pid)
        self._pidfd: int | None = None
        if self._identity is not None and hasattr(os, "pidfd_open"):
            with suppress(OSError):  # gone just now, or a kernel before 5.3
                self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int | None:
        """A descriptor that is readable when the process has ended; None: this system has none, or it is gone."""
        return self._pidfd

    def wait(self, wake_fd: int | None = None, timeout: float | None = None) -> bool:
        """Block until the process ended (True), or `wake_fd` is readable or `timeout` seconds passed (False)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        poller = select.poll()
        for fd in (self._pidfd, wake_fd):
            if fd is not None:
                poller.register(fd, select.POLLIN)
        while self._runs():
            left = EXIT_POLL if self._pidfd is None else None
            if deadline is not None:
                rest = max(deadline - time.monotonic(), 0.0)
                left = rest if left is None else min(left, rest)
            ready = poller.poll(None if left is None else left * 1000)
            if any(fd == wake_fd for fd, _ in ready) or (deadline is not None and time.monotonic() >= deadline):
                return not self._runs()
        return True

    def _runs(self) -> bool:
        return self._identity is not None and process_identity(self._pid) == self._identity

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def __enter__(self) -> ExitWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


# --- how busy ---


class ProcessSampler:
    """Measures Claude's process tree and ourselves; a thread `process-sampler` ticks while somebody wants it.

    Args:
        pid: Claude's process, None while there is none.
    """

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid
        self._lock = threading.Lock()  # guards the next three
        self._sample: dict[str, Any] = {}
        self._taken = float("-inf")
        self._cpu: dict[Identity, float] = {}  # seconds used up to then, per process
        self._wanted = threading.Condition(threading.Lock())  # guards the next two
        self._active = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def sample(self) -> dict[str, Any]:
        """`process` (None: there is none) and `monitor` of `system.status`. Any thread; takes some milliseconds.

        `cpu_percent` is of one core, since the sample before, the first time since the process started; `memory_mb` is
        resident MiB, pages shared within the tree counted for each.
        """
        with self._lock:
            if time.monotonic() - self._taken < FRESH:
                return self._sample
        pid = self._pid()
        claude = _measure(_tree(pid)) if pid is not None else None
        ourselves = _measure(_tree(os.getpid())[:1])
        with self._lock:
            now = time.monotonic()
            self._sample = {
                "process": claude
                and {
                    "cpu_percent": self._busy(claude, now),
                    "memory_mb": claude.memory_mb,
                    "children": len(claude.cpu) - 1,
                },
                "monitor": ourselves
                and {
                    "cpu_percent": self._busy(ourselves, now),
                    "memory_mb": ourselves.memory_mb,
                    "threads": threading.active_count(),
                },
            }
            self._cpu = (claude.cpu if claude else {}) | (ourselves.cpu if ourselves else {})
            self._taken = now
            return self._sample

    def _busy(self, used: _Used, now: float) -> float:
        """Percent of one core since the sample before; since its start for what is new."""
        assert self._lock.locked()
        seconds = now - self._taken if used.top in self._cpu else used.age
        spent = sum(max(cpu - self._cpu.get(who, 0.0), 0.0) for who, cpu in used.cpu.items())
        return round(100 * spent / max(seconds, 0.01), 1)

    def start(self, on_tick: Callable[[], None], interval: float) -> None:
        """Call `on_tick` in `process-sampler` every `interval` seconds while active. It begins inactive."""
        self._thread = threading.Thread(target=self._run, args=(on_tick, interval), name="process-sampler")
        self._thread.start()

    def set_active(self, active: bool) -> None:
        """Whether anybody wants the ticks. Inactive, the thread sleeps without waking. Any thread."""
        with self._wanted:
            self._active = active
            self._wanted.notify()

    def stop(self) -> None:
        """Ask the thread to end. Any thread."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify()

    def join(self, timeout: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, on_tick: Callable[[], None], interval: float) -> None:
        try:
            while self._wait(interval):
                on_tick()
        except Exception:
            log.exception("the process-sampler ended")

    def _wait(self, interval: float) -> bool:
        """Block until a tick is due. False: stop."""
        with self._wanted:
            due = None
            while not self._stopping:
                if not self._active:
                    due = None
                    self._wanted.wait()
                    continue
                due = due or time.monotonic() + interval
                if (left := due - time.monotonic()) <= 0:
                    return True
                self._wanted.wait(left)
            return False


@dataclass(frozen=True)
class _Used:
    top: Identity
    age: float  # seconds, of the top
    cpu: dict[Identity, float]  # seconds
    memory_mb: float


def _measure(processes: list[psutil.Process]) -> _Used | None:
    """What they use together; the first is their top. None: it is gone."""
    import psutil

    cpu: dict[Identity, float] = {}
    memory, age = 0, 0.0
    for process in processes:
        identity = process_identity(process.pid)
        with suppress(psutil.Error):  # it ended just now, or is another user's
            times = process.cpu_times()
            memory += process.memory_info().rss
            if identity is not None:
                cpu[identity] = times.user + times.system
                age = age or time.time() - process.create_time()
    return _Used(next(iter(cpu)), age, cpu, round(memory / MIB, 1)) if cpu else None
