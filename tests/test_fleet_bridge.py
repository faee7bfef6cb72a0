"""The bridge: frames as JSON lines between a hub and the instances of one machine."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from delivered import Frame
from program import PROGRAM, environment
from serving import TOKEN, FakeControl, Served, serving
from support import ROOT, TIMEOUT

from claude_mpm import __version__
from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.fleet.ssh.lines import LineSplitter, TooLong, decode, encode
from claude_mpm.system.instances import register

FOLLOW = {"command": "follow", "since": {}}


@contextmanager
def instance(home: Path, control: FakeControl | None = None) -> Iterator[Served]:
    config = Config(token=TOKEN, control=control is not None)
    with serving(config, control) as served:
        info = {"instance_id": "run-1", "port": served.port, "host": "localhost", "working_dir": "/w"}
        info |= {"pid": os.getpid(), "started_at": "2026-01-02T03:04:05.678Z"}
        register(home / ".claude-mpm", info, TOKEN)
        yield served


def message(number: int, text: str = "") -> ev.Event:
    return ev.claude_message("assistant", f"text {number} {text}", origin=Origin("transcript"))


class Bridged:
    """A bridge as ssh would run it, and what it says."""

    def __init__(self, home: Path) -> None:
        pipe = subprocess.PIPE
        argv = [*PROGRAM, "bridge"]
        self.process = subprocess.Popen(argv, env=environment(home), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
        self.said: list[Frame] = []
        self.raw = b""
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def tell(self, *messages: object) -> None:
        self.stdin.write(b"".join(encode(each) for each in messages))
        self.stdin.flush()

    def next(self) -> Frame:
        """The next frame."""
        while b"\n" not in self.raw:
            assert select.select([self.stdout], [], [], TIMEOUT)[0], f"nothing came after {self.said}"
            data = os.read(self.stdout.fileno(), 1 << 16)
            assert data, f"the bridge ended after {self.said}: {self.process.stderr and self.process.stderr.read()!r}"
            self.raw += data
        line, _, self.raw = self.raw.partition(b"\n")
        self.said.append(json.loads(line))
        return self.said[-1]

    def until(self, kind: str) -> Frame:
        while (frame := self.next())["type"] != kind:
            pass
        return frame

    def end(self) -> tuple[int, str]:
        """Close its stdin; its exit code and what it said on stderr."""
        _, errors = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, errors.decode()


@pytest.fixture
def bridge(home: Path) -> Iterator[Bridged]:
    bridged = Bridged(home)
    with bridged.process:
        yield bridged
        bridged.process.kill()


def test_it_says_hello_then_what_runs_here_and_ends_with_its_stdin(bridge: Bridged, home: Path) -> None:
    with instance(home) as served:
        hello = bridge.next()
        assert hello["type"] == "bridge.hello"
        assert hello["data"] == {"version": __version__, "protocol": 1, "machine": os.uname().nodename}
        served.log.append(message(1))
        bridge.tell(FOLLOW)
        assert [bridge.next()["type"] for _ in range(3)] == ["instances", "system.status", "claude.message"]
        assert bridge.end() == (0, "")
    assert TOKEN not in str(bridge.said)


def test_it_goes_on_where_the_hub_was_and_gives_what_is_wanted(bridge: Bridged, home: Path) -> None:
    with instance(home) as served:
        for number in range(3):
            served.log.append(message(number))
        bridge.tell({**FOLLOW, "since": {"run-1": 2}, "wanted": {"run-1": ["claude.output"]}})
        assert bridge.until("claude.message")["seq"] == 3
        served.log.append(ev.claude_output("seen", 0))
        assert bridge.next()["data"]["content"] == "seen"
        bridge.tell({"command": "want", "wanted": {}}, {"command": "ping", "instance_id": "run-1", "request_id": "1"})
        assert bridge.until("pong")["request_id"] == "1"
        served.log.append(ev.claude_output("not seen", 0))
        served.log.append(message(4))
        assert bridge.next()["seq"] == 6


def test_commands_are_passed_on_with_the_trust_the_hub_gives(bridge: Bridged, home: Path) -> None:
    control = FakeControl()
    with instance(home, control):
        bridge.tell(FOLLOW)
        bridge.until("system.status")
        stop = {"command": "stop", "instance_id": "run-1", "request_id": "h-1"}
        for trusted in (False, "yes", None):
            bridge.tell({**stop, "trusted": trusted})
            assert bridge.until("error")["data"]["code"] == "forbidden"
        bridge.tell({**stop, "trusted": True})
        assert bridge.until("done")["request_id"] == "h-1"
        bridge.tell({**stop, "instance_id": "run-9", "trusted": True})
        assert bridge.until("error")["data"]["code"] == "unavailable"
        bridge.tell({"command": "of a later hub"})
        bridge.tell({"command": "ping", "instance_id": "run-1", "request_id": "h-2"})
        assert bridge.until("pong")["request_id"] == "h-2"
    assert control.done == [("stop",)]


def test_a_reader_that_takes_nothing_is_told_the_gap_when_it_does(bridge: Bridged, home: Path) -> None:
    with instance(home) as served:
        bridge.tell(FOLLOW)
        served.log.append(message(0))
        bridge.until("claude.message")
        for number in range(6_000):  # 54 MiB; the log keeps 16
            served.log.append(message(number, "x" * 9_000))
        served.log.append(message(6_000, "the last"))
        seen, lost = 1, 0
        while not (frame := bridge.next())["data"].get("text", "").endswith("the last"):
            if frame["type"] == "system.gap":
                assert frame["data"]["from_seq"] > seen
                lost += frame["data"]["counts"]["claude.message"]
            elif "seq" in frame:
                seen += 1
            bridge.said.clear()
        assert lost > 0
        assert seen + lost + 1 == 6_002
        assert bridge.end()[0] == 0


def test_a_closed_stdout_ends_it_quietly(bridge: Bridged, home: Path) -> None:
    with instance(home):
        bridge.tell(FOLLOW)
        bridge.until("system.status")
        bridge.stdout.close()
        assert bridge.process.wait(TIMEOUT) == 0
        assert bridge.process.stderr is not None and bridge.process.stderr.read() == b""


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b'{"command": "want"}\n', b"x" * 1_100_000])
def test_a_stdin_that_is_no_hubs_is_one_line(bridge: Bridged, line: bytes) -> None:
    bridge.stdin.write(line)
    code, errors = bridge.end()
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("claude-mpm: stdin is not a hub's: ")


def test_at_a_terminal_it_says_what_it_is_for(home: Path) -> None:
    from terminal import Terminal

    with Terminal([*PROGRAM, "bridge"], env=environment(home), cwd=ROOT) as terminal:
        terminal.wait_for(b"started by a hub over ssh")
        assert terminal.wait() == 2


# --- lines -----------------------------------------------------------------------------------------


def test_lines_are_found_however_the_stream_is_cut() -> None:
    text = b'{"a":1}\n\n[2]\nlast'
    for size in (1, 2, 3, len(text)):
        splitter = LineSplitter()
        found = [line for at in range(0, len(text), size) for line in splitter.feed(text[at : at + size])]
        assert found == [b'{"a":1}', b"", b"[2]"]


@pytest.mark.parametrize("pieces", [[b"123456"], [b"123", b"456"], [b"12\n123456\n"]])
def test_a_line_is_bounded_before_its_end_comes(pieces: list[bytes]) -> None:
    splitter = LineSplitter(5)
    with pytest.raises(TooLong):
        for piece in pieces:
            list(splitter.feed(piece))


@pytest.mark.parametrize(
    ("line", "value"), [(b'{"a":1}', {"a": 1}), (b"[]", None), (b"Welcome!", None), (b"\xff", None)]
)
def test_only_objects_are_messages(line: bytes, value: Any) -> None:
    assert decode(line) == value
