from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import check
from serving import INSTANCE, UNHURRIED, FakeControl

from claude_mpm.errors import LaunchFailed
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.server.commands.commands import COMMANDS
from claude_mpm.server.commands.commands import answer as run_command
from claude_mpm.server.commands.control import CONTROL
from claude_mpm.server.commands.replies import HISTORY_BYTES, HISTORY_DEFAULT, Client
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.commands.subscription import Subscription


def answer(client: Client, text: bytes) -> bytes:
    """The reply, which comes at once."""
    reply = run_command(client, text)
    assert reply is not None
    return reply


class Desk:
    """A client's commands without a socket."""

    def __init__(self, control: FakeControl | None = None, trusted: bool = False) -> None:
        self.log = Log("run-1")
        self.screen: dict[str, Any] | None = None
        self.subscription = Subscription(self.log)
        backend = SessionView(
            status=dict,
            instances=lambda: [INSTANCE],
            screen=lambda: self.screen,
            demand=lambda types: None,
            control=control,
        )
        self.client = Client("client-1", self.log, backend, self.status, trusted, self.subscription)

    def status(self) -> dict[str, Any]:
        return {**self.log.snapshot(), "connected_clients": 1, "websocket_port": 1, "instance_info": INSTANCE}

    def raw(self, text: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(answer(self.client, text))
        check(found)
        return found

    def ask(self, command: object, **params: object) -> dict[str, Any]:
        return self.raw(json.dumps({"command": command, **params}).encode())

    def code(self, command: object, **params: object) -> str:
        found = self.ask(command, **params)
        assert found["type"] == "error" and "\n" not in found["data"]["message"]
        return str(found["data"]["code"])

    def errors(self, count: int) -> None:
        for number in range(count):
            self.log.append(ev.system_error(str(number), "test"))


@pytest.fixture
def desk() -> Iterator[Desk]:
    one = Desk()
    yield one


# --- form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nope", b"{'command': 'ping'}", b"\xff", b"[" * 100_000, b"1" * 5000, b'{"a":1}{"b":2}']
)
def test_what_is_not_json_is_invalid_json(desk: Desk, text: bytes) -> None:
    found = desk.raw(text)
    assert found["type"] == "error" and found["data"]["code"] == "invalid_json"


@pytest.mark.parametrize(
    "text", [b"[]", b"1", b'"ping"', b"null", b"true", b"NaN", b"{}", b'{"command":1}', b'{"command":null}']
)
def test_what_names_no_command_is_invalid_command(desk: Desk, text: bytes) -> None:
    found = desk.raw(text)
    assert found["type"] == "error" and found["data"]["code"] == "invalid_command"
    assert found["data"]["command"] is None


def test_an_unknown_command_is_told_back_and_cut(desk: Desk) -> None:
    assert desk.ask("nope")["data"]["command"] == "nope"
    assert desk.code("x" * 1000) == "unknown_command"
    assert len(desk.ask("x" * 1000)["data"]["command"]) == 64


@pytest.mark.parametrize("request_id", ["a", 7, 1.5, "", 0])
def test_the_request_id_is_echoed_in_replies_and_errors(desk: Desk, request_id: object) -> None:
    assert desk.ask("ping", request_id=request_id)["request_id"] == request_id
    assert desk.ask("nope", request_id=request_id)["request_id"] == request_id
    assert "request_id" not in desk.ask("ping")


def test_a_request_id_that_is_no_scalar_is_refused(desk: Desk) -> None:
    assert desk.code("ping", request_id={}) == "invalid_params"
    assert desk.code("ping", request_id=[1]) == "invalid_params"
    assert desk.code("ping", request_id=True) == "invalid_params"


def test_another_instances_id_is_wrong_instance(desk: Desk) -> None:
    assert desk.ask("ping", instance_id="run-1")["type"] == "pong"
    assert desk.ask("ping", instance_id=None)["type"] == "pong"
    assert desk.code("ping", instance_id="run-2") == "wrong_instance"
    assert desk.code("ping", instance_id=[]) == "wrong_instance"


def test_parameters_may_stand_under_params(desk: Desk) -> None:
    assert desk.ask("subscribe", params={"channels": ["a.*"]})["data"]["channels"] == ["a.*"]
    assert desk.ask("subscribe", channels=["b.*"], params=None)["data"]["channels"] == ["a.*", "b.*"]
    assert desk.code("subscribe", channels=["a"], params=[]) == "invalid_params"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_names = ["command", "params", "channels", "since", "before", "limit", "event_types", "text", "cols", "rows"]


@settings(UNHURRIED)
@given(
    st.sampled_from([*COMMANDS, *CONTROL]),
    st.dictionaries(st.sampled_from(_names), _json, max_size=4),
    st.booleans(),
)
def test_whatever_comes_gets_one_well_formed_reply(command: str, values: dict[str, Any], nested: bool) -> None:
    desk = Desk(FakeControl(), trusted=True)
    desk.errors(3)
    desk.raw(json.dumps({"command": command} | ({"params": values} if nested else values)).encode())


# --- commands ----------------------------------------------------------------------------------------


def test_subscribe_tells_all_channels_and_where_it_begins(desk: Desk) -> None:
    desk.errors(3)
    found = desk.ask("subscribe", channels=["todo.*", "agent.*"])
    assert (found["type"], found["data"]) == ("subscribed", {"channels": ["todo.*", "agent.*"], "seq": 3})
    assert desk.ask("subscribe", channels=["agent.*", "agent.*", "*"])["data"]["channels"] == ["todo.*", "agent.*", "*"]


def test_unsubscribe_tells_what_is_left(desk: Desk) -> None:
    desk.ask("subscribe", channels=["todo.*", "agent.*"])
    found = desk.ask("unsubscribe", channels=["todo.*", "x"])
    assert (found["type"], found["data"]) == ("unsubscribed", {"channels": ["agent.*"]})


@pytest.mark.parametrize("channels", [None, "*", [1], ["Bad"], ["*", None], {"*": 1}, ["a" * 65], ["x"] * 65])
def test_bad_channels_are_invalid_params(desk: Desk, channels: object) -> None:
    assert desk.code("subscribe", channels=channels) == "invalid_params"
    assert desk.code("unsubscribe", channels=channels) == "invalid_params"
    assert desk.subscription.patterns == []


def test_a_client_has_64_patterns_at_most(desk: Desk) -> None:
    def names(prefix: str) -> list[str]:
        return [f"{prefix}.{letter}{other}" for letter in "abcdef" for other in "abcdefgh"]  # 48

    assert desk.ask("subscribe", channels=names("x"))["type"] == "subscribed"
    assert desk.code("subscribe", channels=names("y")) == "invalid_params"
    assert desk.ask("subscribe", channels=names("x"))["type"] == "subscribed"


@pytest.mark.parametrize("since", [-1, "1", 1.5, True, [], 2**60])
def test_a_bad_since_is_invalid_params(desk: Desk, since: object) -> None:
    assert desk.code("subscribe", channels=["*"], since=since) == "invalid_params"
    assert desk.code("get_history", since=since) == "invalid_params"


def test_a_status_with_an_infinite_number_is_json(desk: Desk) -> None:
    waiting = {"kind": "permission", "tool": "Bash", "input": {"timeout": float("inf")}}
    desk.log.append(ev.claude_status("running", origin=Origin("hook"), activity="waiting", waiting_for=waiting))
    text = answer(desk.client, b'{"command":"get_status"}')
    assert b"Infinity" not in text
    assert json.loads(text)["data"]["waiting_for"]["input"] == {"timeout": None}


def test_get_status_is_the_servers_status(desk: Desk) -> None:
    found = desk.ask("get_status")
    assert (found["type"], found["instance_id"], found["data"]) == ("system.status", "run-1", desk.status())


def test_history_is_the_newest_100_unless_told_otherwise(desk: Desk) -> None:
    desk.errors(HISTORY_DEFAULT + 20)
    data = desk.ask("get_history")["data"]
    assert [event["seq"] for event in data["events"]] == list(range(21, HISTORY_DEFAULT + 21))
    assert (data["oldest_seq"], data["more"]) == (1, True)
    assert data["events"][0] == desk.log.read(20, ["*"], 1)[0].message()
    data = desk.ask("get_history", limit=2, since=1, before=5)["data"]
    assert ([event["seq"] for event in data["events"]], data["more"]) == ([3, 4], True)
    data = desk.ask("get_history", event_types=["todo.*"])["data"]
    assert (data["events"], data["more"]) == ([], False)
    assert len(desk.ask("get_history", limit=10**9)["data"]["events"]) == HISTORY_DEFAULT + 20


def test_a_history_of_any_size_is_read_in_bounded_replies(desk: Desk) -> None:
    for number in range(2000):
        desk.log.append(ev.claude_output("x" * 12_000, number))
    kept = [entry.seq for entry in desk.log.read(0, ["*"], 5000)]
    assert len(kept) > 1000
    got: list[int] = []
    before: int | None = None
    replies = 0
    while True:
        text = answer(desk.client, json.dumps({"command": "get_history", "limit": 10_000, "before": before}).encode())
        assert len(text) < HISTORY_BYTES + 1024
        data = json.loads(text)["data"]
        got = [event["seq"] for event in data["events"]] + got
        replies += 1
        if not data["more"]:
            break
        assert len(text) > HISTORY_BYTES - 13_000  # as much as there is room for
        before = data["events"][0]["seq"]
    assert got == kept
    assert replies > 2


def test_an_event_larger_than_a_reply_comes_alone(desk: Desk) -> None:
    desk.errors(1)
    desk.log.append(ev.claude_output("x" * (HISTORY_BYTES + 1), 0))
    desk.errors(1)
    data = desk.ask("get_history")["data"]
    assert ([event["seq"] for event in data["events"]], data["more"]) == ([3], True)
    data = desk.ask("get_history", before=3)["data"]
    assert ([event["seq"] for event in data["events"]], data["more"]) == ([2], True)
    data = desk.ask("get_history", before=2)["data"]
    assert ([event["seq"] for event in data["events"]], data["more"]) == ([1], False)


@pytest.mark.parametrize(
    "params", [{"limit": -1}, {"limit": "9"}, {"before": -1}, {"event_types": "*"}, {"event_types": [1]}]
)
def test_bad_history_parameters_are_invalid_params(desk: Desk, params: dict[str, object]) -> None:
    assert desk.code("get_history", **params) == "invalid_params"


def test_instances_and_ping(desk: Desk) -> None:
    assert desk.ask("get_instances")["data"] == {"instances": [INSTANCE]}
    assert desk.ask("ping")["type"] == "pong"


def test_the_screen_is_told_or_unavailable(desk: Desk) -> None:
    assert desk.code("get_screen") == "unavailable"
    desk.screen = dict(ev.claude_screen(80, 24, {"row": 0, "col": 0, "visible": True}, [], None, frame=1, base=0).data)
    found = desk.ask("get_screen")
    assert (found["type"], found["data"]) == ("claude.screen", desk.screen)


# --- control -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(CONTROL))
def test_control_does_not_exist_unless_it_is_switched_on(desk: Desk, command: str) -> None:
    assert desk.code(command, text="x", cols=1, rows=1) == "unknown_command"


@pytest.mark.parametrize("command", sorted(CONTROL))
def test_control_needs_the_token(command: str) -> None:
    control = FakeControl()
    desk = Desk(control)
    assert desk.code(command, text="x", cols=1, rows=1) == "forbidden"
    assert control.done == [] and desk.log.seq == 0


@pytest.mark.parametrize(
    ("command", "params", "done", "detail"),
    [
        ("send_input", {"text": "hello\r"}, ("send_input", "hello\r"), {"characters": 6}),
        ("interrupt", {}, ("interrupt",), None),
        ("stop", {}, ("stop",), None),
        ("resize", {"cols": 80, "rows": 24}, ("resize", 80, 24), {"cols": 80, "rows": 24}),
    ],
)
def test_a_control_command_is_done_and_written_into_the_log(
    command: str, params: dict[str, object], done: tuple[object, ...], detail: object
) -> None:
    control = FakeControl()
    desk = Desk(control, trusted=True)
    found = desk.ask(command, **params, request_id=1)
    assert (found["type"], found["data"], found["request_id"]) == ("done", {"command": command}, 1)
    assert control.done == [done]
    (entry,) = desk.log.read(0, ["system.control"], 9)
    assert entry.message()["data"] == {"command": command, "client": "client-1"} | (
        {"detail": detail} if detail else {}
    )


@pytest.mark.parametrize(
    ("command", "params"),
    [
        ("send_input", {}), ("send_input", {"text": 1}), ("send_input", {"text": ""}), ("resize", {}), ("resize", {"cols": 80}),
        ("resize", {"cols": 0, "rows": 1}), ("resize", {"cols": 1, "rows": 1001}), ("resize", {"cols": "80", "rows": 24}),
    ],
)  # fmt: skip
def test_bad_control_parameters_do_nothing(command: str, params: dict[str, object]) -> None:
    control = FakeControl()
    desk = Desk(control, trusted=True)
    assert desk.code(command, **params) == "invalid_params"
    assert control.done == [] and desk.log.seq == 0


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), LaunchFailed("gone")])
def test_a_claude_that_is_gone_is_unavailable(error: Exception) -> None:
    control = FakeControl()
    control.error = error
    desk = Desk(control, trusted=True)
    assert desk.code("interrupt") == "unavailable"


def test_the_wall_clock_stamps_replies(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert desk.ask("ping")["timestamp"] == "1970-01-01T00:00:00.000Z"
