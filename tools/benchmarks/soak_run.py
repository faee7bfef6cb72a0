"""The run behind tools/soak.py: load, kills and samples. Single-threaded; it keeps Claude's terminal flowing."""

from __future__ import annotations

import contextlib
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from subprocess import Popen

import psutil

from benchmarks.program import SUBPROCESS, Terminal, line_from, monitor_of, on_terminal, port_in, script, status, world
from benchmarks.stand_ins import SOAK

GROUPS, GROUP = 4, 5  # processes, and clients in each
SAMPLE_INTERVAL = 5.0  # seconds
KILL_CLIENTS_INTERVAL = 20.0
KILL_EMULATOR_INTERVAL = 45.0
STALL_TIME = 40.0  # seconds; the server cuts a client that takes nothing for 30 s
FILL_TIME = 10.0  # seconds in which the stand-in fills the log; also before the base is taken
REST_TIME = 8.0  # seconds after the last client has left; targets allow five
BASE_SAMPLES = 5  # a second apart; the least is the base
MIB = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """`minute` since the load began; memory in MiB of RSS; descriptors and threads of front and monitor together."""

    minute: float
    monitor: float
    front: float  # 0 when the front is the monitor
    descriptors: int
    threads: int


@dataclass
class Result:
    """What was sampled; `base` before the clients, `rest` after them."""

    minutes: float
    base: Sample
    samples: list[Sample] = field(default_factory=list)
    rest: Sample | None = None
    clients_killed: int = 0
    emulators_killed: int = 0
    clients_left: int = 0


class Load:
    """The clients. Each group and the stalled client is a process; replace() starts a new one in its place."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port, self._stack = port, stack
        self._groups: list[Popen[str]] = []
        self._stalled: Popen[str] | None = None
        self._stalled_since = 0.0
        self._next = 0

    def start(self) -> None:
        self._groups = [self._new("coming", GROUP) for _ in range(GROUPS)]
        self.stall()

    def kill_group(self) -> None:
        """SIGKILL to the group whose turn it is, and a new one instead."""
        self._end(self._groups[self._next])
        self._groups[self._next] = self._new("coming", GROUP)
        self._next = (self._next + 1) % GROUPS

    def stall(self) -> None:
        """A new stalled client, if the last one has been there long enough to be cut."""
        if self._stalled is None or time.monotonic() - self._stalled_since > STALL_TIME:
            if self._stalled:
                self._end(self._stalled)
            self._stalled, self._stalled_since = self._new("stalled", 1), time.monotonic()

    def end(self) -> None:
        for process in [*self._groups, *([self._stalled] if self._stalled else [])]:
            self._end(process)

    def _new(self, kind: str, count: int) -> Popen[str]:
        process = self._stack.enter_context(script("clients.py", kind, count, self._port))
        line_from(process)
        return process

    def _end(self, process: Popen[str]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def run(minutes: float) -> Result:
    """Run for so long, and return what was seen. Blocks. OSError, EOFError, LookupError."""
    with world(SOAK) as where, on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal:
        port = port_in(terminal.read_until(b"READY")[0])
        front, monitor = psutil.Process(terminal.pid), psutil.Process(monitor_of(terminal.pid, port))
        with ExitStack() as stack:
            first = Load(port, stack)  # what is loaded with the first clients stays
            first.start()
            terminal.read_for(FILL_TIME)
            first.end()
            terminal.read_for(REST_TIME)
            result = Result(minutes, _least(terminal, front, monitor))
            load = Load(port, stack)
            load.start()
            _sample_for(minutes * 60, result, terminal, load, front, monitor)
            load.end()
        terminal.read_for(REST_TIME)
        result.rest = _least(terminal, front, monitor)
        left = status(port)["connected_clients"]
        result.clients_left = left if isinstance(left, int) else -1
    return result


def _sample_for(
    seconds: float, result: Result, terminal: Terminal, load: Load, front: psutil.Process, monitor: psutil.Process
) -> None:
    start = time.monotonic()
    next_sample, next_kill, next_emulator = start, start + KILL_CLIENTS_INTERVAL, start + KILL_EMULATOR_INTERVAL
    while (now := time.monotonic()) < start + seconds:
        if now >= next_sample:
            next_sample += SAMPLE_INTERVAL
            result.samples.append(_sample(front, monitor, start))
            _progress(result)
        if now >= next_kill:
            next_kill += KILL_CLIENTS_INTERVAL
            load.kill_group()
            result.clients_killed += GROUP
        if now >= next_emulator:
            next_emulator += KILL_EMULATOR_INTERVAL
            result.emulators_killed += _kill_emulators(monitor)
        load.stall()
        terminal.read_for(0.2)


def _sample(front: psutil.Process, monitor: psutil.Process, start: float) -> Sample:
    parts = [monitor] if front == monitor else [monitor, front]
    memory = [part.memory_info().rss / MIB for part in parts]
    return Sample(
        (time.monotonic() - start) / 60,
        memory[0],
        memory[1] if len(memory) > 1 else 0.0,
        sum(part.num_fds() for part in parts),
        sum(part.num_threads() for part in parts),
    )


def _least(terminal: Terminal, front: psutil.Process, monitor: psutil.Process) -> Sample:
    """The sample with the fewest descriptors of a few seconds: files are opened for a moment now and then."""
    samples = []
    for _ in range(BASE_SAMPLES):
        terminal.read_for(1.0)
        samples.append(_sample(front, monitor, time.monotonic()))
    return min(samples, key=lambda sample: (sample.descriptors, sample.threads))


def _kill_emulators(monitor: psutil.Process) -> int:
    """SIGKILL to the monitor's processes that draw the screen; returns how many there were."""
    killed = 0
    with contextlib.suppress(psutil.Error):
        for process in monitor.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any("emulator" in part for part in process.cmdline()):
                    process.kill()
                    killed += 1
    return killed


def _progress(result: Result) -> None:
    if sys.stderr.isatty():
        last = result.samples[-1]
        line = (
            f"{last.minute:5.1f} of {result.minutes:g} min: monitor {last.monitor:.1f} MiB, front {last.front:.1f} MiB"
        )
        print(f"\r{line}, {last.descriptors} descriptors, {last.threads} threads ", end="", file=sys.stderr, flush=True)
