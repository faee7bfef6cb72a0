"""Prompts of clients: entered only when Enter means what the client wants."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claude_mpm.errors import ClaudeMpmError, ProtocolError
from claude_mpm.feed.event import Event
from claude_mpm.launch.child.typed_keys import has_keys
from claude_mpm.monitor.answers import prompts
from claude_mpm.monitor.answers.prompts import MAX_PROMPT, Prompts
from claude_mpm.monitor.channel import FrontChannel
from claude_mpm.system.channel_format import line


class Box:
    """Claude's box: what was typed, and what will be done later."""

    def __init__(self) -> None:
        self.typed: list[str] = []
        self.last_key = 0.0
        self.error: Exception | None = None
        self.now: dict[str, Any] = {"activity": "idle", "questions": []}
        self.events: list[Event] = []
        self.output = 7  # seq of what Claude has shown
        self.work: list[Callable[[], None]] = []
        self.prompts = Prompts(self, lambda: self.now, self.events.append, lambda: self.output, self.later)

    def later(self, seconds: float, work: Callable[[], None]) -> bool:
        self.work.append(work)
        return True

    def paste(self, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.typed.append(text)

    def press_enter(self) -> None:
        self.typed.append("ENTER")

    def report_keys(self) -> None:
        self.is_reporting = True

    def send(self, text: str = "hello") -> None:
        self.prompts.send_prompt(text, "client-1")

    def refused(self, text: str = "hello") -> tuple[str, str]:
        with pytest.raises(ProtocolError) as error:
            self.send(text)
        return error.value.code, str(error.value)

    def enter(self) -> None:
        """Claude shows the paste, and time passes."""
        self.output += 1
        self.work.pop()()
        self.work.pop()()


@pytest.fixture
def box() -> Box:
    return Box()


def test_a_prompt_is_pasted_and_then_entered(box: Box) -> None:
    box.send("  two\r\nlines\n")
    assert box.typed == ["two\nlines"]
    box.enter()
    assert box.typed == ["two\nlines", "ENTER"]
    (audit,) = box.events
    assert audit.data == {"command": "send_prompt", "client": "client-1", "detail": {"characters": 13}}


@pytest.mark.parametrize(
    "text", ["!rm -r x", " \n!ls", "/clear", "\t/exit", "", "   ", "a\x1b[201~\rb", "a\x03", "x" * (MAX_PROMPT + 1)]
)
def test_what_is_no_prompt_is_refused(box: Box, text: str) -> None:
    assert box.refused(text)[0] == "invalid_params"
    assert box.typed == [] and box.events == []


@pytest.mark.parametrize(
    ("now", "word"),
    [
        ({"activity": "working"}, "idle"),
        ({"activity": None}, "idle"),
        ({"activity": "waiting", "waiting_for": {"kind": "permission"}}, "answer"),
        ({"activity": "idle", "questions": [{"request_id": "q"}]}, "answer"),
    ],
)
def test_a_claude_that_is_not_idle_is_busy(box: Box, now: dict[str, Any], word: str) -> None:
    box.now = now
    code, reason = box.refused()
    assert code == "busy" and word in reason and box.typed == []


def test_a_draft_in_the_terminal_is_not_merged_with(box: Box) -> None:
    box.last_key = 1000.0
    assert box.refused()[0] == "busy"
    box.prompts.recorded(999.0)  # an earlier prompt, recorded late
    assert box.refused()[0] == "busy"
    box.prompts.recorded(1001.0)
    box.send()


def test_enter_is_not_pressed_when_a_dialog_has_opened_meanwhile(box: Box) -> None:
    """It would answer "1. Yes"."""
    box.send()
    box.now = {"activity": "waiting"}
    box.enter()
    assert box.typed == ["hello"]
    assert box.events[-1].type == "system.error" and "not entered" in box.events[-1].data["error"]
    box.now = {"activity": "idle"}
    assert box.refused()[0] == "busy", "it is a draft now"


def test_enter_waits_until_claude_has_shown_the_paste(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read together with the paste, 1.x and 2.0 take it for a part of the text."""
    box.send()
    for _ in range(3):
        box.work.pop()()
    assert box.typed == ["hello"]
    box.enter()
    assert box.typed == ["hello", "ENTER"]


def test_a_claude_that_shows_nothing_gets_no_enter(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "ECHO_TIME", 0.0)
    box.send()
    box.work.pop()()
    assert box.typed == ["hello"] and box.work == []
    assert "does not react" in box.events[-1].data["error"]


def test_a_prompt_that_claude_does_not_take_is_told(box: Box) -> None:
    box.send()
    box.enter()
    box.work.pop()()
    assert "has not taken it" in box.events[-1].data["error"] and box.typed == ["hello", "ENTER"]


def test_a_prompt_that_was_recorded_needs_no_word(box: Box) -> None:
    box.send()
    box.enter()
    box.prompts.recorded(None)
    box.work.pop()()
    assert [event.type for event in box.events] == ["system.control"]


def test_prompts_come_one_at_a_time(box: Box) -> None:
    box.send()
    assert box.refused() == ("busy", "another prompt is being entered")
    box.enter()
    assert box.refused()[0] == "busy", "until it has been recorded"
    box.prompts.recorded(None)
    box.send("second")
    assert box.typed == ["hello", "ENTER", "second"]


def test_a_claude_without_a_terminal_can_be_tried_again(box: Box) -> None:
    box.error = ClaudeMpmError("this Claude runs without a terminal")
    for _ in range(2):
        with pytest.raises(ClaudeMpmError, match="terminal"):
            box.send()


@pytest.mark.parametrize("data", [b"a", b"\r", b"\x1b", b"\x1b[A", b"\x1b[97;5u", b"\x1b[Ia", b"\x1b[?1;2c\x03"])
def test_keys_are_keys(data: bytes) -> None:
    assert has_keys(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x1b[I", b"\x1b[O", b"\x1b[?62;22c", b"\x1b[>0;276;0c", b"\x1b[5;3R", b"\x1b[?0u", b"\x1b[?2026;2$y",
     b"\x1b]11;rgb:0000/0000/0000\x1b\\", b"\x1bP>|XTerm(390)\x1b\\", b"\x1b[<35;4;5M", b"\x1b[48;24;80;0;0t"],
)  # fmt: skip
def test_what_a_terminal_reports_is_no_key(data: bytes) -> None:
    assert not has_keys(data)


@pytest.fixture
def front() -> Iterator[tuple[FrontChannel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = FrontChannel(os.dup(ours.fileno()), has_terminal=True)
    ours.close()
    yield channel, theirs
    channel.close()
    theirs.close()


def test_the_monitor_knows_when_somebody_typed(front: tuple[FrontChannel, socket.socket]) -> None:
    channel, theirs = front
    assert channel.last_key == 0.0
    theirs.sendall(line({"event": "keys", "time": 5.5}))
    assert channel.read() == [] and channel.last_key == 5.5
    channel.paste("a\nb")
    channel.press_enter()
    assert channel.last_key == 5.5, "a prompt of ours is no draft of theirs"
    assert [part.split(b'"text":')[1] for part in theirs.recv(4096).splitlines()] == [
        b'"\\u001b[200~a\\nb\\u001b[201~"}',
        b'"\\r"}',
    ]
    channel.send_input("x")
    assert channel.last_key > 5.5
