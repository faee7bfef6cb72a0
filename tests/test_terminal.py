from __future__ import annotations

import os
import termios

import pytest

from claude_mpm.launch.child.modes import ModeTracker
from claude_mpm.launch.child.terminal import Terminal, get_winsize, set_winsize, winsize

CLEAN = b"\x1b[?2004h\x1b[?1049h\x1b[?1000;1002;1006h\x1b[>5u text \x1b[<u\x1b[?1000;1002;1006l\x1b[?1049l\x1b[?2004l"


def tracker(data: bytes, step: int | None = None) -> ModeTracker:
    made = ModeTracker()
    for start in range(0, len(data), step or len(data)):
        made.feed(data[start : start + (step or len(data))])
    return made


@pytest.mark.parametrize("step", [None, 1])
def test_a_program_that_cleaned_up_is_owed_nothing(step: int | None) -> None:
    assert tracker(CLEAN, step).undo() == b""


@pytest.mark.parametrize("step", [None, 1])
def test_what_was_left_on_is_switched_off_alternate_screen_last(step: int | None) -> None:
    left = tracker(b"\x1b[?1049h\x1b[?1000;1006h\x1b[?25l\x1b[>1u\x1b[>5u\x1b[>4;2m\x1b[?2004h hello", step).undo()
    assert left == b"\x1b[<2u\x1b[>4;0m\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[?25h\x1b[0m"


def test_modes_nobody_is_hurt_by_are_left_alone() -> None:
    assert tracker(b"\x1b[?7h\x1b[?12l\x1b[31m\x1b[?;h\x1b[?99999999999999h").undo() == b""


def test_settings_after_are_settings_before() -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    terminal = Terminal(slave, slave)
    terminal.raw()
    terminal.raw()
    assert termios.tcgetattr(slave)[3] & termios.ICANON == 0
    terminal.restore()
    terminal.restore()
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_a_terminal_that_is_gone_is_no_error() -> None:
    master, slave = os.openpty()
    terminal = Terminal(slave, slave)
    terminal.raw()
    os.close(master)
    os.close(slave)
    terminal.restore()
    assert terminal.attributes() is None
    assert terminal.winsize() == winsize(24, 80)


def test_size_goes_through_with_its_pixels() -> None:
    master, slave = os.openpty()
    assert get_winsize(slave) == winsize(24, 80), "a new PTY is 0 x 0"
    size = b"\x28\x00\x64\x00\x20\x03\x58\x02"
    set_winsize(slave, size)
    assert get_winsize(master) == size
    os.close(master)
    os.close(slave)
