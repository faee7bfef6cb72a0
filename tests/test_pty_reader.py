"""The thread that copies Claude's terminal: what it hands on, and when."""

from __future__ import annotations

import os
import queue
import tty
from collections.abc import Iterator

import pytest
from support import TIMEOUT

from claude_mpm.launch.child import pty_reader
from claude_mpm.launch.child.pty_reader import PtyReader
from claude_mpm.system.signals import Signals


class Copy:
    """A reader between a terminal we write to and a pipe in the user's place."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.shown, out = os.pipe()
        self.out = out
        self.blocks: queue.Queue[bytes] = queue.Queue()
        self.remarks: list[str] = []
        self.reader = PtyReader(self.master, out, self.blocks.put, self.remarks.append, 1.0, Signals())
        self.reader.start()

    def close(self) -> None:
        if self.slave >= 0:
            os.close(self.slave)
        self.reader.claude_ended()
        self.reader.join()
        for fd in (self.master, self.shown, self.out):
            os.close(fd)


@pytest.fixture
def copy() -> Iterator[Copy]:
    made = Copy()
    yield made
    made.close()


def test_output_that_never_pauses_is_handed_on_all_the_same(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pty_reader, "BLOCK_TIME", 0.05)
    written = received = 0
    while received == 0:  # more comes before the block's time is over, again and again
        os.write(copy.slave, b"x")
        written += 1
        assert written < 60_000, "nothing is handed on before the block is full"
        assert os.read(copy.shown, 100), "the user has it first"
        try:
            received += len(copy.blocks.get(timeout=0.002))
        except queue.Empty:
            continue
    assert received < pty_reader.BLOCK_SIZE


def test_the_user_has_it_first_and_the_rest_gets_all_of_it_in_order(copy: Copy) -> None:
    data = bytes(range(256)) * 64
    os.write(copy.slave, data[:2000])
    assert os.read(copy.shown, 65536)
    got = copy.blocks.get(timeout=TIMEOUT)
    os.write(copy.slave, data[2000:4000])
    while len(got) < 4000:
        got += copy.blocks.get(timeout=TIMEOUT)
    assert got == data[:4000]


def test_settle_waits_for_what_was_written_before(copy: Copy) -> None:
    os.write(copy.slave, b"last words")
    copy.reader.settle(TIMEOUT)
    os.set_blocking(copy.shown, False)
    assert os.read(copy.shown, 100) == b"last words"


def test_modes_left_on_are_switched_off_at_the_end(copy: Copy) -> None:
    os.write(copy.slave, b"\x1b[?1049h\x1b[?25l")
    copy.reader.settle(TIMEOUT)
    os.read(copy.shown, 100)
    os.close(copy.slave)
    copy.slave = -1
    assert copy.blocks.get(timeout=TIMEOUT) == b"\x1b[?1049h\x1b[?25l"
    assert os.read(copy.shown, 100) == b"\x1b[?1049l\x1b[?25h\x1b[0m"
