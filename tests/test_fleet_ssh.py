"""Another machine's instances over ssh: a real sshd on loopback, and a scripted ssh for what a real one cannot do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from delivered import Delivered, started
from program import PROGRAM, environment
from program import registered as instance_files
from program import script as claude_script
from serving import TOKEN, FakeControl, Served, serving
from support import ROOT, wait_until
from terminal import Terminal

from claude_mpm.config import Config
from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.fleet.source import Source
from claude_mpm.fleet.ssh.source import SshSource
from claude_mpm.system.instances import register

sys.path.append(str(ROOT / "tools"))

from benchmarks.sshd import TOOLS, Sshd, program_in, sshd

needs_sshd = pytest.mark.skipif(None in TOOLS, reason="OpenSSH's ssh, sshd and ssh-keygen are not all installed")
SOON = 0.05  # seconds before the second attempt


@contextmanager
def machine(directory: Path, run_by: Sequence[str] = ()) -> Iterator[Sshd]:
    """A machine with claude-mpm on its PATH and a home directory `home`; its sshd is run by the command given."""
    (directory / "home").mkdir()
    path = f"{program_in(directory, ROOT).parent}:/usr/bin:/bin"
    with sshd(directory, {"HOME": str(directory / "home"), "PATH": path}, run_by) as server:
        yield server


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with machine(tmp_path_factory.mktemp("far")) as server:
        yield server


def ssh_source(far: Sshd, url: str = "ssh://there", options: tuple[str, ...] = ()) -> SshSource:
    return SshSource(url, options=(*options, *far.options), retry_first=SOON)


@contextmanager
def instance(far: Sshd, instance_id: str = "run-1", control: FakeControl | None = None) -> Iterator[Served]:
    """One that is registered over there; it is gone afterwards."""
    with serving(Config(token=TOKEN, control=control is not None), control, instance_id) as served:
        info: dict[str, Any] = {
            "instance_id": instance_id,
            "port": served.port,
            "host": "localhost",
            "pid": os.getpid(),
        }
        info |= {"working_dir": "/w", "started_at": "2026-01-02T03:04:05.678Z"}
        state_dir = far.directory / "home" / ".claude-mpm"
        register(state_dir, info, TOKEN)
        yield served
        (state_dir / "instances" / f"{instance_id}.json").unlink()


def message(number: int) -> ev.Event:
    return ev.claude_message("assistant", f"text {number}", origin=Origin("transcript"))


def bridges(far: Sshd) -> list[psutil.Process]:
    """The bridges that run over there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[-1:] == ["bridge"] and process.environ().get("HOME") == str(far.directory / "home"):
                found.append(process)
        except psutil.Error:
            pass
    return found


# --- with a real sshd ------------------------------------------------------------------------------


@needs_sshd
def test_sessions_over_there_are_seen_from_start_to_end(far: Sshd, tmp_path: Path) -> None:
    home = far.directory / "home"
    argv = [*PROGRAM, "--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude"]
    claude = str(claude_script(tmp_path, "echo shown; read line; exit 3"))
    source: Source = ssh_source(far)
    with (
        started(source) as delivered,
        Terminal([*argv, claude], env=environment(home), cwd=tmp_path) as one,
        Terminal([*argv, claude, "--name", "two"], env=environment(home), cwd=tmp_path) as two,
    ):
        delivered.wait_for(lambda: len(delivered.listed()) == 2, "both sessions")
        (name,) = [f["info"]["instance_id"] for f in instance_files(home) if f["info"]["name"] == "two"]
        delivered.wait_for(lambda: "claude.status" in delivered.types(name))
        source.send({"command": "get_status", "instance_id": name, "request_id": "h-1"}, trusted=True)
        assert delivered.wait_reply("h-1")["data"]["instance_info"]["name"] == "two"
        two.write(b"\r")
        assert two.wait() == 3
        delivered.wait_for(lambda: delivered.types(name)[-1] == "session.end")
        delivered.wait_for(lambda: len(delivered.listed()) == 1)
        assert delivered.of(name)[-1]["data"]["exit_code"] == 3
        one.write(b"\r")
        one.wait()
        delivered.wait_for(lambda: delivered.listed() == [])
    assert all(f["data"]["instance_info"]["machine"] for f in delivered.frames if f["type"] == "session.start")
    assert delivered.types(name)[:2] == ["system.status", "session.start"]
    assert "claude.output" not in delivered.types(name)
    assert delivered.seqs(name) == sorted(set(delivered.seqs(name)))
    wait_until(lambda: not bridges(far), "the bridge to end")


@needs_sshd
def test_a_lost_connection_is_made_again_without_hole_or_duplicate(tmp_path: Path) -> None:
    with machine(tmp_path) as far, instance(far) as served, started(source := ssh_source(far)) as delivered:
        source.want({"run-1": frozenset({ev.CLAUDE_OUTPUT})})
        served.log.append(message(1))
        delivered.wait_seqs("run-1", [1])
        far.stop()
        delivered.wait_error("there")
        with pytest.raises(ServerUnavailable, match="there cannot be reached"):
            source.send({"command": "ping", "instance_id": "run-1", "request_id": "h-0"}, trusted=True)
        for number in range(3):
            served.log.append(message(number))
            served.log.append(ev.claude_output("wanted", 0))
        delivered.wait_error("there refuses ssh connections")
        far.start()
        delivered.wait_seqs("run-1", [1, 2, 3, 4, 5, 6, 7])
        served.log.append(ev.claude_output("wanted", 0))
        delivered.wait_seqs("run-1", [1, 2, 3, 4, 5, 6, 7, 8])
    assert delivered.types("run-1").count("system.status") == 2
    assert TOKEN not in str(delivered.frames)


@needs_sshd
def test_a_bridge_that_dies_is_started_again_and_goes_on(far: Sshd) -> None:
    with instance(far) as served, started(ssh_source(far)) as delivered:
        served.log.append(message(1))
        delivered.wait_seqs("run-1", [1])
        for bridge in bridges(far):
            bridge.kill()
        delivered.wait_error("there")
        served.log.append(message(2))
        delivered.wait_seqs("run-1", [1, 2])


@needs_sshd
def test_commands_reach_the_instance_with_the_clients_trust(far: Sshd) -> None:
    control = FakeControl()
    source = ssh_source(far)
    with instance(far, control=control), started(source) as delivered:
        delivered.wait_for(lambda: delivered.types("run-1"))
        stop = {"command": "stop", "instance_id": "run-1", "request_id": "h-1"}
        source.send({**stop, "trusted": True}, trusted=False)
        assert delivered.wait_reply("h-1")["data"]["code"] == "forbidden"
        source.send({**stop, "command": "want", "wanted": {"run-1": ["claude.output"]}, "request_id": "h-2"}, False)
        assert delivered.wait_reply("h-2")["data"]["code"] == "forbidden"
        source.send({**stop, "request_id": "h-3"}, trusted=True)
        assert delivered.wait_reply("h-3")["type"] == "done"
        with pytest.raises(ServerUnavailable, match="no such session on there"):
            source.send({**stop, "instance_id": "run-9"}, trusted=True)
    assert control.done == [("stop",)]


@needs_sshd
def test_a_shell_that_greets_is_passed_over(far: Sshd) -> None:
    greeting = far.directory / "home" / ".bashrc"
    greeting.write_text("echo Welcome to this machine; printf 'You have mail. '\n")
    try:
        with started(ssh_source(far)) as delivered:
            delivered.wait_for(lambda: delivered.frames)
            assert delivered.frames[0]["type"] == "instances"
    finally:
        greeting.unlink()


@needs_sshd
def test_a_program_elsewhere_is_found_by_its_path(far: Sshd) -> None:
    elsewhere = far.directory / "home" / "it's mine" / "claude-mpm"
    elsewhere.parent.mkdir()
    elsewhere.symlink_to(far.directory / "bin" / "claude-mpm")
    with started(ssh_source(far, "ssh://there?command=~/it%27s%20mine/claude-mpm")) as delivered:
        delivered.wait_for(lambda: delivered.frames)
        assert delivered.frames[0]["type"] == "instances"


@needs_sshd
@pytest.mark.parametrize(
    ("url", "options", "sentence", "hint"),
    [
        ("ssh://there", ("-o", "UserKnownHostsFile=none"), "the host key of there is not known here", "by hand"),
        ("ssh://there?command=/nowhere/claude-mpm", (), "/nowhere/claude-mpm was not found on there", "?command=~/"),
        ("ssh://there?command=/etc/passwd", (), "/etc/passwd on there cannot be executed", "the program itself"),
    ],
)
def test_a_trouble_is_one_line_with_what_to_do(
    far: Sshd, url: str, options: tuple[str, ...], sentence: str, hint: str
) -> None:
    with started(ssh_source(far, url, options)) as delivered:
        error = delivered.wait_error(sentence)
        assert hint in error["hint"]
        assert (error["error"] + error["hint"]).isprintable()


@needs_sshd
def test_a_key_that_is_not_let_in(far: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = (far.directory / "ssh_config").read_text()
    config.write_text(text.replace("/user_key", "/strange_key"))
    with started(SshSource("ssh://there", options=("-F", str(config)), retry_first=SOON)) as delivered:
        error = delivered.wait_error("there does not let you in without a question")
        assert "ssh-copy-id" in error["hint"] and "ssh there -o BatchMode=yes true" in error["hint"]


@needs_sshd
def test_a_host_key_that_changed(far: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"there {(far.directory / 'strange_key.pub').read_text()}")
    with started(ssh_source(far, options=("-o", f"UserKnownHostsFile={known}"))) as delivered:
        assert "ssh-keygen -R" in delivered.wait_error("the host key of there has changed")["hint"]


# --- with a scripted ssh ---------------------------------------------------------------------------

HELLO = json.dumps({"type": "bridge.hello", "data": {"version": "9", "protocol": 1, "machine": "m"}}).replace(" ", "")


def instances_line(*names: str) -> str:
    stamp = "2026-01-02T03:04:05.678Z"
    infos = [{"instance_id": name, "port": 1, "host": "localhost", "working_dir": "/w"} for name in names]
    return json.dumps({"type": "instances", "timestamp": stamp, "data": {"instances": infos}})


def event_line(instance_id: str, seq: int) -> str:
    return json.dumps({"type": "todo.update", "data": {}, "instance_id": instance_id, "seq": seq})


@contextmanager
def fake(tmp_path: Path, text: str, **more: Any) -> Iterator[Delivered]:
    """A source whose ssh is a shell script."""
    ssh = claude_script(tmp_path, text, "ssh")
    with started(SshSource("ssh://far", ssh=str(ssh), retry_first=SOON, **more), checked=False) as delivered:
        yield delivered


@pytest.mark.parametrize(
    ("code", "said", "sentence", "hint"),
    [
        (255, "ssh: Could not resolve hostname far: Name or service not known", "far is an unknown host", "spelling"),
        (255, "ssh: connect to host far port 22: Connection timed out", "far cannot be reached", "is it on"),
        (255, "ssh: connect to host far port 22: No route to host", "far cannot be reached", "is it on"),
        (255, "u@far: Permission denied (publickey,password).", "far does not let you in", "ssh-add"),
        (255, "Bad configuration option: x\\nterminating", "ssh to far failed: terminating", "ssh far"),
        (127, "bash: line 1: claude-mpm: command not found", "claude-mpm was not found on far", "?command=~/path"),
        (1, "claude-mpm: Command not found.", "claude-mpm was not found on far", "install it there"),
        (2, "claude-mpm: there is no help on `bridge`; the commands are", "claude-mpm on far is too old", "update it"),
        (1, "claude-mpm: cannot find your home directory", "ended with exit code 1: claude-mpm: cannot", "help bridge"),
        (0, "", "claude-mpm on far ended with exit code 0", "help bridge"),
    ],
)
def test_what_ssh_says_becomes_one_line(tmp_path: Path, code: int, said: str, sentence: str, hint: str) -> None:
    with fake(tmp_path, f"printf '{said}\\n' >&2; exit {code}") as delivered:
        error = delivered.wait_error(sentence)
    assert hint in error["hint"]
    assert set(error) == {"error", "hint", "component", "severity"}
    assert len(delivered.errors()) == 1


def test_the_same_trouble_is_told_once_and_again_after_a_good_time(tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    text = f"""echo x >> {attempts}
    case $(wc -l < {attempts}) in 4) echo '{HELLO}'; read follow; echo '{instances_line()}' ;; esac
    echo 'ssh: connect to host far port 22: Connection refused' >&2; exit 255"""
    with fake(tmp_path, text) as delivered:
        delivered.wait_for(lambda: len(delivered.errors()) == 2)
        assert attempts.read_text().count("x") == 4
    assert [f["type"] for f in delivered.frames] == ["system.error", "instances", "system.error"]


def test_no_ssh_on_this_machine() -> None:
    with started(SshSource("ssh://far", ssh="/nowhere/ssh")) as delivered:
        assert "OpenSSH" in delivered.wait_error("ssh cannot be started: No such file")["hint"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("yes | head -c 100000; exec cat", "what far sends is not a bridge's"),
        ("head -c 100000 /dev/zero; exec cat", "what far sends is not a bridge's"),
        (f"echo '{HELLO}'; echo hello; exec cat", "what far sends is not a bridge's"),
        (f"echo '{HELLO.replace(':1,', ':2,')}'; exec cat", "another version"),
        (f"echo '{HELLO}'; exit 7", "the bridge on far ended with exit code 7"),
        (f"echo '{HELLO}'; kill -9 $$", "the bridge on far was ended by signal 9"),
        (f"echo '{HELLO}'; echo 'Timeout, server far not responding.' >&2; exit 255", "it does not answer any more"),
    ],
)
def test_what_is_no_bridge_or_no_longer_one_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    with fake(tmp_path, text) as delivered:
        delivered.wait_error(sentence)
    assert len(delivered.frames) == 1


def test_a_machine_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with fake(tmp_path, "exec cat", hello_time=0.1) as delivered:
        delivered.wait_error("claude-mpm on far said nothing for 0.1 s")


def test_a_machine_speaks_for_its_own_instances_only_and_each_event_comes_once(tmp_path: Path) -> None:
    lines = [instances_line("a"), *(event_line(*e) for e in (("a", 3), ("b", 1), ("a", 3), ("a", 2), ("a", 4)))]
    told = "\n".join([HELLO, *lines])
    with fake(
        tmp_path, f"cat <<'EOF'\n{told}\nEOF\nread line; echo \"$line\" > {tmp_path}/told; exec cat"
    ) as delivered:
        delivered.wait_for(lambda: delivered.seqs("a")[-1:] == [4])
        wait_until(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text().endswith("\n"))
    assert (delivered.seqs("a"), delivered.seqs("b")) == ([3, 4], [])
    assert json.loads((tmp_path / "told").read_text()) == {
        "command": "follow",
        "since": {},
        "wanted": {},
        "attended": False,
    }


def test_a_connection_that_takes_nothing_holds_nobody_up(tmp_path: Path) -> None:
    ssh = claude_script(tmp_path, f"echo '{HELLO}'; echo '{instances_line('a')}'; exec sleep 60", "ssh")
    source = SshSource("ssh://far", ssh=str(ssh), retry_first=SOON)
    message = {"command": "send_input", "text": "x" * 60_000, "instance_id": "a", "request_id": "h-1"}
    with started(source, checked=False) as delivered:
        delivered.wait_for(delivered.listed)
        with pytest.raises(ServerUnavailable, match="far takes no commands at the moment"):
            for _ in range(100):
                source.send(message, trusted=True)
        for _ in range(1_000):
            source.want({"a": frozenset({ev.CLAUDE_OUTPUT})})
