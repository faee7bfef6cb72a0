"""The first minutes at the command line: help, misspelt commands, names, and environments nobody planned for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PROGRAM, environment, port_in, registered, run, script
from support import wait_until
from terminal import Terminal

from claude_mpm.cli.main import COMMANDS

ECHO = 'for a in "$@"; do echo "<$a>"; done'


def one_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """What the user was told, which must be one line."""
    text = done.stderr.decode()
    assert text.count("\n") == 1 and "Traceback" not in text, text
    return text


# --- help ------------------------------------------------------------------------------------------


def test_help_is_a_command(home: Path, tmp_path: Path) -> None:
    asked = run("help", home=home, cwd=tmp_path)
    assert (asked.returncode, asked.stdout) == (0, run("--help", home=home, cwd=tmp_path).stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_on_a_command_is_the_commands_own_and_lists_exit_codes(command: str, home: Path, tmp_path: Path) -> None:
    asked = run("help", command, home=home, cwd=tmp_path)
    assert (asked.returncode, asked.stdout) == (0, run(command, "--help", home=home, cwd=tmp_path).stdout)
    codes = asked.stdout.decode().partition("\nexit code: ")[2]
    assert re.match(r"0\b.*\b2 usage", codes, re.S), codes


def test_help_of_the_program_lists_every_command_and_the_exit_codes(home: Path, tmp_path: Path) -> None:
    text = run("--help", home=home, cwd=tmp_path).stdout.decode()
    assert all(f"\n  {command} " in text for command in (*COMMANDS, "help"))
    assert "\nexit code: claude's own" in text and "127 claude was not found" in text


@pytest.mark.parametrize("args", [("nonsense",), ("watch", "attach"), ("--open",)])
def test_help_on_what_is_no_command_names_the_commands(args: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    done = run("help", *args, home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert "instances, watch, attach, monitor, doctor" in one_line(done)


# --- misspelt commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (("instanes",), "instances"),
        (("attch", "4711"), "attach"),
        (("doctr",), "doctor"),
        (("wacth", "--jsonl"), "watch"),
        (("Monitor",), "monitor"),
        (("hlep",), "help"),
    ],
)
def test_a_misspelt_command_is_asked_about_and_starts_nothing(
    args: tuple[str, ...], meant: str, home: Path, tmp_path: Path
) -> None:
    claude = script(tmp_path, f"touch {tmp_path}/started")
    done = run(*args, home=home, cwd=tmp_path, CLAUDE_MPM_CLAUDE=str(claude))
    assert done.returncode == 2
    words = one_line(done)
    assert f"did you mean `claude-mpm {meant}`?" in words
    assert f"claude-mpm -- {args[0]}" in words, "the way to pass the word as a prompt"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("args", [("hello",), ("attach the file",), ("agents",), ("mcp", "list"), ("fix", "help")])
def test_prompts_and_commands_of_claudes_own_are_passed_on(args: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    done = run(*args, home=home, cwd=tmp_path, CLAUDE_MPM_CLAUDE=str(script(tmp_path, ECHO)))
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-len(args) :] == [f"<{arg}>" for arg in args]


@pytest.mark.parametrize("word", ["instanes", "instances", "help", "patch"])
def test_after_two_dashes_any_word_is_a_prompt(word: str, home: Path, tmp_path: Path) -> None:
    done = run("--", word, home=home, cwd=tmp_path, CLAUDE_MPM_CLAUDE=str(script(tmp_path, ECHO)))
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == f"<{word}>"


# --- the name of a session -------------------------------------------------------------------------


@contextmanager
def watched(home: Path, tmp_path: Path, *args: str, **more: str) -> Iterator[Terminal]:
    """A stand-in for claude that waits for Enter, with a monitor beside it."""
    claude = script(tmp_path, "read line")
    start = [*PROGRAM, "--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", str(claude)]
    with Terminal([*start, *args], env=environment(home, **more), cwd=tmp_path) as terminal:
        wait_until(lambda: registered(home), "the instance to be registered")
        yield terminal
        terminal.write(b"\r")
        terminal.wait()


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (("--name", "Rücksprache ✨"), {}),
        ((), {"CLAUDE_MPM_NAME": "Rücksprache ✨"}),
        (("--name", "Rücksprache ✨"), {"CLAUDE_MPM_NAME": "another"}),
    ],
)
def test_a_session_goes_by_its_name(args: tuple[str, ...], more: dict[str, str], home: Path, tmp_path: Path) -> None:
    with watched(home, tmp_path, *args, **more) as terminal:
        (listed,) = json.loads(run("instances", "--json", home=home, cwd=tmp_path).stdout)
        assert listed["name"] == "Rücksprache ✨"
        assert "  Rücksprache ✨  " in run("instances", home=home, cwd=tmp_path).stdout.decode()
        port = wait_until(lambda: port_in(terminal.output), "the announcement") or 0
        with subprocess.Popen(
            [*PROGRAM, "watch", str(port), "--since", "0", "--channels", "session.start"],
            env=environment(home), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as follower:  # fmt: skip
            try:
                assert follower.stdout is not None
                assert "Rücksprache ✨" in follower.stdout.readline().decode()
            finally:
                follower.kill()


def test_without_a_name_there_is_none(home: Path, tmp_path: Path) -> None:
    with watched(home, tmp_path, CLAUDE_MPM_NAME=""):
        (listed,) = json.loads(run("instances", "--json", home=home, cwd=tmp_path).stdout)
        assert listed["name"] is None


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "a\nb", "a\x1b[2J", "a\u202eb"])
def test_a_name_that_could_not_be_shown_is_refused(name: str, home: Path, tmp_path: Path) -> None:
    done = run("--name", name, "--claude", "/bin/true", home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert b"1 to 60 printable characters" in done.stderr
    if name:
        by_environment = run("--claude", "/bin/true", home=home, cwd=tmp_path, CLAUDE_MPM_NAME=name)
        assert by_environment.returncode == 2
        assert "CLAUDE_MPM_NAME: a name has" in one_line(by_environment)


@pytest.mark.parametrize(
    ("version", "args", "passed"),
    [
        ("2.1.76", (), True),
        (None, ("-p", "hello"), True),
        ("2.1.75", (), False),
        ("1.0.128", ("-p", "hello"), False),
        (None, ("mcp", "list"), False),
    ],
)
def test_claude_gets_the_name_too_when_it_knows_the_option(
    version: str | None, args: tuple[str, ...], passed: bool, home: Path, tmp_path: Path
) -> None:
    """Claude Code 2.1.76 brought a --name of its own; an older one refuses to start with an option it does not know."""
    package = tmp_path / "node_modules" / "@anthropic-ai" / "claude-code"
    package.mkdir(parents=True)
    if version is not None:
        (package / "package.json").write_text(json.dumps({"name": "@anthropic-ai/claude-code", "version": version}))
    claude = script(package, ECHO, "cli.js")
    done = run("--name", "review", *args, "--claude", str(claude), home=home, cwd=tmp_path)
    assert done.returncode == 0
    given = done.stdout.decode().splitlines()
    assert (given[:2] == ["<--name>", "<review>"]) is passed, given
    assert ("<review>" in given) is passed and given[-len(args) or len(given) :] == [f"<{arg}>" for arg in args]


def test_the_name_in_the_environment_is_not_passed_to_claude(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, ECHO)
    done = run("--claude", str(claude), home=home, cwd=tmp_path, CLAUDE_MPM_NAME="review")
    assert b"review" not in done.stdout


# --- usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["--foo", "hello", "-p"])
def test_the_demo_takes_no_arguments_of_claudes(argument: str, home: Path, tmp_path: Path) -> None:
    done = run("--demo", argument, home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert f"--demo plays a fixed story and does not take `{argument}`" in one_line(done)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", ["watch", "monitor"])
@pytest.mark.parametrize("port", ["abc", "99999"])
def test_a_wrong_port_is_said_in_the_words_of_the_option(command: str, port: str, home: Path, tmp_path: Path) -> None:
    done = run(command, port, home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert f"'{port}' is not a port number: give one from " in done.stderr.decode()


def test_a_wrong_pid_says_where_to_find_the_right_one(home: Path, tmp_path: Path) -> None:
    done = run("attach", "abc", home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert "'abc' is not a process id; `pgrep -a claude`" in done.stderr.decode()


def test_monitor_without_a_browser_is_no_usage_error(home: Path, tmp_path: Path) -> None:
    with watched(home, tmp_path):
        done = run("monitor", home=home, cwd=tmp_path, PATH="/nonexistent")
    assert done.returncode == 1
    assert "no browser found here to open; the page is at http://localhost:" in one_line(done)
