"""The first minutes at the command line: help, misspelt commands, names, and environments nobody planned for."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PROGRAM, environment, port_in, registered, run, script
from support import TIMEOUT, wait_until
from terminal import Terminal

from claude_mpm.cli import monitor, watch
from claude_mpm.cli.main import COMMANDS, main
from claude_mpm.system.instances import register

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
    assert ", ".join(COMMANDS) in one_line(done)


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


def test_a_hub_is_what_monitor_opens_and_what_watch_leaves_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(monitor, "open_page", lambda url, token: opened.append(url))
    info = {"host": "localhost", "working_dir": "/w", "pid": os.getpid(), "started_at": "2026-01-02T03:04:05.678Z"}
    register(home / ".claude-mpm", {**info, "instance_id": "hub", "port": 8764, "kind": "hub"}, None)
    assert watch.running_port() == 8764, "there is nothing else"
    register(home / ".claude-mpm", {**info, "instance_id": "one", "port": 8770}, None)
    assert monitor.run([]) == 0 and monitor.run(["8770"]) == 0
    assert opened == ["http://localhost:8764/", "http://localhost:8770/"]
    assert watch.running_port() == 8770


def test_monitor_without_a_browser_is_no_usage_error(home: Path, tmp_path: Path) -> None:
    with watched(home, tmp_path):
        done = run("monitor", home=home, cwd=tmp_path, PATH="/nonexistent")
    assert done.returncode == 1
    assert "no browser found here to open; the page is at http://localhost:" in one_line(done)


# --- environments nobody planned for ---------------------------------------------------------------


def in_shell(text: str, home: Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell, in which "$@" is the program."""
    return subprocess.run(
        ["sh", "-c", text, "sh", *PROGRAM],
        env=environment(home, **more), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT * 3,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('"$@" help >/dev/full', 1, "cannot write to stdout: No space left on device"),
        ('"$@" instances --json >/dev/full', 1, "cannot write to stdout: No space left on device"),
        ('"$@" instances 2>/dev/full', 0, ""),
        ('"$@" monitor 65000 2>/dev/full', 2, ""),
        ('"$@" help >&-', 0, ""),
        ('"$@" instances >&- 2>&- <&-', 0, ""),
        ('"$@" doctor --claude /nowhere >&- 2>&-', 1, ""),
        ('"$@" instances nonsense 2>&-', 2, ""),
    ],
)
def test_closed_and_full_streams_change_neither_the_code_nor_the_manners(
    text: str, code: int, words: str, home: Path, tmp_path: Path
) -> None:
    done = in_shell(text, home, tmp_path)
    assert done.returncode == code
    if words:
        assert words in one_line(done)
    else:
        assert b"Traceback" not in done.stderr and b"internal" not in done.stderr


@pytest.mark.parametrize("stream", [">&-", ">/dev/full", ">&- 2>&- <&-"])
def test_the_demo_plays_to_its_end_without_streams(stream: str, home: Path, tmp_path: Path) -> None:
    text = f'"$@" --demo --websocket-port 0 {stream}'
    done = in_shell(text, home, tmp_path, CLAUDE_MPM_DEMO_SPEED="300")
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"rror" not in done.stderr


@pytest.mark.parametrize("columns", ["1", "0", "-5", "abc", "99999999"])
@pytest.mark.parametrize("args", [("--help",), ("help", "watch"), ("instances", "nonsense")])
def test_any_width_of_the_terminal_will_do(columns: str, args: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    done = run(*args, home=home, cwd=tmp_path, COLUMNS=columns)
    assert done.returncode == (2 if "nonsense" in args else 0)
    assert b"usage: claude-mpm" in done.stdout + done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "locale",
    [
        {"LANG": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_a_locale_that_cannot_show_a_name_gets_question_marks(
    locale: dict[str, str], home: Path, tmp_path: Path
) -> None:
    with watched(home, tmp_path, "--name", "日本語"):
        done = in_shell('"$@" instances', home, tmp_path, **locale)
    assert done.returncode == 0 and done.stderr == b""
    assert b"???" in done.stdout or "日本語".encode() in done.stdout
    assert in_shell('"$@" --demo --websocket-port 0 -- --help', home, tmp_path, **locale).returncode == 0


@pytest.mark.parametrize("home_directory", ["/dev/null", "/proc", "relative", ""])
def test_a_home_that_cannot_be_written_to_costs_the_registry_only(
    home_directory: str, home: Path, tmp_path: Path
) -> None:
    assert run("instances", home=home, cwd=tmp_path, HOME=home_directory).returncode == 0
    claude = script(tmp_path, "echo started; exit 3")
    start = ("--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", str(claude))
    done = run(*start, home=home, cwd=tmp_path, HOME=home_directory)
    assert (done.returncode, done.stdout) == (3, b"started\n")
    assert b"Traceback" not in done.stderr and b"internal" not in done.stderr


@pytest.mark.parametrize("args", [["instances"], ["monitor"], ["doctor"], ["--websocket", "--claude", "/bin/true"]])
def test_a_user_without_a_home_is_told_to_set_one(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that runs with a numeric user: HOME is not set, and the user is not in the passwd file."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert main(args) == 2
    told = capsys.readouterr().err
    assert told == "claude-mpm: this user has no home directory; set HOME to a directory that claude-mpm may write to\n"


@pytest.mark.parametrize("args", [("--demo",), ("--websocket", "--claude", "/bin/true")])
def test_a_current_directory_that_is_gone_is_said(args: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    text = f'cd "{tmp_path}" && mkdir gone && cd gone && rmdir ../gone && exec "$@" {" ".join(args)}'
    done = in_shell(text, home, tmp_path)
    assert done.returncode == 2
    assert "the current directory no longer exists" in one_line(done)


def test_a_demo_without_a_place_for_temporary_files_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert main(["--demo"]) == 2
    assert capsys.readouterr().err == (
        "claude-mpm: cannot make a temporary directory for the demo: No such file or directory\n"
    )


@pytest.mark.parametrize("word", [b"\xff\x1b", b"\xff"])
def test_an_argument_that_is_no_text_is_shown_as_question_marks(word: bytes, home: Path, tmp_path: Path) -> None:
    done = run("help", os.fsdecode(word), home=home, cwd=tmp_path)
    assert done.returncode == 2
    assert f"there is no help on `{'?' * len(word)}`" in one_line(done)
