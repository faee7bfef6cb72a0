"""`claude-mpm status`: real servers in the registry, and some that hang, are dead, want a token or lie."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from program import PROGRAM, environment, run, script
from serving import TOKEN, Served, ask, get, serving
from support import ROOT, TIMEOUT
from terminal import Terminal

from claude_mpm.cli import instance_states, status
from claude_mpm.config import Config
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.system import instances

Json = dict[str, Any]
BASH = {"kind": "permission", "tool": "Bash", "input": {"command": "rm -r x" * 1000}}


def doing(activity: Any, at: float = 0.0, **more: Any) -> Event:
    return ev.claude_status("running", origin=Origin("hook", at), activity=activity, **more)


WAITING, WORKING, IDLE = doing("waiting", waiting_for=BASH), doing("working"), doing("idle")
ENDED = ev.session_end(None, 5.0, 5.0, exit_code=0, signal=None, reason="Claude ended")


def registered(home: Path, port: int, token: str | None = None, **more: Any) -> Json:
    info = {
        "instance_id": str(uuid.uuid4()),
        "port": port,
        "host": "localhost",
        "hostname": "here",
        "working_dir": "/home/u/project",
        "pid": os.getpid(),
        "started_at": "2026-11-23T12:00:00.000Z",
        **more,
    }
    instances.register(home / ".claude-mpm", info, token)
    return info


@pytest.fixture
def instance(home: Path) -> Iterator[Callable[..., Served]]:
    """Starts a server with these events in its log, and registers it."""
    with ExitStack() as servers:

        def start(*events: Event, config: Config | None = None, **info: Any) -> Served:
            served = servers.enter_context(serving(config))
            for event in events:
                served.log.append(event)
            registered(home, served.port, config.token if config else None, **info)
            return served

        yield start


@contextmanager
def raw_server(answer: bytes | None) -> Iterator[int]:
    """A server of ours no more: it says `answer` to each connection, or nothing at all until the test is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as held:

        def serve() -> None:
            while True:
                try:
                    sock = held.enter_context(listener.accept()[0])
                except OSError:
                    return
                if answer is not None:
                    sock.recv(4096)
                    sock.sendall(answer)
                    sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT)


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, int]:
    code = status.run(args)
    return capsys.readouterr().out.removesuffix("\n"), code


def as_json(capsys: pytest.CaptureFixture[str]) -> Json:
    text, _ = said(capsys, "--json")
    value: Json = json.loads(text)
    return value


def test_the_line_begins_with_who_needs_you_and_so_says_the_exit_code(
    instance: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys) == ("no sessions", 0)
    for event in (WORKING, WORKING, IDLE):
        instance(event)
    assert said(capsys) == ("2 working · 1 idle", 0)
    instance(WAITING)
    assert said(capsys) == ("1 needs you · 2 working · 1 idle", 1)
    instance(WAITING)
    assert said(capsys) == ("2 need you · 2 working · 1 idle", 1)
    assert said(capsys, "--format", "{needs_you}/{total} {{}}\\n") == ("2/5 {}\\n", 1)


def test_what_is_over_or_has_not_begun_is_told_apart(
    instance: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    instance(WAITING, ENDED)
    instance(WORKING, ev.claude_status("error", origin=Origin("process"), exit_code=1))
    instance(ev.claude_status("running", origin=Origin("process"), pid=5))
    instance(WORKING, kind="replay")
    instance(WORKING, kind="overview")
    assert said(capsys) == ("1 idle · 2 ended", 0)


def test_one_json_object_has_what_a_bar_shows_and_what_a_script_needs(
    instance: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    served = instance(doing("waiting", 7.0, waiting_for=BASH), name="review")
    answer = as_json(capsys)
    assert (answer["text"], answer["class"]) == ("1 needs you", "needs-you")
    assert answer["tooltip"] == "review: needs you: permission (Bash)"
    assert answer["counts"] == {"needs_you": 1, "working": 0, "idle": 0, "ended": 0, "unknown": 0, "total": 1}
    (described,) = answer["instances"]
    assert described.pop("instance_id")
    assert described == {
        "name": "review", "working_dir": "/home/u/project", "port": served.port, "machine": "here", "state": "needs_you",
        "waiting_for": {"kind": "permission", "tool": "Bash"}, "since": "1970-01-01T00:00:07.000Z",
    }  # fmt: skip


def test_a_token_is_used_and_never_shown(instance: Callable[..., Served], capsys: pytest.CaptureFixture[str]) -> None:
    instance(WAITING, config=Config(token=TOKEN))
    text, code = said(capsys, "--json")
    assert code == 1 and TOKEN not in text


def test_one_that_hangs_is_dead_or_lies_is_unknown_and_the_others_are_told(
    instance: Callable[..., Served], home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_states, "ANSWER_TIME", 0.3)
    ok = b"HTTP/1.1 200 OK\r\n\r\n"
    answers = (
        None,
        b"",
        ok + b"{",
        ok + b"[1]",
        ok + b'{"data": 3}',
        ok + b" " * 300_000,
        b"HTTP/1.1 401 No\r\n\r\n{}",
    )
    instance(WAITING)
    with ExitStack() as servers:
        for answer in answers:
            registered(home, servers.enter_context(raw_server(answer)))
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # nobody listens
            registered(home, bound.getsockname()[1])
            registered(home, bound.getsockname()[1], host="some.name")
            assert said(capsys) == (f"1 needs you · {len(answers) + 2} unknown", 1)
            assert "does not answer" in as_json(capsys)["tooltip"]


def test_hostile_names_reach_no_terminal(
    instance: Callable[..., Served], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, tool = "\x1b[31m\nfake: idle\u202e\ud800" + "x" * 500, "\x1b]0;t\x07<b>"
    instance(doing("waiting", waiting_for={"kind": "permission", "tool": tool}), name=name)
    text, _ = said(capsys, "--json")
    assert text.isascii() and text.isprintable()
    (line,) = json.loads(text)["tooltip"].split("\n")
    assert line.isprintable() and len(line) < 200
    assert json.loads(text)["instances"][0]["waiting_for"]["tool"] == tool, "a script gets what there is"
    assert said(capsys, "--format", "\x1b[1m{total}") == ("?[1m1", 1)


@pytest.mark.parametrize("template", ["{names}", "{", "}", "{total!r}", "{needs_you:>3}", "{0}", "{}", "{total.real}"])
def test_a_template_with_anything_else_in_braces_is_a_usage_error(template: str, home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\{needs_you\}"):
        status.run(["--format", template])


def test_as_a_program_it_exits_with_what_it_found(instance: Callable[..., Served], home: Path, tmp_path: Path) -> None:
    done = run("status", home=home, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (b"no sessions\n", b"", 0)
    instance(WAITING)
    done = run("status", home=home, cwd=tmp_path, LC_ALL="C")
    assert (done.stdout, done.stderr, done.returncode) == (b"1 needs you\n", b"", 1)
    done = run("status", "--format", "{x}", home=home, cwd=tmp_path)
    assert (done.stdout, done.returncode, done.stderr.count(b"\n")) == (b"", 2, 1)
    assert b"exit code" in run("status", "--help", home=home, cwd=tmp_path).stdout


def test_the_object_of_the_documentation_has_the_fields_of_a_real_one(
    instance: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "status-line.md").read_text(encoding="utf-8")
    (shown,) = (json.loads(line) for line in text.splitlines() if line.startswith('{"text":'))
    instance(WAITING, name="review")
    real = as_json(capsys)
    assert (shown["text"], shown["tooltip"], shown["class"]) == (real["text"], real["tooltip"], real["class"])
    assert shown.keys() == real.keys() and shown["counts"] == real["counts"]
    assert shown["instances"][0].keys() == real["instances"][0].keys()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_tmux_shows_the_line_even_though_the_exit_code_is_1(
    instance: Callable[..., Served], home: Path, tmp_path: Path
) -> None:
    instance(WAITING)
    program = script(tmp_path, f'exec {shlex.join(PROGRAM)} "$@"', "claude-mpm")
    config = tmp_path / "tmux.conf"
    config.write_text("set -g status-right '#(claude-mpm status)'\n")
    env = environment(home, PATH=f"{program.parent}:/usr/bin:/bin", TMUX_TMPDIR=str(tmp_path))
    tmux = ["tmux", "-L", "test", "-f", str(config)]
    with Terminal([*tmux, "new-session", "sh"], env=env, cwd=tmp_path) as terminal:
        terminal.wait_for(b"1 needs you")
        subprocess.run([*tmux, "kill-server"], env=env, check=True, timeout=TIMEOUT)


# --- a hub -----------------------------------------------------------------------------------------


def entry(instance_id: str, activity: str | None, **more: Any) -> Json:
    told: Json = {"claude_status": "running", "activity": activity, "waiting_for": None, "questions": [], "ended": None}
    told = {"status": told} if activity is not None else {}
    return {"instance_id": instance_id, "port": 8765, "host": "localhost", "working_dir": "/w", **told, **more}


def test_a_hub_is_asked_for_all_it_knows_and_nobody_twice(
    instance: Callable[..., Served], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = instance(kind="hub")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        known = registered(home, bound.getsockname()[1])  # it would be unknown if it were asked
    instance(IDLE, name="not known to the hub")
    hub.instances = [
        entry("far-1", "waiting", machine="far"),
        entry("far-2", None, machine="far"),  # the list was too long
        entry("lost", "waiting", machine="lost", reachable=False),
        entry("old", "working", kind="replay"),
        entry(known["instance_id"], "working", machine="here"),
        {"instance_id": 3},
    ]
    assert said(capsys) == ("1 needs you · 1 working · 1 idle · 2 unknown", 1)
    assert "/w on far: needs you: a question" in as_json(capsys)["tooltip"]


def test_where_the_hub_does_not_answer_the_instances_are_asked(
    instance: Callable[..., Served], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        registered(home, bound.getsockname()[1], kind="hub")
        instance(WORKING)
        assert said(capsys) == ("1 working", 0)


# --- what is asked ---------------------------------------------------------------------------------


def test_the_activity_of_an_instance_is_short_and_not_measured() -> None:
    with serving() as served:
        served.failure = RuntimeError("the status costs too much")
        served.log.append(doing("working", 1.0))
        served.log.append(doing("waiting", 2.0, waiting_for=BASH))
        served.log.append(doing("waiting", 3.0, waiting_for={**BASH, "answerable": False}))
        question = {
            "kind": "permission",
            "tool": "Bash",
            "input": BASH["input"],
            "grants": ["x"],
            "decisions": ["allow"],
        }
        served.log.append(ev.claude_question("q-1", "asked", origin=Origin("hook"), question=question))
        answer = ask(served.port, get("/activity")).json()
    assert (answer["type"], answer["instance_id"]) == ("activity", "run-1")
    assert answer["data"] == {
        "session_id": None,
        "claude_status": "running",
        "activity": "waiting",
        "activity_since": "1970-01-01T00:00:02.000Z",
        "waiting_for": {"kind": "permission", "tool": "Bash", "answerable": False},
        "questions": [
            {"request_id": "q-1", "state": "asked", "kind": "permission", "tool": "Bash", "decisions": ["allow"]}
        ],
        "ended": None,
    }
