"""From the data socket to the log: joined, in order, with what is missing told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support import TIMEOUT, wait_until

from claude_mpm.config import Limits
from claude_mpm.feed.log import Log
from claude_mpm.monitor.output_reader import OutputReader, Received
from claude_mpm.system import json_text
from claude_mpm.system.channel_format import COUNT, HEADER, SIZE, STDERR, STDOUT, STDOUT_LOST, WINSIZE


class Stream:
    """An output reader over a log, and the front's end of its socket."""

    def __init__(self, print_mode: bool = False) -> None:
        self.log = Log("run-1", Limits())
        self.sizes: list[tuple[int, int, int]] = []  # rows, columns, seq of the log then
        self.lines: list[bytes] = []
        self.front, theirs = socket.socketpair()
        self.reader = OutputReader(
            theirs.detach(), self.log, Limits(), self._sized, self.lines.append if print_mode else None
        )

    def _sized(self, rows: int, cols: int) -> None:
        self.sizes.append((rows, cols, self.log.seq))

    def send(self, kind: int, payload: bytes) -> None:
        self.front.sendall(HEADER.pack(kind, len(payload)) + payload)

    def events(self, kind: str = "claude.output") -> list[dict[str, Any]]:
        return [json_text.loads(entry.json)["data"] for entry in self.log.read(0, [kind], 1000)]

    def text(self) -> str:
        return "".join(event["content"] for event in self.events())


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    yield made
    made.front.close()


def test_output_and_sizes_keep_their_order(stream: Stream) -> None:
    stream.reader.start()
    stream.send(SIZE, WINSIZE.pack(24, 80))
    stream.send(STDOUT, b"before")
    stream.send(SIZE, WINSIZE.pack(30, 100))
    stream.send(STDOUT, b"after")
    stream.reader.finish(Received(11, 0), TIMEOUT)
    assert stream.sizes == [(24, 80, 0), (30, 100, 1)]
    assert [event["content"] for event in stream.events()] == ["before", "after"]


def test_what_was_sent_before_the_start_is_read_too(stream: Stream) -> None:
    stream.send(STDOUT, b"early")
    stream.reader.start()
    wait_until(stream.events, "the output")
    assert stream.text() == "early"
    stream.reader.finish(Received(5, 0), TIMEOUT)


def test_a_character_split_between_records_is_whole(stream: Stream) -> None:
    stream.reader.start()
    data = "日本".encode()
    for at in range(len(data)):
        stream.send(STDOUT, data[at : at + 1])
    stream.reader.finish(Received(len(data), 0), TIMEOUT)
    assert stream.text() == "日本"


def test_a_loss_is_told_and_the_offsets_go_on_behind_it(stream: Stream) -> None:
    stream.reader.start()
    stream.send(STDOUT, b"kept")
    stream.send(STDOUT_LOST, COUNT.pack(1000))
    stream.send(STDOUT, b"again")
    stream.reader.finish(Received(1009, 0), TIMEOUT)
    assert [(event["offset"], event["content"]) for event in stream.events()] == [(0, "kept"), (1004, "again")]
    (error,) = stream.events("system.error")
    assert "1000 bytes of Claude's stdout" in error["error"] and error["severity"] == "warning"


def test_what_the_front_could_not_deliver_at_its_end_is_told(stream: Stream) -> None:
    stream.reader.start()
    stream.send(STDERR, b"half")
    stream.front.shutdown(socket.SHUT_WR)
    stream.reader.finish(Received(0, 10), TIMEOUT)
    (error,) = stream.events("system.error")
    assert "6 bytes of Claude's stderr" in error["error"]


def test_a_front_that_hangs_up_ends_the_reader(stream: Stream) -> None:
    stream.reader.start()
    stream.send(STDOUT, b"last words")
    stream.front.shutdown(socket.SHUT_WR)
    stream.reader.finish(None, TIMEOUT)
    assert stream.text() == "last words"
    assert stream.events("system.error") == []


def test_a_reader_that_was_never_started_frees_its_descriptors(stream: Stream) -> None:
    stream.reader.finish(None, TIMEOUT)


def test_lines_of_print_mode_are_handed_on_and_so_is_a_last_one_without_newline() -> None:
    stream = Stream(print_mode=True)
    stream.reader.start()
    stream.send(STDOUT, b'{"type":')
    stream.send(STDOUT, b' "x"}\n{"type": "y"}\nrest')
    stream.reader.finish(Received(35 - 9, 0), TIMEOUT)
    stream.front.close()
    assert stream.lines == [b'{"type": "x"}', b'{"type": "y"}', b"rest"]
