"""Between the user and Claude: terminals that take nothing, ends of every kind, job control, odd surroundings."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PROGRAM, environment, port_in, run, script, wait_gone
from support import TIMEOUT, wait_until
from terminal import Terminal
from watching import Watcher

SUBPROCESS = ("--websocket", "--websocket-port", "0", "--launch-method", "subprocess")
EXEC = ("--websocket", "--websocket-port", "0")
HEAVY = {"asyncio", "wsproto", "watchdog", "psutil", "simple_websocket", "pyghostty", "http.server", "ssl"}


def sit(claude: Path, home: Path, *args: str, mode: tuple[str, ...] = SUBPROCESS, **env: str) -> Terminal:
    return Terminal([*PROGRAM, *mode, "--claude", str(claude), *args], env=environment(home, **env), cwd=home)


def line(claude: Path, *args: str) -> bytes:
    """What to type at a shell."""
    return shlex.join([*PROGRAM, *SUBPROCESS, "--claude", str(claude), *args]).encode()


@contextmanager
def shell(home: Path) -> Iterator[Terminal]:
    """An interactive shell, at its prompt."""
    with Terminal(["bash", "--norc", "-i"], env=environment(home, PS1="@@ "), cwd=home) as terminal:
        terminal.wait_for(b"@@ ")
        yield terminal


def pid_in(path: Path) -> int:
    return int(wait_until(lambda: path.exists() and path.read_text().strip(), f"a pid in {path.name}"))


def at_start(directory: Path, text: str) -> str:
    """A PYTHONPATH with code that runs before the program."""
    (directory / "sitecustomize.py").write_text(text)
    return f"{directory}:{environment(directory)['PYTHONPATH']}"


# --- a terminal or pipe that takes nothing --------------------------------------------------------


@contextmanager
def unread(claude: Path, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """The program at a terminal nobody reads: process, terminal, port."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *SUBPROCESS, "--claude", str(claude)],
        env=environment(home), cwd=home, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    try:
        yield process, master, port_in(os.read(master, 4096)) or 0
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


def test_claudes_end_is_told_while_the_terminal_takes_nothing_and_no_byte_is_lost(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "read x; head -c 16000 /dev/zero | tr '\\0' x; printf LAST; exit 3")
    with unread(claude, home) as (process, master, port), Watcher(port) as seen:
        seen.wait_event("claude.status", status="running")
        os.write(master, b"\r")
        assert seen.wait_event("session.end")["exit_code"] == 3
        assert process.poll() is None, "it waits for the user, as cat would"
        shown = b""
        while b"LAST" not in shown:
            shown += os.read(master, 65536)
        assert shown.count(b"x") == 16_000
        assert process.wait(TIMEOUT) == 3


@pytest.mark.parametrize("text", ["exec yes", "read x; head -c 16000 /dev/zero; exit 3"])
def test_a_terminal_that_takes_nothing_does_not_keep_us_from_ending(text: str, home: Path, tmp_path: Path) -> None:
    with unread(script(tmp_path, text), home) as (process, master, port), Watcher(port) as seen:
        seen.wait_event("claude.status", status="running")
        os.write(master, b"\r")
        if "read" in text:
            seen.wait_event("session.end")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == (3 if "read" in text else 128 + signal.SIGTERM)


def test_a_pipe_that_takes_nothing_does_not_keep_us_from_ending(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"echo $$ > {tmp_path}/pid; exec yes")
    process = subprocess.Popen(
        [*PROGRAM, *SUBPROCESS, "--claude", str(claude), "-p"],
        env=environment(home), cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        pid = pid_in(tmp_path / "pid")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 128 + signal.SIGTERM
        wait_gone(pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_burst_at_the_end_arrives_whole(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "head -c 20000000 /dev/zero | tr '\\0' x; exit 5")
    with sit(claude, home) as terminal:
        assert terminal.wait(TIMEOUT * 3) == 5
        assert terminal.output.count(b"x" * 1000) == 20_000
    done = run(*SUBPROCESS, "--claude", str(claude), "-p", home=home, cwd=home)
    assert (done.returncode, len(done.stdout)) == (5, 20_000_000)


@pytest.mark.parametrize("left", ["yes", "while echo still here; do sleep 0.02; done"])
def test_who_keeps_writing_after_claudes_end_does_not_keep_us(left: str, home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"trap '' HUP; ({left}) & exit 4")
    assert run(*SUBPROCESS, "--claude", str(claude), "-p", home=home, cwd=home).returncode == 4
    with sit(claude, home) as terminal:
        assert terminal.wait() == 4


# --- ways to die -----------------------------------------------------------------------------------


def test_a_killed_leader_takes_claude_with_it(home: Path, tmp_path: Path) -> None:
    claude = script(
        tmp_path, f"trap '' HUP; echo $PPID > {tmp_path}/leader; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"
    )
    with sit(claude, home) as terminal:
        before = terminal.initial
        pid = pid_in(tmp_path / "pid")
        os.kill(pid_in(tmp_path / "leader"), signal.SIGKILL)
        assert terminal.wait() == 128 + signal.SIGKILL
        assert terminal.attributes() == before
        wait_gone(pid)


def test_a_killed_program_takes_claude_with_it(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"echo $PPID > {tmp_path}/leader; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done")
    with sit(claude, home) as terminal:
        pid = pid_in(tmp_path / "pid")
        terminal.signal(signal.SIGKILL)
        wait_gone(pid)
        wait_gone(pid_in(tmp_path / "leader"))


def test_a_signal_without_a_name_is_128_and_its_number(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "kill -40 $$")
    assert run(*SUBPROCESS, "--claude", str(claude), "-p", home=home, cwd=home).returncode == 168


@pytest.mark.parametrize("module", ["claude_mpm.cli.main", "claude_mpm.cli.launch", "claude_mpm.server.bind"])
def test_ctrl_c_while_we_start_leaves_no_traceback(module: str, home: Path, tmp_path: Path) -> None:
    path = at_start(
        tmp_path,
        "import os, sys\nclass Finder:\n    def find_spec(self, name, *rest):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), 2)\nsys.meta_path.insert(0, Finder())\n",
    )
    done = run(*SUBPROCESS, "--claude", "/bin/true", home=home, cwd=home, PYTHONPATH=path)
    assert done.returncode in (130, -signal.SIGINT)
    assert done.stderr == b""


# --- job control -----------------------------------------------------------------------------------


def test_started_in_the_background_it_waits_for_fg_and_has_the_terminal_then(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "stty raw -echo; echo READY; dd bs=1 count=1 2>/dev/null; exit 3")
    with shell(home) as terminal:
        terminal.write(b"stty -a > before\r" + line(claude) + b" &\r")
        terminal.wait_for(b"watch this session")

        def prompted() -> bool:
            terminal.write(b"\r")  # the shell tells of its jobs at the next prompt
            return b"Stopped" in terminal.output

        terminal.wait_for(prompted)
        assert b"READY" not in terminal.output
        terminal.write(b"fg\r")
        terminal.wait_for(b"READY")
        terminal.wait_for(terminal.is_raw)
        terminal.write(b"x")
        terminal.wait_for(lambda: not terminal.is_raw())
        terminal.write(b"echo code=$?; stty -a > after; exit\r")
        terminal.wait()
        assert b"code=3" in terminal.output
    assert (home / "before").read_text() == (home / "after").read_text()


def test_told_to_stop_from_outside_it_stops_once_and_takes_the_new_size(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "echo READY; read x; stty size; exit 3")
    with shell(home) as terminal:
        terminal.write(line(claude) + b"; echo code=$?\r")
        terminal.wait_for(b"READY")
        pid = int(subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(terminal.pid)]).split()[0])
        os.kill(pid, signal.SIGTSTP)
        at = terminal.wait_for(b"Stopped")
        terminal.resize(41, 117)
        terminal.write(b"fg; echo back=$?\r")
        terminal.wait_for(terminal.is_raw)
        terminal.write(b"\r")
        terminal.wait_for(b"41 117", since=at)
        terminal.wait_for(b"back=3", since=at)


def test_stopped_by_a_signal_nobody_can_catch_it_comes_back_raw(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "stty raw -echo; echo READY; dd bs=1 count=1 2>/dev/null; exit 3")
    with shell(home) as terminal:
        terminal.write(line(claude) + b"\r")
        terminal.wait_for(b"READY")
        pid = int(subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(terminal.pid)]).split()[0])
        os.kill(pid, signal.SIGSTOP)
        at = terminal.wait_for(b"Stopped")
        terminal.write(b"stty sane; fg; echo back=$?\r")
        terminal.wait_for(terminal.is_raw)
        terminal.write(b"x")
        terminal.wait_for(b"back=3", since=at)


SUSPENDS = "python3 -c 'import os,signal; os.kill(0, signal.SIGTSTP)'; echo BACK"


def test_where_no_shell_could_continue_us_a_suspended_claude_goes_on(home: Path, tmp_path: Path) -> None:
    with sit(script(tmp_path, f"{SUSPENDS}; exit 6"), home) as terminal:
        assert terminal.wait() == 6
        assert b"BACK" in terminal.output


def test_a_script_around_us_is_suspended_with_us(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"{SUSPENDS}; exit 6")
    wrapper = script(tmp_path, f"{line(claude).decode()}; echo inner=$?", "wrapper")
    with shell(home) as terminal:
        terminal.write(str(wrapper).encode() + b"\r")
        at = terminal.wait_for(b"Stopped")
        terminal.write(b"fg\r")
        terminal.wait_for(b"inner=6", since=at)


def test_a_suspended_session_can_be_ended(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"echo $$ > {tmp_path}/pid; {SUSPENDS}; exec sleep 1000")
    with shell(home) as terminal:
        terminal.write(line(claude) + b"\r")
        at = terminal.wait_for(b"Stopped")
        terminal.write(b"kill %1; while wait %1; c=$?; [ $c = 148 ]; do :; done; echo code=$c\r")
        terminal.wait_for(b"code=143", since=at)
        wait_gone(pid_in(tmp_path / "pid"))


# --- descriptors and signals -----------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("mode", [SUBPROCESS, EXEC])
def test_a_closed_standard_stream_is_nobody_elses(
    mode: tuple[str, ...], closed: str, home: Path, tmp_path: Path
) -> None:
    claude = script(tmp_path, f"ls -l /proc/self/fd > {tmp_path}/fds; echo out; echo err >&2; exit 3")
    command = shlex.join([*PROGRAM, *mode, "--claude", str(claude), "-p"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}"], env=environment(home), cwd=home, capture_output=True, timeout=TIMEOUT * 3
    )
    assert done.returncode == 3
    assert "socket:" not in (tmp_path / "fds").read_text()
    assert done.stdout == (b"" if ">&- " in f"{closed.replace('2>&-', '')} " else b"out\n")
    assert (b"err" in done.stderr) == ("2>&-" not in closed)


def test_stderr_sent_to_a_file_stays_there(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "echo SHOWN; echo hidden >&2; exit 3")
    command = f"{line(claude).decode()} 2> {tmp_path}/err"
    with Terminal(["bash", "-c", f"{command}; exit $?"], env=environment(home), cwd=home) as terminal:
        assert terminal.wait() == 3
        assert b"SHOWN" in terminal.output and b"hidden" not in terminal.output
    assert (tmp_path / "err").read_text().endswith("hidden\n")


@pytest.mark.parametrize("mode", [SUBPROCESS, EXEC])
def test_descriptors_the_user_passes_reach_claude_and_none_of_ours_do(
    mode: tuple[str, ...], home: Path, tmp_path: Path
) -> None:
    claude = script(tmp_path, "cat <&7; ls -l /proc/$$/fd; exit 3")
    (tmp_path / "given").write_text("given\n")
    command = shlex.join([*PROGRAM, *mode, "--claude", str(claude), "-p"])
    done = subprocess.run(
        ["bash", "-c", f"{command} 7< {tmp_path}/given"],
        env=environment(home), cwd=home, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT * 3,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout.startswith(b"given\n")
    numbers = set(re.findall(r" (\d+) -> ", done.stdout.decode())) - {"0", "1", "2", "7", "10", "255"}
    assert numbers == set(), "10 and 255 are a shell's own"


@pytest.mark.parametrize("mode", [(), SUBPROCESS, EXEC])
def test_claude_ignores_no_signal_that_the_user_did_not(mode: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    done = run(*mode, "--claude", str(script(tmp_path, "grep SigIgn /proc/$$/status")), "-p", home=home, cwd=home)
    ignored = int(done.stdout.split()[1], 16)
    assert [n for n in range(1, 32) if ignored >> (n - 1) & 1] == []


@pytest.mark.parametrize("mode", [SUBPROCESS, EXEC])
def test_what_only_linux_has_is_not_needed(mode: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    path = at_start(
        tmp_path, "import os\nfor name in ('pipe2', 'pidfd_open'):\n    if hasattr(os, name): delattr(os, name)\n"
    )
    with sit(script(tmp_path, "echo READY; read x; exit 3"), home, mode=mode, PYTHONPATH=path) as terminal:
        terminal.wait_for(b"READY")
        terminal.write(b"\r")
        assert terminal.wait() == 3
    assert run(*mode, "--claude", "/bin/true", "-p", home=home, cwd=home, PYTHONPATH=path).returncode == 0


# --- surroundings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [(), SUBPROCESS, EXEC])
def test_nothing_heavy_is_loaded_before_claude_starts(mode: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    path = at_start(
        tmp_path,
        "import os, sys\ndef hook(event, args):\n"
        "    if event in ('os.fork', 'os.exec', 'subprocess.Popen') and not os.path.exists('loaded'):\n"
        "        open('loaded', 'w').write(' '.join(sys.modules))\nsys.addaudithook(hook)\n",
    )
    with sit(script(tmp_path, "exit 0"), home, mode=mode, PYTHONPATH=path) as terminal:
        terminal.wait()
    loaded = set((home / "loaded").read_text().split())
    assert "claude_mpm.cli.main" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("mode", [(), SUBPROCESS, EXEC])
def test_what_is_no_utf_8_passes(mode: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(directory)
    claude = script(tmp_path, 'for a in "$@"; do :; done; printf "%s" "$a"; pwd')
    done = run(*mode, "--claude", str(claude), "-p", "\udce9t\udce9", home=home, cwd=Path(directory), LANG="C")
    assert done.returncode == 0
    assert done.stdout == b"\xe9t\xe9" + os.fsencode(directory) + b"\n"
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("mode", [SUBPROCESS, EXEC])
def test_arguments_too_long_for_the_system_are_126(mode: tuple[str, ...], home: Path) -> None:
    done = run(*mode, "--claude", "/bin/true", "-p", "x" * 100_000, home=home, cwd=home, LONG="y" * 100_000)
    assert done.returncode == 0
    line = [*PROGRAM, *mode, "--claude", "/bin/true", "-p"]
    grow = "import os, sys; os.environ['X'] = 'x' * 131000; os.execvp(sys.argv[1], sys.argv[1:] + ['y' * 131000] * 14)"
    done = subprocess.run(
        [sys.executable, "-c", grow, *line], env=environment(home), cwd=home, capture_output=True, timeout=TIMEOUT * 3
    )
    assert done.returncode in (0, 126)
    assert b"Traceback" not in done.stderr


def test_a_directory_that_is_gone_is_said_in_one_line(home: Path, tmp_path: Path) -> None:
    command = (
        f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir ../gone && {shlex.join(PROGRAM)} --claude /bin/true"
    )
    done = subprocess.run(["sh", "-c", command], env=environment(home), capture_output=True, timeout=TIMEOUT * 3)
    assert done.returncode == 2
    assert b"no longer exists" in done.stderr and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("kind", "word"), [("directory", b"a directory"), ("text", b"not executable")])
def test_what_is_no_program_is_126_and_says_why(kind: str, word: bytes, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.mkdir() if kind == "directory" else path.write_text("")
    done = run("--claude", str(path), home=home, cwd=home)
    assert done.returncode == 126
    assert word in done.stderr and done.stderr.count(b"\n") == 1


def test_a_log_on_a_disk_that_hangs_keeps_nobody(home: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logs = home / ".claude-mpm" / "logs"
    logs.mkdir(parents=True)
    os.mkfifo(logs / f"port-{port}.log")  # opening it for writing blocks for ever
    path = at_start(
        tmp_path, "import claude_mpm.monitor.session as s, logging\nold = s.Session.claude_running\n"
        "def new(self, pid):\n    s.log.warning('to the log')\n    old(self, pid)\ns.Session.claude_running = new\n",
    )  # fmt: skip
    args = (
        "--websocket",
        "--websocket-port",
        str(port),
        "--launch-method",
        "subprocess",
        "--claude",
        "/bin/true",
        "-p",
    )
    assert run(*args, home=home, cwd=home, PYTHONPATH=path).returncode == 0


def test_a_reader_that_leaves_or_a_full_disk_is_no_traceback(home: Path) -> None:
    program = shlex.join(PROGRAM)
    for command, said in ((f"{program} --help | true", b""), (f"{program} --help > /dev/full", b"No space left")):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            env=environment(home),
            capture_output=True,
            timeout=TIMEOUT * 3,
        )
        assert done.returncode in (0, 1, 141)
        assert said in done.stderr and done.stderr.count(b"\n") <= 1
        assert b"ignored" not in done.stderr and b"Traceback" not in done.stderr


def test_opening_the_page_runs_nothing_of_the_project(home: Path, tmp_path: Path) -> None:
    browser = script(tmp_path, f'echo "$1" > {tmp_path}/url.part; mv {tmp_path}/url.part {tmp_path}/url', "browser")
    (home / "webbrowser.py").write_text(f"open({str(tmp_path / 'hijacked')!r}, 'w')")
    args = [
        sys.executable,
        "-I",
        "-c",
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import claude_mpm.__main__ as m; m.run()",
    ]
    done = subprocess.run(
        [*args, environment(home)["PYTHONPATH"], *SUBPROCESS, "--open", "--claude", "/bin/true", "-p"],
        env=environment(home, BROWSER=f"{browser} %s &"), cwd=home, capture_output=True, timeout=TIMEOUT * 3,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wait_until((tmp_path / "url").exists, "the browser")
    assert not (tmp_path / "hijacked").exists()


def test_a_warning_is_no_error(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "exit 3")
    with Terminal(
        [sys.executable, "-W", "error", "-m", "claude_mpm", *SUBPROCESS, "--claude", str(claude)],
        env=environment(home), cwd=home,
    ) as terminal:  # fmt: skip
        assert terminal.wait() == 3
        assert b"rror" not in terminal.output
