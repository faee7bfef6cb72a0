"""The program from outside: a terminal or pipes before it, a script in claude's place, a client beside it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from program import PROGRAM, environment, gone, port_in, run, script, wait_gone
from support import ROOT, TIMEOUT, wait_until
from terminal import Terminal
from watching import Watcher

from claude_mpm.launch.front import MONITOR_STOPPED

SUBPROCESS = ("--websocket", "--websocket-port", "0", "--launch-method", "subprocess")
EXEC = ("--websocket", "--websocket-port", "0")


@pytest.fixture()
def cwd(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


def sit(claude: Path, home: Path, cwd: Path, *args: str, mode: tuple[str, ...] = SUBPROCESS, **env: str) -> Terminal:
    """A terminal at which the program was started with `claude`."""
    return Terminal(
        [*PROGRAM, *mode, "--claude", str(claude), *args], env=environment(home, **env), cwd=cwd, rows=30, cols=100
    )


def port_of(terminal: Terminal) -> int:
    return wait_until(lambda: port_in(bytes(terminal.output)), "the announcement of the page") or 0


@pytest.fixture()
def watch() -> Iterator[Callable[[int], Watcher]]:
    """Starts watchers, and closes them after the test."""
    with ExitStack() as watchers:
        yield lambda port: watchers.enter_context(Watcher(port))


# --- a terminal ------------------------------------------------------------------------------------


def test_session_on_a_terminal_is_seen_from_start_to_end(
    home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    claude = script(tmp_path, 'echo "args: $*"; read line; echo "got $line"; exit 7')
    with sit(claude, home, cwd, "--model", "opus", "two words") as terminal:
        terminal.wait_for(b"two words")
        seen = watch(port_of(terminal))
        seen.wait_event("claude.status", status="running")
        terminal.write(b"hello\r")
        assert terminal.wait() == 7
        seen.wait_ended()
    kinds = seen.types()
    assert kinds[:3] == ["system.status", "subscribed", "session.start"]
    assert kinds[-1] == "session.end"
    (end,) = seen.all("session.end")
    assert (end["exit_code"], end["signal"]) == (7, None)
    (start,) = seen.all("session.start")
    assert start["instance_info"]["working_dir"] == str(cwd)
    assert start["launch_method"] == "subprocess"
    output = seen.text("claude.output", "content")
    assert f"--session-id {start['session_id']}" in output
    assert "--model opus two words" in output
    assert "got hello" in output


def test_size_inside_is_the_size_outside_also_after_a_resize(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "trap 'stty size; exit 0' WINCH; stty size; while :; do read x; done")
    with sit(claude, home, cwd) as terminal:
        terminal.wait_for(b"30 100")
        terminal.resize(41, 117)
        terminal.wait_for(b"41 117")
        terminal.write(b"\r")
        terminal.wait()


BOX = "┌─┬─┐│═║╔╗╚╝█▓▒░✳◐日本"


def test_forty_kilobytes_of_box_drawing_arrive_whole(
    home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    text = (BOX * 1500)[:15_000]
    (tmp_path / "box").write_text(text, encoding="utf-8")
    claude = script(tmp_path, f"read x; cat {tmp_path}/box; echo; exit 0")
    with sit(claude, home, cwd) as terminal:
        seen = watch(port_of(terminal))
        seen.wait_event("claude.status", status="running")
        terminal.write(b"\r")
        assert terminal.wait() == 0
        shown = bytes(terminal.output).decode("utf-8")
        seen.wait_ended()
        served = seen.text("claude.output", "content")
    assert len(text.encode()) > 40_000
    assert text in shown
    assert text in served
    assert "\ufffd" not in served


@pytest.mark.parametrize(
    ("how", "ending", "code"),
    [
        ("exit", "exit 3", 3),
        ("crash", "kill -SEGV $$", 139),
        ("killed", "kill -KILL $$", 137),
    ],
)
def test_terminal_is_as_before_after_claude_ends(
    how: str, ending: str, code: int, home: Path, cwd: Path, tmp_path: Path
) -> None:
    claude = script(
        tmp_path,
        rf"stty raw -echo; printf '\033[?1049h\033[?2004h\033[>5uREADY'; dd bs=1 count=1 2>/dev/null; {ending}",
    )
    with sit(claude, home, cwd) as terminal:
        before = terminal.initial
        terminal.wait_for(b"READY")
        assert terminal.attributes() != before
        terminal.write(b"x")
        assert terminal.wait() == code
        assert terminal.attributes() == before
        _, restored, after = terminal.output.rpartition(b"\x1b[<1u\x1b[?2004l\x1b[?1049l\x1b[0m")
        assert restored and b"\x1b" not in after  # on a busy machine, a line about the monitor may follow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_ends_everything_and_restores_the_terminal(
    number: signal.Signals, home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    claude = script(tmp_path, 'stty raw -echo; sleep 1000 & echo "PIDS $$ $!."; wait')
    with sit(claude, home, cwd) as terminal:
        before = terminal.initial
        found = wait_until(lambda: re.findall(rb"PIDS (\d+) (\d+)\.", bytes(terminal.output)), "the pids")[0]
        seen = watch(port_of(terminal))
        seen.wait_event("claude.status", status="running")
        terminal.signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.attributes() == before
        for pid in found:
            wait_gone(int(pid))
        seen.wait_ended()
        assert seen.types()[-1] == "session.end"
        assert seen.all("session.end")[0]["signal"] == number.name


def test_a_terminal_that_goes_leaves_claude_the_time_to_end_well(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(
        tmp_path,
        f"trap 'sleep 0.3; echo done > {tmp_path}/end; exit 0' HUP; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done",
    )
    with sit(claude, home, cwd) as terminal:
        wait_until((tmp_path / "pid").exists, "claude")
        pid = int(wait_until((tmp_path / "pid").read_text, "its pid"))
        terminal.hang_up()
        wait_gone(pid)
        wait_gone(terminal.pid)
    assert (tmp_path / "end").exists()


def test_a_claude_that_ignores_sigterm_is_killed(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "trap '' TERM; stty raw -echo; echo READY; while :; do sleep 1; done")
    with sit(claude, home, cwd) as terminal:
        before = terminal.initial
        terminal.wait_for(b"READY")
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == 137
        assert terminal.attributes() == before


def test_sigint_to_us_reaches_claude_as_typed(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "stty raw -echo; echo READY; dd bs=1 count=1 2>/dev/null | od -c; exit 5")
    with sit(claude, home, cwd) as terminal:
        terminal.wait_for(b"READY")
        terminal.signal(signal.SIGINT)
        terminal.wait_for(b"003")
        assert terminal.wait() == 5


def test_keys_pass_untouched(home: Path, cwd: Path, tmp_path: Path) -> None:
    keys = b"\x1b[<0;10;5M\x1b[99;5u\x1b[200~a\xe2\x94\x80b\x1b[201~\x03\x1a\x11\x13\x7f\x00Z"
    claude = script(tmp_path, f"stty raw -echo; echo READY; head -c {len(keys)} > {tmp_path}/keys; exit 0")
    with sit(claude, home, cwd) as terminal:
        terminal.wait_for(b"READY")
        terminal.write(keys)
        assert terminal.wait() == 0
    assert (tmp_path / "keys").read_bytes() == keys


def test_a_suspended_claude_gives_the_shell_a_sane_terminal_and_fg_resumes_both(
    home: Path, cwd: Path, tmp_path: Path
) -> None:
    suspend = "python3 -c 'import os,signal; os.kill(0, signal.SIGTSTP)'"
    claude = script(
        tmp_path,
        f"stty raw -echo; echo READY; dd bs=1 count=1 2>/dev/null; stty sane; {suspend}; stty size; echo BACK; exit 3",
    )
    line = " ".join([*PROGRAM, *SUBPROCESS, "--claude", str(claude)])
    with Terminal(["bash", "--norc", "-i"], env=environment(home, PS1="@@ "), cwd=cwd, rows=30, cols=100) as terminal:
        terminal.wait_for(b"@@ ")
        terminal.write(b"stty -a > before\r" + line.encode() + b"\r")
        terminal.wait_for(b"READY")
        terminal.write(b"\x1a")
        terminal.wait_for(b"Stopped")
        terminal.write(b"stty -a > stopped; fg\r")
        back = terminal.wait_for(b"BACK")
        terminal.wait_for(b"@@ ", since=back)
        terminal.write(b"echo code=$?\r")
        terminal.wait_for(b"code=3")
        terminal.write(b"stty -a > after; exit\r")
        terminal.wait()
    assert (cwd / "before").read_text() == (cwd / "stopped").read_text() == (cwd / "after").read_text()


# --- pipes -----------------------------------------------------------------------------------------


def test_pipes_pass_unmixed_and_unmodified(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, r"cat; printf '\000\377out'; printf 'err\377' >&2; exit 4")
    done = run(*SUBPROCESS, "--claude", str(claude), "-p", home=home, cwd=cwd, stdin=b"in\xff\n" * 50_000)
    assert done.returncode == 4
    assert done.stdout == b"in\xff\n" * 50_000 + b"\x00\xffout"
    head, _, rest = done.stderr.partition(b"\n")
    assert port_in(head)
    late = f"claude-mpm: {MONITOR_STOPPED}\n".encode()  # said on a busy machine
    assert rest.removesuffix(late) == b"err\xff", "what we say ourselves is one line before Claude starts"


def test_our_reader_leaving_is_claudes_reader_leaving(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"echo $$ > {tmp_path}/pid; exec yes")
    line = " ".join([*PROGRAM, *SUBPROCESS, "--claude", str(claude), "-p"]) + " | head -c 10; echo ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment(home),
        cwd=cwd,
        capture_output=True,
        timeout=TIMEOUT * 3,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout == b"y\ny\ny\ny\ny\n141\n"
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_a_claude_on_pipes(number: signal.Signals, home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "trap 'exit 33' INT; trap 'exit 44' TERM; echo READY; while :; do sleep 0.05; done")
    process = subprocess.Popen(
        [*PROGRAM, *SUBPROCESS, "--claude", str(claude), "-p"],
        env=environment(home), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"READY\n"
        process.send_signal(number)
        assert process.wait(TIMEOUT) == {signal.SIGINT: 33, signal.SIGTERM: 44}[number]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- exec ------------------------------------------------------------------------------------------


def test_exec_becomes_claude_and_a_sidecar_tells_its_end(
    home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    claude = script(tmp_path, 'echo "PID $$."; read line; exit 9')
    with sit(claude, home, cwd, mode=EXEC) as terminal:
        found = wait_until(lambda: re.findall(rb"PID (\d+)\.", bytes(terminal.output)), "the pid")
        assert int(found[0]) == terminal.pid, "the process is Claude now"
        seen = watch(port_of(terminal))
        status = seen.wait_event("claude.status", status="running")
        assert status["pid"] == terminal.pid
        terminal.write(b"\r")
        assert terminal.wait() == 9
        seen.wait_ended()
    assert seen.types()[-1] == "session.end"
    assert seen.all("session.end")[0]["exit_code"] is None, "only the parent learns it"
    wait_until(lambda: not list((home / ".claude-mpm" / "instances").glob("*.json")), "the registry to be clean")


def test_a_sidecar_outlives_nothing_and_holds_nothing(
    home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    claude = script(tmp_path, "ls -l /proc/self/fd; sleep 1000")
    with sit(claude, home, cwd, mode=EXEC) as terminal:
        seen = watch(port_of(terminal))
        info = seen.wait_event("session.start")["instance_info"]
        assert info["pid"] != terminal.pid
        assert b"socket:" not in bytes(terminal.output), "Claude inherits no port"
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.wait()
        seen.wait_ended()
        assert seen.types()[-1] == "session.end"
    wait_gone(info["pid"])


def test_a_sidecar_told_to_stop_says_so_and_leaves_claude_alone(
    home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    claude = script(tmp_path, "read line; exit 0")
    with sit(claude, home, cwd, mode=EXEC) as terminal:
        seen = watch(port_of(terminal))
        pid = seen.wait_event("session.start")["instance_info"]["pid"]
        os.kill(pid, signal.SIGTERM)
        seen.wait_ended()
        assert "stop watching" in seen.all("session.end")[0]["reason"]
        assert [data["status"] for data in seen.all("claude.status")] == ["starting", "running"], "it runs on"
        wait_gone(pid)
        terminal.write(b"\r")
        assert terminal.wait() == 0


# --- before Claude starts --------------------------------------------------------------------------


@pytest.fixture()
def taken() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


@pytest.mark.parametrize("method", ["exec", "subprocess"])
def test_a_named_port_that_is_taken_ends_us_before_claude_starts(
    method: str, taken: socket.socket, home: Path, cwd: Path, tmp_path: Path
) -> None:
    claude = script(tmp_path, f"touch {tmp_path}/started")
    port = taken.getsockname()[1]
    done = run(
        "--websocket",
        "--websocket-port",
        str(port),
        "--launch-method",
        method,
        "--claude",
        str(claude),
        home=home,
        cwd=cwd,
    )
    assert done.returncode == 2
    assert not (tmp_path / "started").exists()
    said = done.stderr.decode()
    assert said.count("\n") == 1
    assert f"port {port} is taken by" in said
    assert f"pid {os.getpid()}" in said
    assert re.search(r"--websocket-port \d+", said)


def test_a_port_taken_on_ipv6_only_is_taken(home: Path, cwd: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as listening:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(("::1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        done = run(
            "--websocket",
            "--websocket-port",
            str(port),
            "--claude",
            str(script(tmp_path, "exit 0")),
            home=home,
            cwd=cwd,
        )
    assert done.returncode == 2
    assert b"is taken" in done.stderr


def test_a_missing_claude_is_127_and_names_the_demo(home: Path, cwd: Path) -> None:
    done = run("--websocket", "--claude", "/nowhere/claude", home=home, cwd=cwd)
    assert done.returncode == 127
    assert b"npm install -g" in done.stderr
    assert b"--demo" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("mode", [SUBPROCESS, EXEC])
def test_a_claude_the_system_refuses_is_126(mode: tuple[str, ...], home: Path, cwd: Path, tmp_path: Path) -> None:
    broken = script(tmp_path, "")
    broken.write_text("#!/nowhere/interpreter\n")
    done = run(*mode, "--claude", str(broken), home=home, cwd=cwd)
    assert done.returncode == 126
    assert b"cannot be started" in done.stderr
    assert b"Traceback" not in done.stderr


def test_without_websocket_it_is_a_plain_launcher(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, 'echo "$#"; echo "$PPID"; exit 6')
    done = run("--claude", str(claude), "-p", "a b", home=home, cwd=cwd)
    assert done.returncode == 6
    assert done.stdout.startswith(b"4\n")
    assert done.stderr == b""
    assert not (home / ".claude-mpm").exists()


def test_what_is_not_ours_goes_to_claude_unchanged(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, 'for a in "$@"; do echo "<$a>"; done')
    done = run(
        "--claude", str(claude), "--web", "-r", "--mod", "x", "--", "--websocket", "--version", home=home, cwd=cwd
    )
    assert done.stdout.decode().split() == ["<--web>", "<-r>", "<--mod>", "<x>", "<--websocket>", "<--version>"]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--websocket-port", "x"), "is not a port number"),
        (("--websocket", "--websocket-host", "0.0.0.0"), "token"),
        (("--websocket", "--websocket-control"), "--websocket-token"),
        (("--websocket", "--websocket-token", "short"), "16 or more"),
        (("--launch-method", "magic"), "exec"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_clear_line(args: tuple[str, ...], word: str, home: Path, cwd: Path) -> None:
    done = run(*args, "--claude", "/bin/true", home=home, cwd=cwd)
    assert done.returncode == 2
    assert word in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("instances", "--help"), ("monitor", "--help")])
def test_help_teaches(args: tuple[str, ...], home: Path, cwd: Path) -> None:
    done = run(*args, home=home, cwd=cwd)
    assert done.returncode == 0
    assert done.stdout
    assert ROOT.joinpath("claude_mpm").exists()


def test_settings_we_do_not_understand_cost_the_hooks_and_nothing_else(
    home: Path, cwd: Path, tmp_path: Path, watch: Callable[[int], Watcher]
) -> None:
    claude = script(tmp_path, 'echo "$@"; read line')
    with sit(claude, home, cwd, "--settings", "{broken") as terminal:
        seen = watch(port_of(terminal))
        assert "--settings cannot be read" in seen.wait_event("system.error", component="hooks")["error"]
        terminal.wait_for(b"--settings {broken")
        terminal.write(b"\r")
        assert terminal.wait() == 0


def test_a_missing_library_is_said_before_claude_starts(home: Path, cwd: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, f"touch {tmp_path}/started")
    args = [sys.executable, "-S", "-m", "claude_mpm", "--websocket", "--claude", str(claude)]  # -S: no site-packages
    done = subprocess.run(args, env=environment(home), cwd=cwd, capture_output=True, timeout=TIMEOUT * 3)
    assert done.returncode == 2
    assert b"wsproto" in done.stderr and b"pip install" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "started").exists()
