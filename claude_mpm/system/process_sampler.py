"""How busy Claude's processes are, and we are."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mpm.system.processes import Identity, process_identity, tree

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)

FRESH = 0.5  # seconds; a younger sample is given again: many askers cost no more than one
MIB = 1024 * 1024


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
        claude = _measure(tree(pid)) if pid is not None else None
        ourselves = _measure(tree(os.getpid())[:1])
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
