"""The instances of this machine as a source: real servers, found in a registry of the test's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from delivered import started
from scripted_server import ScriptedServer, scripted
from serving import TOKEN, FakeControl, Served, serving
from support import wait_until

from claude_mpm.config import Config, Limits
from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.fleet.commands import OF_THE_CONNECTION, OPEN, refusal
from claude_mpm.fleet.local import LocalSource
from claude_mpm.fleet.source import FIRST_EVENTS, Source
from claude_mpm.server.commands.commands import COMMANDS
from claude_mpm.server.commands.control import ANSWERS, CONTROL, PROMPTS
from claude_mpm.server.commands.past import PAST
from claude_mpm.system.instances import register, unregister


@pytest.fixture
def state_dir(home: Path) -> Path:
    return home / ".claude-mpm"


def registered(state_dir: Path, instance_id: str, port: int, token: str | None = None, **more: Any) -> None:
    """Say that the test's own process serves an instance there."""
    info = {"instance_id": instance_id, "port": port, "host": "localhost", "working_dir": "/w", "pid": os.getpid()}
    register(state_dir, {**info, "started_at": "2026-01-02T03:04:05.678Z", **more}, token)


@contextmanager
def instance(state_dir: Path, instance_id: str = "run-1", **limits: Any) -> Iterator[Served]:
    with serving(instance_id=instance_id, **limits) as served:
        registered(state_dir, instance_id, served.port)
        yield served


@pytest.fixture
def server(state_dir: Path) -> Iterator[ScriptedServer]:
    with scripted() as server:
        registered(state_dir, "run-1", server.port)
        yield server


def message(number: int) -> ev.Event:
    return ev.claude_message("assistant", f"text {number}", origin=Origin("transcript"))


# --- what is told ----------------------------------------------------------------------------------


def test_an_instance_is_listed_then_its_status_then_its_events(state_dir: Path) -> None:
    source: Source = LocalSource(state_dir)
    with instance(state_dir) as served:
        for number in range(3):
            served.log.append(message(number))
        with started(source) as delivered:
            delivered.wait_seqs("run-1", [1, 2, 3])
            served.log.append(message(3))
            delivered.wait_seqs("run-1", [1, 2, 3, 4])
    kinds = [frame["type"] for frame in delivered.frames]
    assert kinds == ["instances", "system.status", *["claude.message"] * 4]
    (listed,), status = delivered.frames[0]["data"]["instances"], delivered.frames[1]
    assert (listed["instance_id"], listed["machine"]) == ("run-1", socket.gethostname())
    assert (status["instance_id"], status["data"]["seq"], "seq" in status) == ("run-1", 3, False)
    assert status["data"]["instance_info"]["machine"] == socket.gethostname()


def test_with_no_instance_the_list_is_empty_and_a_new_one_is_found(state_dir: Path) -> None:
    with started(LocalSource(state_dir)) as delivered:
        delivered.wait_for(lambda: delivered.frames)
        assert delivered.frames[0]["data"] == {"instances": []}
        with instance(state_dir, "run-2") as served:
            served.log.append(message(1))
            delivered.wait_seqs("run-2", [1])


def test_a_machine_that_the_instance_names_is_kept(state_dir: Path) -> None:
    registered(state_dir, "run-1", 1, machine="container-7")
    with started(LocalSource(state_dir)) as delivered:
        delivered.wait_for(delivered.listed)
    assert delivered.frames[0]["data"]["instances"][0]["machine"] == "container-7"


def test_hubs_and_overviews_are_passed_over_and_replays_are_not(state_dir: Path) -> None:
    for kind in ("hub", "overview", "replay"):
        registered(state_dir, kind, 1, kind=kind)
    with started(LocalSource(state_dir)) as delivered:
        delivered.wait_for(delivered.listed)
        assert delivered.listed() == ["replay"]


def test_the_first_look_goes_back_a_bounded_way_and_tells_what_is_before(state_dir: Path) -> None:
    with instance(state_dir) as served:
        for number in range(FIRST_EVENTS + 200):
            served.log.append(message(number))
            served.log.append(ev.claude_output("not asked for", 0))
        with started(LocalSource(state_dir)) as delivered:
            delivered.wait_for(lambda: len(delivered.seqs("run-1")) == FIRST_EVENTS)
            served.log.append(message(0))
            delivered.wait_for(lambda: len(delivered.seqs("run-1")) > FIRST_EVENTS)
    seqs = delivered.seqs("run-1")
    assert seqs == [*range(401, 401 + 2 * FIRST_EVENTS, 2), 2401]
    _, status, gap, *events = delivered.frames
    assert status["type"] == "system.status" and {e["type"] for e in events} == {"claude.message"}
    assert gap["data"] == {"from_seq": 1, "to_seq": 400, "counts": {}, "reason": "before_start"}


def test_output_and_screen_come_only_while_they_are_wanted(state_dir: Path) -> None:
    def show() -> None:
        cursor = {"row": 0, "col": 0, "visible": True}
        served.log.append(ev.claude_screen(80, 24, cursor, [], None, frame=1, base=0))
        served.log.append(ev.claude_output("shown", 0))

    source = LocalSource(state_dir)
    with instance(state_dir) as served, started(source) as delivered:
        wait_until(lambda: ev.SYSTEM_STATUS in "".join(map(str, served.demands)), "the source to subscribe")
        show()
        source.want({"run-1": frozenset({ev.CLAUDE_OUTPUT, ev.CLAUDE_SCREEN}), "run-9": frozenset({ev.CLAUDE_SCREEN})})
        wait_until(lambda: ev.CLAUDE_SCREEN in served.demands[-1], "it to want more")
        show()
        delivered.wait_for(lambda: delivered.types("run-1")[1:] == [ev.CLAUDE_SCREEN, ev.CLAUDE_OUTPUT])
        source.want({})
        wait_until(lambda: ev.CLAUDE_SCREEN not in served.demands[-1], "it to want less")
        show()
        served.log.append(message(1))
        delivered.wait_seqs("run-1", [3, 4, 7])


def test_an_instance_that_ends_tells_its_last_event_before_it_leaves_the_list(state_dir: Path) -> None:
    with started(LocalSource(state_dir)) as delivered:
        with instance(state_dir) as served:
            served.log.append(message(1))
            delivered.wait_seqs("run-1", [1])
            unregister(state_dir, "run-1")
            served.log.append(
                ev.session_end(None, 0.0, 1.0, exit_code=0, signal=None, reason="Claude ended", source="monitor")
            )
            delivered.wait_seqs("run-1", [1, 2])
            assert delivered.listed() == ["run-1"]
        delivered.wait_for(lambda: delivered.listed() == [])
    assert delivered.frames[-1] == {**delivered.frames[-1], "type": "instances", "data": {"instances": []}}
    assert delivered.errors() == []


# --- interruptions ---------------------------------------------------------------------------------


def test_a_lost_connection_is_resumed_without_hole_or_duplicate(server: ScriptedServer, state_dir: Path) -> None:
    source = LocalSource(state_dir)
    with started(source, checked=False) as delivered:
        server.emit("todo.update")
        delivered.wait_for(lambda: delivered.seqs("run-1") == [1])
        server.drop(1011, "trouble")
        for _ in range(3):
            server.emit("todo.update")
        delivered.wait_for(lambda: delivered.seqs("run-1")[-1:] == [4])
        server.say(str(server.events[0]).replace("'", '"'))  # what came already
        server.emit("todo.update")
        delivered.wait_for(lambda: delivered.seqs("run-1")[-1:] == [5])
    assert delivered.seqs("run-1") == [1, 2, 3, 4, 5]
    assert delivered.types("run-1").count("system.status") == 2


def test_a_source_that_is_told_where_it_was_goes_on_there(server: ScriptedServer, state_dir: Path) -> None:
    for _ in range(4):
        server.emit("todo.update")
    with started(LocalSource(state_dir, {"run-1": 2}), checked=False) as delivered:
        delivered.wait_for(lambda: delivered.seqs("run-1") == [3, 4])


def test_a_gap_that_the_instance_tells_is_passed_on(server: ScriptedServer, state_dir: Path) -> None:
    for _ in range(4):
        server.emit("todo.update")
    server.oldest = 4
    with started(LocalSource(state_dir, {"run-1": 1}), checked=False) as delivered:
        delivered.wait_for(lambda: delivered.seqs("run-1") == [4])
    assert delivered.types("run-1") == ["system.status", "system.gap", "todo.update"]


def test_an_instance_that_cannot_be_reached_is_told_once(state_dir: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        registered(state_dir, "run-1", nobody.getsockname()[1], name="review")
        source = LocalSource(state_dir)
        with started(source) as delivered:
            delivered.wait_error("the session review cannot be followed: nothing listens on")
            with pytest.raises(ServerUnavailable, match="cannot be reached"):
                source.send({"command": "ping", "instance_id": "run-1", "request_id": "1"}, trusted=True)
    assert len(delivered.errors()) == 1


def test_another_session_on_the_port_is_not_mistaken_for_the_one_that_was_there(state_dir: Path) -> None:
    with serving(instance_id="run-2") as served:
        served.log.append(message(1))
        registered(state_dir, "run-1", served.port)
        with started(LocalSource(state_dir)) as delivered:
            delivered.wait_error("another session")
            assert delivered.of("run-1") == delivered.of("run-2") == []


# --- commands --------------------------------------------------------------------------------------


def test_a_command_is_passed_on_and_its_reply_has_the_id_as_it_was(state_dir: Path) -> None:
    control = FakeControl()
    with serving(Config(token=TOKEN, control=True), control) as served:
        registered(state_dir, "run-1", served.port, TOKEN)
        source = LocalSource(state_dir)
        with started(source) as delivered:
            served.log.append(message(1))
            delivered.wait_seqs("run-1", [1])
            source.send({"command": "get_history", "limit": 5, "instance_id": "run-1", "request_id": "h-1"}, False)
            assert [e["seq"] for e in delivered.wait_reply("h-1")["data"]["events"]] == [1]
            source.send({"command": "send_input", "text": "yes\r", "instance_id": "run-1", "request_id": "h-2"}, True)
            assert delivered.wait_reply("h-2")["type"] == "done"
            source.send({"command": "get_status", "instance_id": "run-1", "request_id": "h-3"}, False)
            assert delivered.wait_reply("h-3")["data"]["instance_info"]["machine"] == socket.gethostname()
    assert control.done == [("send_input", "yes\r")]
    assert TOKEN not in str(delivered.frames)


@pytest.mark.parametrize("command", ["send_input", "stop", "answer", "get_sessions", "later_command", None, ["stop"]])
def test_what_acts_on_claude_is_refused_to_whoever_has_no_token(state_dir: Path, command: object) -> None:
    control = FakeControl()
    with serving(Config(token=TOKEN, control=True), control) as served:
        registered(state_dir, "run-1", served.port, TOKEN)
        source = LocalSource(state_dir)
        with started(source) as delivered:
            delivered.wait_for(lambda: delivered.types("run-1"))
            source.send({"command": command, "text": "x", "instance_id": "run-1", "request_id": "h-1"}, trusted=False)
            assert delivered.wait_reply("h-1")["data"]["code"] == "forbidden"
            source.send({"command": "ping", "instance_id": "run-1", "request_id": "h-2"}, trusted=False)
            assert delivered.wait_reply("h-2")["type"] == "pong"
    assert control.done == [] and served.log.seq == 0


def test_what_would_change_or_end_the_shared_connection_is_refused() -> None:
    for command in OF_THE_CONNECTION:
        refused = refusal({"command": command, "channels": ["todo.*"], "request_id": "1"}, trusted=True)
        assert refused is not None and refused["data"]["code"] == "unavailable"
    text = "x" * Limits().message_bytes
    refused = refusal({"command": "send_input", "text": text, "request_id": "1"}, trusted=True)
    assert refused is not None and refused["data"]["code"] == "invalid_params"


def test_a_command_for_nobody_is_unavailable(state_dir: Path) -> None:
    source = LocalSource(state_dir)
    with started(source), pytest.raises(ServerUnavailable, match="no such session"):
        source.send({"command": "ping", "instance_id": "run-9", "request_id": "1"}, trusted=True)


def test_the_open_commands_are_those_the_server_gives_to_everyone() -> None:
    assert frozenset(COMMANDS) == OPEN
    assert OPEN.isdisjoint(CONTROL | ANSWERS | PROMPTS | PAST)


def test_questions_wait_only_while_somebody_attends_the_hub(state_dir: Path) -> None:
    source = LocalSource(state_dir)
    with serving(Config(token=TOKEN), FakeControl(), instance_id="run-1") as served:
        registered(state_dir, "run-1", served.port, TOKEN)
        with started(source) as delivered:
            delivered.wait_for(lambda: "system.status" in [frame["type"] for frame in delivered.frames])
            assert not served.server.is_attended()
            source.want({}, attended=True)
            wait_until(served.server.is_attended, "somebody attends")
            source.want({}, attended=False)
            wait_until(lambda: not served.server.is_attended(), "nobody attends")
