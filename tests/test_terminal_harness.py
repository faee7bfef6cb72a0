"""The terminal that other tests sit at is a real one."""

from __future__ import annotations

import os
import signal
import sys
import termios

import pytest
from support import wait_until
from terminal import Terminal, is_running

PROGRAM = """
import os, signal, sys, termios, tty
signal.signal(signal.SIGWINCH, lambda *a: print("resized", *os.get_terminal_size(0), flush=True))
signal.signal(signal.SIGINT, lambda *a: print("interrupted", flush=True))
print("size", *os.get_terminal_size(0), "tty", os.ttyname(0) == os.ttyname(1), os.tcgetpgrp(0) == os.getpid(), flush=True)
for line in iter(sys.stdin.readline, ""):
    word = line.strip()
    print("read", word, flush=True)
    if word == "raw":
        tty.setraw(0)
    if word == "fork" and os.fork() == 0:
        os.setsid()
        print("child", os.getpid(), "here", flush=True)
        signal.pause()
    if word.isdigit():
        print("x" * 100_000 + "last", flush=True)
        sys.exit(int(word))
"""


def run(rows: int = 30, cols: int = 100) -> Terminal:
    return Terminal([sys.executable, "-c", PROGRAM], rows=rows, cols=cols)


def test_the_program_has_a_controlling_terminal_of_the_right_size() -> None:
    with run() as terminal:
        terminal.wait_for(b"size 100 30 tty True True")
        terminal.write(b"\x03")  # the line discipline turns it into SIGINT only where the terminal controls a session
        terminal.wait_for(b"interrupted")
        terminal.resize(31, 101)
        terminal.wait_for(b"resized 101 31")


def test_all_output_is_there_after_wait_and_the_exit_status_is_told() -> None:
    with run() as terminal:
        terminal.write(b"7\n")
        assert terminal.wait() == 7
        assert terminal.output.rstrip().endswith(b"last")
    with run() as terminal:
        terminal.wait_for(b"size")
        terminal.signal(signal.SIGKILL)
        assert terminal.wait() == -signal.SIGKILL


def test_settings_are_those_the_program_left() -> None:
    with run() as terminal:
        before = terminal.initial
        assert before[3] & termios.ICANON and not terminal.is_raw()
        terminal.write(b"raw\n")
        terminal.wait_for(terminal.is_raw)
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == -signal.SIGTERM
        assert terminal.is_raw() and terminal.attributes() != before


def test_what_never_comes_fails_with_what_was_shown() -> None:
    with run() as terminal:
        at = terminal.wait_for(b"size")
        with pytest.raises(AssertionError, match="tty True True"):
            terminal.wait_for(b"size", 0.2, since=at)
        with pytest.raises(AssertionError, match="tty True True"):
            terminal.wait_for(lambda: False, 0.2)
        with pytest.raises(AssertionError, match="did not end"):
            terminal.wait(0.1)


def test_close_kills_what_was_started_sessions_of_their_own_too() -> None:
    with run() as terminal:
        terminal.write(b"fork\n")
        terminal.wait_for(lambda: b"here" in terminal.output)
        child = int(terminal.output.partition(b"child ")[2].split()[0])
        program = terminal.pid
    wait_until(lambda: not is_running(child) and not is_running(program))
    assert terminal.tail() and os.getpid() != program
    terminal.close()


def test_a_program_that_is_not_there_leaves_nothing_behind() -> None:
    with pytest.raises(FileNotFoundError):
        Terminal(["/no/such/program"]).start()
