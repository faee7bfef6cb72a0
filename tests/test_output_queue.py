"""What the front hands to the monitor: in order, never waited for, and what is dropped is counted."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support import TIMEOUT

from claude_mpm.launch.channel import output_queue
from claude_mpm.launch.channel.output_queue import OutputQueue
from claude_mpm.system.channel_format import (
    COUNT,
    SIZE,
    STDERR,
    STDERR_LOST,
    STDOUT,
    STDOUT_LOST,
    WINSIZE,
    Record,
    RecordReader,
)


class Pair:
    """A queue and the monitor's end of its socket."""

    def __init__(self) -> None:
        self.wakes = 0
        ours, self.monitor = socket.socketpair()
        self.monitor.settimeout(TIMEOUT)
        self.queue = OutputQueue(ours, self._wake)
        self.reader = RecordReader()

    def _wake(self) -> None:
        self.wakes += 1

    def fill(self) -> int:
        """Put blocks until the monitor's buffer is full; how many bytes that was."""
        total = 0
        while self.queue.fileno() is None:
            self.queue.put(STDOUT, b"x" * 4096)
            total += 4096
        return total

    def receive(self, until: int) -> list[Record]:
        """Everything, until a record of that kind has come."""
        records: list[Record] = []
        while not records or records[-1][0] != until:
            self.queue.send()
            records += self.reader.feed(self.monitor.recv(1 << 20))
        return records


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.queue.close()
    made.monitor.close()


def test_records_arrive_in_order_and_are_counted(pair: Pair) -> None:
    pair.queue.put_size(24, 80)
    pair.queue.put(STDOUT, b"one")
    pair.queue.put(STDERR, b"two")
    assert pair.receive(STDERR) == [(SIZE, WINSIZE.pack(24, 80)), (STDOUT, b"one"), (STDERR, b"two")]
    assert pair.queue.counts() == (3, 3)
    assert pair.queue.fileno() is None


def test_a_monitor_that_takes_nothing_is_not_waited_for_and_gets_it_later(pair: Pair) -> None:
    total = pair.fill()
    assert pair.wakes == 1, "whoever sleeps is told once that something waits"
    pair.queue.put(STDERR, b"end")
    records = pair.receive(STDERR)
    assert sum(len(data) for kind, data in records if kind == STDOUT) == total
    assert pair.queue.send()


def test_beyond_the_bound_the_oldest_goes_and_is_counted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_queue, "MAX_WAITING", 100_000)
    total = pair.fill()
    for number in range(100):
        pair.queue.put(STDOUT, b"%08d" % number * 512)
        total += 4096
    pair.queue.put(STDERR, b"end")
    records = pair.receive(STDERR)
    (lost,) = [COUNT.unpack(data)[0] for kind, data in records if kind == STDOUT_LOST]
    assert lost > 0
    assert lost + sum(len(data) for kind, data in records if kind == STDOUT) == total
    place = next(at for at, (kind, _) in enumerate(records) if kind == STDOUT_LOST)
    behind = [int(data[:8]) for kind, data in records[place:] if kind == STDOUT]
    assert behind == list(range(behind[0], 100)), "the newest are kept, in order, behind the count"


def test_the_size_that_holds_behind_a_loss_is_told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_queue, "MAX_WAITING", 50_000)
    pair.fill()
    pair.queue.put_size(10, 20)
    for _ in range(50):
        pair.queue.put(STDOUT, b"y" * 4096)
    pair.queue.put(STDERR, b"end")
    records = pair.receive(STDERR)
    assert (SIZE, WINSIZE.pack(10, 20)) in records
    assert not [kind for kind, _ in records if kind == STDERR_LOST]


def test_a_monitor_that_is_gone_costs_nothing(pair: Pair) -> None:
    pair.monitor.close()
    for _ in range(1000):
        pair.queue.put(STDOUT, b"z" * 4096)
    assert pair.queue.fileno() is None
    assert pair.queue.counts() == (4096_000, 0)


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_records_are_cut_alike_in_any_pieces(step: int) -> None:
    ours, theirs = socket.socketpair()
    queue = OutputQueue(ours, lambda: None)
    queue.put(STDOUT, b"abc" * 50)
    queue.put_size(1, 2)
    queue.put(STDERR, b"")
    data = theirs.recv(65536)
    reader = RecordReader()
    records = [record for at in range(0, len(data), step) for record in reader.feed(data[at : at + step])]
    assert records == [(STDOUT, b"abc" * 50), (SIZE, WINSIZE.pack(1, 2)), (STDERR, b"")]
    queue.close()
    theirs.close()
