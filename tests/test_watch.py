from __future__ import annotations

import io
import json
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import ScriptedServer, scripted

from claude_mpm.cli.event_lines import plain, render
from claude_mpm.cli.watch import DEFAULT_CHANNELS, INTERRUPTED, main, watch
from claude_mpm.client.client import Client
from claude_mpm.errors import ConnectionFailed
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.feed.patterns import expand

INFO = {"port": 8765, "host": "localhost", "working_dir": "/home/me/project"}
TODO = {"id": "1", "content": "Write tests", "status": "in_progress", "active_form": "Writing tests"}
EVENTS: list[tuple[Event, str]] = [
    (ev.session_start("s-1", INFO, "exec", 45_296.0), "startup  s-1  /home/me/project  port 8765  exec"),
    (
        ev.session_end("s-1", 45_296.0, 8.25, exit_code=None, signal="SIGTERM", reason="told to"),
        "told to  SIGTERM  after 8.2 s",
    ),
    (ev.session_end("s-1", 45_296.0, 8.25, exit_code=3, signal=None, reason="ended"), "ended  exit code 3  after 8.2 s"),
    (ev.claude_status("running", origin=Origin("hook"), activity="working", pid=7), "running  working  pid 7"),
    (
        ev.claude_status(
            "running",
            origin=Origin("hook"),
            activity="waiting",
            waiting_for={"kind": "permission", "tool": "Bash", "input": {"command": "rm -r x"}},
        ),
        "running  waiting  for permission Bash rm -r x",
    ),
    (ev.claude_output("\x1b[1mHello\x1b[0m\r\n  there\n", 0), "Hello there"),
    (ev.claude_output("\x1b[2J\x1b[H", 0, "stderr"), "stderr  (7 characters that draw nothing)"),
    (ev.claude_message("assistant", "Done.\nAll of it.", origin=Origin("transcript")), "assistant: Done. All of it."),
    (ev.tool_start("t", "Read", {"file_path": "/a"}, origin=Origin("hook"), agent_id="a1"), "[a1]  Read  /a"),
    (ev.tool_start("t", "Edit", {"file": "/a", "n": 1}, origin=Origin("hook")), 'Edit  {"file": "/a", "n": 1}'),
    (ev.tool_end("t", "Read", True, origin=Origin("hook"), duration_ms=1500, summary="9 lines"), "Read  ok  1.5 s  9 lines"),
    (ev.tool_end("t", "Bash", False, origin=Origin("hook")), "Bash  failed"),
    (ev.agent_delegation("explorer", "look", "completed", origin=Origin("hook"), tokens=9), "explorer  completed  look  9 tokens"),
    (
        ev.agent_status([{"agent_id": "a", "agent": "x", "task": "look", "since": "…"}], {}, origin=Origin("hook")),
        "1 active  x: look",
    ),
    (ev.todo_update([TODO], origin=Origin("todo_file")), "0 of 1 done  now: Writing tests"),
    (
        ev.claude_usage(
            origin=Origin("transcript"),
            model="m",
            tokens={"input": 1, "output": 2},
            totals={"input": 3, "output": 4},
            context_percent=12.3,
            cost_usd=0.5,
            cost_is_estimate=True,
        ),
        "m  1 in, 2 out  total 3 in, 4 out  context 12 %  $0.50 (estimate)",
    ),
    (Event(ev.CLAUDE_SCREEN, {"cols": 80, "rows": 24, "lines": [[]], "title": "title"}, "pty"), "80×24  1 lines  title"),
    (ev.system_error("disk full", "recorder", severity="warning", hint="free some"), "warning in recorder:  disk full  free some"),
    (ev.system_gap(3, 9, {"claude.output": 5}, "slow_client"), "#3 to #9 are gone  5 claude.output  slow_client"),
    (ev.system_control("stop", "client-2"), "stop  by client-2"),
    (
        ev.claude_question(
            "q-1", "withdrawn", origin=Origin("monitor"), question={"tool": "Bash", "input": {"command": "ls"}},
            decision="deny", client="client-2", reason="it was answered in the terminal",
        ),
        "withdrawn  q-1  Bash ls  deny  by client-2  it was answered in the terminal",
    ),
]  # fmt: skip
STATUS = {
    "claude_status": "running",
    "claude_pid": 7,
    "connected_clients": 1,
    "instance_info": INFO,
    "activity": "idle",
    "todos": {"todos": [TODO], "stats": {"total": 1, "completed": 0}},
}


@pytest.mark.parametrize(("event", "line"), EVENTS)
def test_every_event_is_one_readable_line(event: Event, line: str) -> None:
    message = Log("i", wall_clock=lambda: 45_296.0).append(event).message()
    assert render(json.loads(json.dumps(message))) == f"12:34:56     #1  {event.type:16}  {line}"


def test_status_is_one_readable_line() -> None:
    line = render({"type": "system.status", "timestamp": "2026-01-02T03:04:05.678Z", "data": STATUS})
    assert (
        line == "03:04:05         system.status     claude running  idle  pid 7  /home/me/project  todos 0/1  1 client"
    )


def test_an_event_of_a_hub_says_whose_it_is() -> None:
    frame = {"type": "todo.update", "seq": 7, "instance_id": "12345678-0000", "machine": "alpha\x1b[2J", "data": {}}
    assert render(frame).split() == ["#7", "todo.update", "alpha:12345678", "{}"]


def test_the_status_of_a_hub_counts() -> None:
    fleet = {"instances": 3, "needs_you": 1, "working": 2, "idle": 0, "ended": 0, "unreachable": 0, "machines": 1}
    sources = [{"name": "local", "reachable": True}, {"name": "ssh://b", "reachable": False}]
    line = render({"type": "system.status", "data": STATUS | {"fleet": {**fleet, "sources": sources}}})
    assert line.endswith("hub of 3 sessions on 1 machine:  1 need you, 2 working  ssh://b cannot be reached")


def test_every_type_of_the_vocabulary_has_words_of_its_own() -> None:
    told = {event.type for event, _ in EVENTS} | {ev.SYSTEM_STATUS}
    assert told == set(ev.EVENT_TYPES)


@pytest.mark.parametrize("data", [{}, {"todos": 3}, [], None, "x", {"status": {"a": []}}])
@pytest.mark.parametrize("kind", [*ev.EVENT_TYPES, "client.connected", "client.lost", "later.kind", None, 3])
def test_other_shapes_are_shown_as_they_are(kind: object, data: object) -> None:
    assert "\n" not in render({"type": kind, "data": data})


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;ZXZpbA==\x1b\\x", "x"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1bP+q544e\x1b\\x", "x"),
        ("a\x1b[", "a"),
        ("a\x1b", "a"),
        ("\x1b(0x", "x"),
        ("ab\x08\x08cd\x7f", "abcd"),
        ("abc\u202edef\u2066", "abcdef"),
        ("one\r\ntwo\tthree\u2028four", "one two three four"),
        ("\ud800", "\ufffd"),
        ("日本 ünï 🙂", "日本 ünï 🙂"),
    ],
)
def test_what_moves_a_terminal_never_reaches_it(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b\x9b\x9d]P[\\;\x07\u202e"), max_size=80))
def test_no_text_yields_anything_but_printable_characters(text: str) -> None:
    line = render({"type": text, "timestamp": text, "data": {"error": text, "component": text, "severity": text}})
    assert line.isprintable()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in line)


def test_long_text_is_cut() -> None:
    assert len(plain("x" * 5000)) == 160
    assert plain("x" * 5000).endswith("…")


def test_a_megabyte_of_unfinished_escapes_is_read_once() -> None:
    assert plain("\x1b]" * 500_000) == ""  # quadratic work would take minutes
    assert plain("\x1b[" * 500_000) == ""


# --- watch -----------------------------------------------------------------------------------------


class Until(io.StringIO):
    """A stdout whose user presses Ctrl-C once `last` was written."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self.last = last

    def flush(self) -> None:
        if self.last in self.getvalue():
            raise KeyboardInterrupt


def _watch(server: ScriptedServer, out: Until, **more: Any) -> tuple[int, str]:
    notes = io.StringIO()
    args: dict[str, Any] = {"channels": ["*"], "since": 0, "jsonl": False} | more
    return watch(Client(server.port, token="t"), out=out, notes=notes, **args), notes.getvalue()


def test_watch_prints_events_until_ctrl_c() -> None:
    with scripted() as server:
        server.emit("todo.update", dict(ev.todo_update([TODO], origin=Origin("todo_file")).data))
        server.emit("later.kind", {"a": 1})
        out = Until("later.kind")
        code, notes = _watch(server, out)
    assert code == INTERRUPTED
    assert [line.split()[2] for line in out.getvalue().splitlines()] == ["todo.update", "later.kind"]
    assert "client.connected" in notes


def test_jsonl_is_the_servers_own_frames_in_ascii() -> None:
    with scripted() as server:
        server.emit("claude.output", {"content": "\x1b[31mä\n", "stream": "stdout", "offset": 0})
        out = Until("}\n")
        _watch(server, out, jsonl=True)
        assert [json.loads(line) for line in out.getvalue().splitlines()] == server.events
    assert out.getvalue().isascii()
    assert "\x1b" not in out.getvalue()


def test_watch_takes_only_the_channels_asked_for() -> None:
    with scripted() as server:
        for kind in ("claude.output", "todo.update", "agent.status"):
            server.emit(kind)
        out = Until("agent.status")
        _watch(server, out, channels=["todo.*", "agent.*"])
    assert "claude.output" not in out.getvalue()
    assert "todo.update" in out.getvalue()


def test_default_is_everything_but_output() -> None:
    assert expand(DEFAULT_CHANNELS) == set(ev.EVENT_TYPES) - {ev.CLAUDE_OUTPUT, ev.CLAUDE_SCREEN}


@pytest.mark.parametrize(
    ("argv", "types"),
    [
        ([], ["todo.update", "system.error"]),
        (["--channels", "*"], ["claude.output", "todo.update", "system.error"]),
        (["--channels", "claude.output", "system.*"], ["claude.output", "system.error"]),
    ],
)
def test_output_is_shown_only_when_asked_for(
    argv: list[str], types: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted() as server:
        for kind in ("claude.output", "todo.update", "system.error"):
            server.emit(kind)
        out = Until("system.error")
        monkeypatch.setattr(sys, "stdout", out)
        assert main([str(server.port), "--token", "t", "--since", "0", *argv]) == INTERRUPTED
    assert [line.split()[2] for line in out.getvalue().splitlines()] == types


def test_watch_without_a_server_raises_one_sentence() -> None:
    with scripted() as server:
        pass
    with pytest.raises(ConnectionFailed, match="nothing listens"):
        _watch(server, Until(""))


@pytest.mark.parametrize(
    "argv", [["--channels", "a b"], ["--channels", "todo.*,!"], ["--since", "-1"], ["x"], ["--nope"]]
)
def test_bad_arguments_are_usage_errors(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(argv)
    assert done.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "65536", "٣", "8765.0", "9" * 5000, ""])
def test_what_is_not_a_port_is_said_as_for_the_server(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--", port])
    assert done.value.code == 2
    assert f"{port!r} is not a port number: give one from 0 to 65535" in capsys.readouterr().err


def test_no_server_is_exit_code_1_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        pass
    assert main([str(server.port)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
