"""How much later an event comes through ssh than to the instance's own client, both in one process."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from checkout import ROOT

from benchmarks.program import PATIENCE, SUBPROCESS, World, on_terminal, port_in, script, transcript_path, world
from benchmarks.sshd import program_in, sshd
from benchmarks.stand_ins import IDLE
from benchmarks.table import Row, median, percentile
from claude_mpm.client import Client
from claude_mpm.fleet.source import Frame
from claude_mpm.fleet.ssh.source import SshSource

INTERVAL = 0.02  # seconds between two events
P99_AIM = 50.0  # milliseconds


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    events = int(seconds / INTERVAL) * repeat
    with world(IDLE) as where, tempfile.TemporaryDirectory(prefix="claude-mpm-sshd-") as name:
        directory = Path(name)
        path = f"{program_in(directory, ROOT).parent}:{where.env['PATH']}"
        with sshd(directory, {"HOME": where.env["HOME"], "PATH": path}) as server:
            later = _later(where, SshSource("ssh://there", options=server.options), events)
    p50, p99 = median(later), percentile(later, 0.99)
    figure = f"p50 {p50:.1f}, p99 {p99:.1f} ms later ({len(later)}/{events} events)"
    yield Row("an event through ssh", figure, "the instance's own client", "", f"p99 ≤ {P99_AIM:g} ms", p99 <= P99_AIM)


class _Arrivals:
    """When each message of Claude's came, by its seq."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}  # monotonic
        self._grown = threading.Condition()

    def take(self, frame: Frame) -> None:
        now = monotonic()
        if frame["type"] == "claude.message" and "seq" in frame:
            with self._grown:
                self.at[frame["seq"]] = now
                self._grown.notify_all()

    def wait(self, count: int) -> None:
        """Wait until that many have come. TimeoutError."""
        with self._grown:
            if not self._grown.wait_for(lambda: len(self.at) >= count, PATIENCE):
                raise TimeoutError(f"only {len(self.at)} events arrived within {PATIENCE:g} s")


def _read(client: Client, arrivals: _Arrivals) -> None:
    for frame in client:
        arrivals.take(frame)


def _later(where: World, source: SshSource, events: int) -> list[float]:
    """Milliseconds by which each event came later through the source."""
    direct, through = _Arrivals(), _Arrivals()
    listed = threading.Event()

    def deliver(frame: Frame) -> None:
        if frame["type"] == "session.start":  # it follows this instance
            listed.set()
        through.take(frame)

    with on_terminal(where.program(*SUBPROCESS), where.env, where.home) as terminal:
        port = port_in(terminal.read_until(b"READY")[0])
        path, session = transcript_path(where, port)
        with Client(port, "127.0.0.1") as client:
            client.subscribe(["claude.message"])
            reader = threading.Thread(target=_read, args=(client, direct), name="direct-reader")
            reader.start()
            source.start(deliver)
            try:
                if not listed.wait(PATIENCE):
                    raise TimeoutError("the instance was not found through ssh")
                with script("append_records.py", path, session, events, INTERVAL) as writer:
                    writer.wait()
                direct.wait(events)
                through.wait(events)
            finally:
                source.stop()
                source.join(PATIENCE)
                client.close()
                reader.join()
    return [(through.at[seq] - at) * 1000 for seq, at in direct.at.items() if seq in through.at]
