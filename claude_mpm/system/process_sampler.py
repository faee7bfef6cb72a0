"""Measures how much CPU and memory Claude's processes use, and this one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mpm.system.processes import Identity, process_identity, tree

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)

FRESH = 0.5  # seconds; a younger sample is given again, so that many callers cost no more than one
MIB = 1024 * 1024
MIN_INTERVAL = 0.01  # seconds; CPU times are counted in ticks of this length


@dataclass(frozen=True)
class Usage:
    """What a process and everything below it have used.

    Attributes:
        top: the process.
        age: seconds since it was started.
        at: time.monotonic() when this was measured.
        cpu: seconds of CPU time, per process.
        memory_mb: resident MiB of all of them; pages they share are counted for each.
    """

    top: Identity
    age: float
    at: float
    cpu: dict[Identity, float]
    memory_mb: float


def cpu_percent(usage: Usage, before: Usage | None) -> float:
    """Return the CPU used since `before`, in percent of one core.

    Without `before`, or when that is of another process, the time since the process was started counts. A child that
    is new counts with all it has used; one that has ended since counts for nothing.
    """
    if before is None or before.top != usage.top:
        seconds, spent_before = usage.age, {}
    else:
        seconds, spent_before = usage.at - before.at, before.cpu
    spent = sum(max(cpu - spent_before.get(process, 0.0), 0.0) for process, cpu in usage.cpu.items())
    return round(100 * spent / max(seconds, MIN_INTERVAL), 1)


class ProcessSampler:
    """Measures Claude's process tree and ourselves; a thread `process-sampler` ticks while somebody wants it to.

    Args:
        pid: returns Claude's process, None while there is none.
    """

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid
        self._lock = threading.Lock()  # guards the next three
        self._sample: dict[str, Any] = {}
        self._taken = float("-inf")
        self._measuring: Future[dict[str, Any]] | None = None
        self._claude: Usage | None = None  # this and the next: only for the caller that is measuring
        self._ourselves: Usage | None = None
        self._wanted = threading.Condition(threading.Lock())  # guards the next two
        self._active = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def sample(self) -> dict[str, Any]:
        """Return `process` (None if there is none) and `monitor` of `system.status`.

        Any thread. Blocks for some milliseconds, while one measurement is made for all who ask meanwhile.

        `cpu_percent` is relative to one core, since the previous measurement; at first, since the process was started.
        `memory_mb` is resident MiB; pages shared within the tree are counted for each process.
        """
        with self._lock:
            if time.monotonic() - self._taken < FRESH:
                return self._sample
            measuring = self._measuring
            if measuring is None:
                mine = self._measuring = Future[dict[str, Any]]()
        if measuring is not None:
            return measuring.result()
        try:
            sample = self._measure()
        except BaseException as error:
            with self._lock:
                self._measuring = None
            mine.set_exception(error)
            raise
        with self._lock:
            self._sample, self._taken, self._measuring = sample, time.monotonic(), None
        mine.set_result(sample)
        return sample

    def _measure(self) -> dict[str, Any]:
        pid = self._pid()
        claude = measure(tree(pid)) if pid is not None else None
        ourselves = measure(tree(os.getpid())[:1])
        sample: dict[str, Any] = {"process": None, "monitor": None}
        if claude is not None:
            sample["process"] = {
                "cpu_percent": cpu_percent(claude, self._claude),
                "memory_mb": claude.memory_mb,
                "children": len(claude.cpu) - 1,
            }
        if ourselves is not None:
            sample["monitor"] = {
                "cpu_percent": cpu_percent(ourselves, self._ourselves),
                "memory_mb": ourselves.memory_mb,
                "threads": threading.active_count(),
            }
        self._claude, self._ourselves = claude, ourselves
        return sample

    def start(self, on_tick: Callable[[], None], interval: float) -> None:
        """Call `on_tick` in `process-sampler` every `interval` seconds while active. It begins inactive."""
        self._thread = threading.Thread(target=self._run, args=(on_tick, interval), name="process-sampler")
        self._thread.start()

    def set_active(self, active: bool) -> None:
        """Say whether anybody wants the ticks. Inactive, the thread sleeps without waking. Any thread."""
        with self._wanted:
            self._active = active
            self._wanted.notify()

    def stop(self) -> None:
        """Ask the thread to end. Any thread, any number of times."""
        with self._wanted:
            self._stopping = True
            self._wanted.notify()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to end, if it was started."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, on_tick: Callable[[], None], interval: float) -> None:
        try:
            while self._wait(interval):
                on_tick()
        except Exception:
            log.exception("the process-sampler ended")

    def _wait(self, interval: float) -> bool:
        """Block until a tick is due. Returns False when the thread is to end."""
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


def measure(processes: list[psutil.Process]) -> Usage | None:
    """Return what these processes use together; the first is their top. None if it has ended."""
    import psutil

    cpu: dict[Identity, float] = {}
    memory, age, at = 0, 0.0, time.monotonic()
    for process in processes:
        identity = process_identity(process.pid)
        with suppress(psutil.Error):  # it has just ended, or is another user's
            times = process.cpu_times()
            memory += process.memory_info().rss
            if identity is not None:
                cpu[identity] = times.user + times.system
                age = age or time.time() - process.create_time()
    return Usage(next(iter(cpu)), age, at, cpu, round(memory / MIB, 1)) if cpu else None
