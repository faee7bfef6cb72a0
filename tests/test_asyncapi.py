"""docs/asyncapi.yaml says what feed/event.py makes: no more, no less."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from jsonschema import Draft7Validator
from schemas import REPLY_TYPES, check, check_command, commands, document, message_names

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.feed.state import State
from claude_mpm.fleet.hub.roster import Roster

SESSION = "11111111-1111-4111-8111-111111111111"
INSTANCE = "22222222-2222-4222-8222-222222222222"
STAMP = "2026-01-02T03:04:05.678Z"
TOKENS = {"input": 1, "output": 2, "cache_read": 3, "cache_creation": 4}
SMALL_INFO = {"port": 8765, "host": "localhost", "working_dir": "/w"}
INFO = SMALL_INFO | {
    "instance_id": INSTANCE,
    "pid": 7,
    "hostname": "h",
    "user": "u",
    "git_branch": None,
    "started_at": STAMP,
    "claude_mpm_version": "1.0",
    "claude_version": "2.1.330 (Claude Code)",
    "capabilities": ["screen"],
}
STATUS = State().snapshot() | {"connected_clients": 0, "websocket_port": 8765, "instance_info": INFO}
FULL_STATUS = STATUS | {
    "seq": 0,
    "oldest_seq": None,
    "uptime_seconds": 0.5,
    "launch_method": "exec",
    "process": {"cpu_percent": 1.5, "memory_mb": 200.0, "children": 2},
    "monitor": {"cpu_percent": 0.1, "memory_mb": 30.5, "threads": 9, "output_dropped": 0},
    "fleet": Roster([]).fleet(),
}

EVENTS: dict[str, list[Callable[[], Event]]] = {
    ev.SESSION_START: [
        lambda: ev.session_start(None, SMALL_INFO, "exec", 0.0),
        lambda: ev.session_start(SESSION, INFO, "subprocess", 1e9, reason="attach", source="hook"),
    ],
    ev.SESSION_END: [
        lambda: ev.session_end(None, 0.0, -1.0, exit_code=None, signal=None, reason="spawn_failed"),
        lambda: ev.session_end(SESSION, 1e9, 2.5, exit_code=3, signal="SIGTERM", reason="exit", source="monitor"),
    ],
    ev.CLAUDE_STATUS: [
        lambda: ev.claude_status("starting", origin=Origin("process")),
        lambda: ev.claude_status(
            "running",
            origin=Origin("session_file", 1e9, SESSION),
            pid=7,
            message="m",
            activity="waiting",
            waiting_for={"kind": "permission", "tool": "Bash", "input": {"command": "ls"}, "message": "may I"},
            exit_code=0,
            signal="SIGINT",
        ),
    ],
    ev.CLAUDE_QUESTION: [
        lambda: ev.claude_question("q-1", "withdrawn", origin=Origin("monitor")),
        lambda: ev.claude_question(
            "q-1",
            "asked",
            origin=Origin("monitor", 1e9, SESSION),
            question={
                "kind": "permission",
                "tool": "Bash",
                "input": {"command": "ls"},
                "decisions": ["allow", "allow_session", "deny"],
                "grants": ["Bash(ls)"],
                "agent_id": "a1",
                "expires_at": STAMP,
            },
            tool_use_id="toolu_1",
            decision="allow",
            client="client-1",
            reason="answered in the terminal",
        ),
    ],
    ev.CLAUDE_OUTPUT: [
        lambda: ev.claude_output("", 0),
        lambda: ev.claude_output("\x1b[1mé\ud800", 10, stream="stderr", source="process"),
    ],
    ev.CLAUDE_MESSAGE: [
        lambda: ev.claude_message("user", "", origin=Origin("transcript")),
        lambda: ev.claude_message(
            "system",
            "x" * 20_000,
            origin=Origin("stream_json", 1e9, SESSION),
            model="claude-opus-5-5",
            agent_id="a1",
            message_id="msg_1",
        ),
    ],
    ev.TOOL_START: [
        lambda: ev.tool_start(None, "Bash", None, origin=Origin("hook")),
        lambda: ev.tool_start(
            "toolu_1", "Bash", {"command": "x" * 20_000}, origin=Origin("hook", 1e9, SESSION), agent_id="a1"
        ),
    ],
    ev.TOOL_END: [
        lambda: ev.tool_end(None, "Bash", False, origin=Origin("hook")),
        lambda: ev.tool_end(
            "toolu_1",
            "Bash",
            True,
            origin=Origin("hook", 1e9, SESSION),
            duration_ms=5,
            summary="x" * 20_000,
            agent_id="a1",
        ),
    ],
    ev.AGENT_DELEGATION: [
        lambda: ev.agent_delegation("general-purpose", "t", "started", origin=Origin("hook")),
        lambda: ev.agent_delegation(
            "Explore",
            "t" * 1_001,
            "failed",
            origin=Origin("transcript", 1e9, SESSION),
            agent_id="a1",
            tool_use_id="toolu_1",
            parent_agent_id="a0",
            background=True,
            duration_ms=5,
            tokens=1370,
            tool_uses=1,
            reason="interrupted",
        ),
    ],
    ev.AGENT_STATUS: [
        lambda: ev.agent_status([], {}, origin=Origin("hook")),
        lambda: ev.agent_status(
            [{"agent_id": "a1", "agent": "Explore", "task": "t" * 1_000, "since": STAMP, "totals": TOKENS}] * 300,
            {"Explore": {"tasks": 2, "failed": 1, "avg_duration_ms": 10, "totals": TOKENS}},
            origin=Origin("hook", 1e9, SESSION),
        ),
    ],
    ev.TODO_UPDATE: [
        lambda: ev.todo_update([], origin=Origin("todo_file")),
        lambda: ev.todo_update(
            [
                {"id": "1", "content": "c", "status": "in_progress", "active_form": "doing c", "truncated": True},
                {"id": "3", "content": "c", "status": "pending", "blocks": ["1"], "blocked_by": ["2"]},
                {"id": "2", "content": "d", "status": "pending", "owner": "later versions"},
            ],
            origin=Origin("hook", 1e9, SESSION),
            agent_id="a1",
        ),
    ],
    ev.CLAUDE_USAGE: [
        lambda: ev.claude_usage(origin=Origin("transcript"), model=None, tokens={}, totals={}),
        lambda: ev.claude_usage(
            origin=Origin("transcript", 1e9, SESSION),
            model="m",
            tokens=TOKENS,
            totals=TOKENS,
            agent_id="a1",
            context_percent=12.5,
            cost_usd=0.1,
            cost_is_estimate=True,
        ),
    ],
    ev.CLAUDE_SCREEN: [
        lambda: ev.claude_screen(80, 24, {"row": 0, "col": 0, "visible": False}, [], None, frame=1, base=0),
        lambda: ev.claude_screen(
            80,
            24,
            {"row": 1, "col": 2, "visible": True},
            [[0, [["hi", {}], ["x", {"fg": "#ff00ff", "bg": 4, "b": True}], ["宽", {"w": 2}]]]],
            "t",
            frame=9,
            base=3,
        ),
    ],
    ev.SYSTEM_STATUS: [lambda: ev.system_status(STATUS), lambda: ev.system_status(FULL_STATUS)],
    ev.SYSTEM_ERROR: [
        lambda: ev.system_error("e", "hooks"),
        lambda: ev.system_error("e", "hooks", severity="warning", hint="h"),
    ],
    ev.SYSTEM_GAP: [
        lambda: ev.system_gap(1, 1, {}, "expired"),
        lambda: ev.system_gap(3, 9, {"claude.output": 5}, "slow_client"),
    ],
    ev.SYSTEM_CONTROL: [
        lambda: ev.system_control("stop", "client-1"),
        lambda: ev.system_control("resize", "client-1", {"cols": 80, "rows": 24}),
    ],
}
SESSION_ROW = {
    "session_id": SESSION,
    "title": "Fix the parser",
    "working_dir": "/w",
    "git_branch": None,
    "started_at": STAMP,
    "ended_at": None,
    "claude_version": "2.1.330",
    "bytes": 5,
    "recorded": False,
    "instance_id": INSTANCE,
    "match": {"role": "tool", "line": "Bash: make"},
}
REPLIES: list[dict[str, Any]] = [
    {"type": "subscribed", "data": {"channels": ["*", "agent.*"], "seq": 0}},
    {"type": "unsubscribed", "data": {"channels": []}, "request_id": "r1"},
    {"type": "history", "data": {"events": [], "oldest_seq": None, "more": False}, "request_id": 5},
    {"type": "instances", "data": {"instances": [INFO]}},
    {"type": "sessions", "data": {"sessions": [SESSION_ROW], "more": False, "next": None}},
    {"type": "session", "data": {"session_id": SESSION, "events": [], "more": True}},
    {"type": "pong", "data": {}, "request_id": 0.5},
    {"type": "done", "data": {"command": "stop"}},
    {"type": "error", "data": {"code": "invalid_json", "message": "not JSON", "command": None}},
    {"type": "system.status", "data": FULL_STATUS, "instance_id": INSTANCE, "request_id": "r"},
    {
        "type": "claude.screen",
        "data": dict(
            ev.claude_screen(1, 1, {"row": 0, "col": 0, "visible": True}, [[0, []]], None, frame=1, base=0).data
        ),
    },
]
COMMANDS: list[dict[str, Any]] = [
    {"command": "subscribe", "channels": ["*"]},
    {"command": "subscribe", "params": {"channels": ["todo.update"], "since": 0}, "request_id": 1},
    {"command": "unsubscribe", "channels": ["agent.*"]},
    {"command": "get_status", "instance_id": INSTANCE},
    {"command": "get_history"},
    {"command": "get_history", "params": {"event_types": ["*"], "limit": 5, "since": 1, "before": 9}},
    {"command": "get_instances"},
    {"command": "get_screen"},
    {"command": "get_sessions"},
    {
        "command": "get_sessions",
        "params": {"text": "x", "project": "/w", "since": STAMP, "before": SESSION, "limit": 5},
    },
    {"command": "get_session", "session_id": SESSION},
    {"command": "get_session", "params": {"session_id": SESSION, "since": 0, "limit": 5}},
    {"command": "ping"},
    {"command": "send_input", "params": {"text": "hi\r"}},
    {"command": "interrupt"},
    {"command": "stop"},
    {"command": "resize", "cols": 80, "rows": 24},
    {"command": "answer", "request": "q-1", "decision": "deny", "message": "no"},
    {"command": "answer", "params": {"request": "q-1", "decision": "allow", "answers": {"Which?": ["S", "M"]}}},
    {"command": "send_prompt", "params": {"text": "hello"}},
]


def as_sent(event: Event) -> dict[str, Any]:
    """The event as a client decodes it."""
    message: dict[str, Any] = json.loads(Log(INSTANCE).append(event).json)
    if event.type == ev.SYSTEM_GAP:
        del message["seq"]
    return message


@pytest.mark.parametrize("event_type", ev.EVENT_TYPES)
def test_every_constructor_makes_what_the_document_says(event_type: str) -> None:
    minimal, full = (make() for make in EVENTS[event_type])
    assert minimal.type == full.type == event_type
    check(as_sent(minimal))
    check(as_sent(full))


@pytest.mark.parametrize("event_type", ev.EVENT_TYPES)
def test_document_and_constructors_name_the_same_fields(event_type: str) -> None:
    properties = document()["components"]["messages"][event_type]["payload"]["allOf"][1]["properties"]
    named = document()["components"]["schemas"][properties["data"]["$ref"].rsplit("/", 1)[1]]["properties"]
    assert set(EVENTS[event_type][1]().data) == set(named)


def test_document_and_program_name_the_same_events() -> None:
    assert message_names("sendEvents") == list(ev.EVENT_TYPES)
    assert set(document()["components"]["messages"]) == set(ev.EVENT_TYPES) | set(REPLY_TYPES) | commands()


def test_the_channel_lists_every_message() -> None:
    assert set(document()["channels"]["session"]["messages"]) == set(document()["components"]["messages"])


def test_every_schema_is_a_schema_and_every_reference_leads_somewhere() -> None:
    for schema in document()["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)

    def follow(node: Any) -> None:
        if isinstance(node, Mapping):
            target = document()
            for part in node.get("$ref", "#").removeprefix("#").lstrip("/").split("/"):
                target = target[part] if part else target
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for value in node:
                follow(value)

    follow(document())


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply["type"])
def test_replies_fit(reply: dict[str, Any]) -> None:
    check(reply | {"timestamp": STAMP})


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["command"])
def test_commands_fit_in_both_forms(command: dict[str, Any]) -> None:
    check_command(command)


def test_history_holds_events_of_every_type() -> None:
    events = [as_sent(make()) for kind, makers in EVENTS.items() if kind != ev.SYSTEM_GAP for make in makers]
    reply = {"type": "history", "timestamp": STAMP, "data": {"events": events, "oldest_seq": 1, "more": True}}
    check(reply)
    events[3]["data"]["duration_seconds"] = "long"
    with pytest.raises(AssertionError):
        check(reply)


BROKEN: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("no data", lambda frame: frame.pop("data")),
    ("no number", lambda frame: frame.pop("seq")),
    ("no instance", lambda frame: frame.pop("instance_id")),
    ("number 0", lambda frame: frame.update(seq=0)),
    ("time without milliseconds", lambda frame: frame.update(timestamp="2026-01-02T03:04:05Z")),
    ("unknown source", lambda frame: frame.update(source="oracle")),
    ("unknown type", lambda frame: frame.update(type="todo.changed")),
    ("a command's name", lambda frame: frame.update(type="subscribe")),
    ("required field missing", lambda frame: frame["data"].pop("stats")),
    ("wrong type inside", lambda frame: frame["data"]["todos"][0].update(content=1)),
    ("status nobody promised", lambda frame: frame["data"]["todos"][0].update(status="blocked")),
]


@pytest.mark.parametrize("breaks", [b for _, b in BROKEN], ids=[name for name, _ in BROKEN])
def test_a_broken_frame_fails(breaks: Callable[[dict[str, Any]], object]) -> None:
    frame = as_sent(EVENTS[ev.TODO_UPDATE][1]())
    check(frame)
    breaks(frame)
    with pytest.raises(AssertionError):
        check(frame)


def test_a_reply_with_a_number_fails() -> None:
    frame = REPLIES[0] | {"timestamp": STAMP}
    check(frame)
    with pytest.raises(AssertionError, match="the frame"):
        check(frame | {"seq": 1})


def test_a_gap_with_a_number_says_whose_it_is() -> None:
    frame = as_sent(EVENTS[ev.SYSTEM_GAP][1]()) | {"timestamp": STAMP}
    check(frame | {"seq": 1})
    del frame["instance_id"]
    with pytest.raises(AssertionError, match="the frame"):
        check(frame | {"seq": 1})


@pytest.mark.parametrize(
    "command",
    [
        {"command": "fly"},
        {"command": "subscribe"},
        {"command": "subscribe", "channels": "todo.*"},
        {"command": "subscribe", "channels": ["todo*"]},
        {"command": "get_history", "params": {"limit": -1}},
        {"command": "resize", "cols": 80},
    ],
)
def test_a_broken_command_fails(command: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_command(command)
