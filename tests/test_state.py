from __future__ import annotations

from typing import Any

import pytest

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.state import State

INFO = {"port": 8765, "host": "localhost", "working_dir": "/w"}


def after(*events: Event) -> dict[str, Any]:
    state = State()
    for event in events:
        state.apply(event)
    return state.snapshot()


def start(session_id: str | None = "s-1", time: float = 0.0) -> Event:
    return ev.session_start(session_id, INFO, "exec", time)


def test_before_anything_happened_claude_is_starting() -> None:
    now = after()
    assert now["claude_status"] == "starting"
    assert now["session_id"] is None and now["claude_pid"] is None and now["usage"] is None
    assert now["todos"] == {"todos": [], "stats": {"total": 0, "completed": 0, "in_progress": 0, "pending": 0}}
    assert now["agents"] == {"active_agents": [], "agent_stats": {}}


def test_a_session_that_starts_gives_id_and_time() -> None:
    now = after(start())
    assert (now["session_id"], now["session_start"]) == ("s-1", "1970-01-01T00:00:00.000Z")


def test_a_start_without_an_id_keeps_the_known_one() -> None:
    assert after(start(), start(None))["session_id"] == "s-1"


def test_an_id_learnt_after_the_start_is_known_from_then_on() -> None:
    learnt = ev.claude_status("running", origin=Origin("hook", session_id="s-9"), activity="idle")
    assert after(start(None), learnt)["session_id"] == "s-9"
    assert after(start("s-1"), ev.claude_status("running", origin=Origin("process")))["session_id"] == "s-1"


def test_a_second_session_in_the_same_process_has_no_todos_yet_and_keeps_the_first_start() -> None:
    todos = ev.todo_update([{"id": "1", "content": "x", "status": "pending"}], origin=Origin("todo_file"))
    now = after(start(), todos, start("s-2", 9.0))
    assert now["session_id"] == "s-2"
    assert now["session_start"] == "1970-01-01T00:00:00.000Z"
    assert now["todos"]["todos"] == []


def test_a_session_that_ended_says_how_and_a_new_one_takes_that_back() -> None:
    end = ev.session_end("s-1", 5.0, 5.0, exit_code=3, signal=None, reason="exit")
    assert after(start(), end)["ended"] == {
        "exit_code": 3, "signal": None, "reason": "exit", "end_time": "1970-01-01T00:00:05.000Z",
    }  # fmt: skip
    assert after(start(), end, start())["ended"] is None


def test_the_pid_stays_known_when_a_later_status_does_not_name_it() -> None:
    now = after(
        ev.claude_status("running", origin=Origin("process"), pid=7),
        ev.claude_status("running", origin=Origin("hook"), activity="working"),
    )
    assert (now["claude_pid"], now["activity"]) == (7, "working")


@pytest.mark.parametrize("status", ["stopped", "error", "starting"])
def test_only_a_running_claude_has_an_activity(status: Any) -> None:
    now = after(
        ev.claude_status("running", origin=Origin("hook"), activity="waiting", waiting_for={"kind": "permission"}),
        ev.claude_status(status, origin=Origin("process")),
    )
    assert (now["claude_status"], now["activity"], now["waiting_for"]) == (status, None, None)


def test_what_claude_waits_for_is_told_until_the_next_status() -> None:
    waits = ev.claude_status("running", origin=Origin("hook"), activity="waiting", waiting_for={"kind": "question"})
    assert after(waits)["waiting_for"] == {"kind": "question"}
    assert after(waits, ev.claude_status("running", origin=Origin("hook"), activity="working"))["waiting_for"] is None


def test_todos_and_messages_of_a_subagent_are_not_the_sessions() -> None:
    mine = ev.todo_update([{"id": "1", "content": "x", "status": "completed"}], origin=Origin("transcript"))
    its = ev.todo_update([], origin=Origin("transcript"), agent_id="a")
    said = ev.claude_message("assistant", "hello", origin=Origin("transcript"))
    it_said = ev.claude_message("assistant", "other", origin=Origin("transcript"), agent_id="a")
    now = after(mine, its, said, it_said)
    assert now["todos"]["stats"]["completed"] == 1
    assert now["last_message"] == {"role": "assistant", "text": "hello"}


def test_a_long_message_is_cut() -> None:
    now = after(ev.claude_message("user", "x" * 5000, origin=Origin("transcript")))
    assert len(now["last_message"]["text"]) == 300


def test_agents_and_usage_are_the_newest_told() -> None:
    agents = ev.agent_status([{"agent_id": "a", "agent": "qa", "task": "t", "since": "z"}], {}, origin=Origin("hook"))
    usage = ev.claude_usage(
        origin=Origin("transcript"), model="m", tokens={"input": 1}, totals={"input": 5}, cost_usd=0.5
    )
    now = after(agents, usage)
    assert now["agents"]["active_agents"][0]["agent_id"] == "a"
    assert now["usage"] == {"model": "m", "totals": {"input": 5}, "cost_usd": 0.5}


def test_a_snapshot_does_not_change_afterwards() -> None:
    state = State()
    state.apply(start())
    before = state.snapshot()
    kept = {key: str(value) for key, value in before.items()}
    for event in (
        ev.session_end("s-1", 5.0, 5.0, exit_code=0, signal=None, reason="exit"),
        ev.todo_update([{"id": "1", "content": "x", "status": "pending"}], origin=Origin("todo_file")),
        ev.agent_status([{"agent_id": "a"}], {}, origin=Origin("hook")),
        ev.claude_status("stopped", origin=Origin("process")),
    ):
        state.apply(event)
    assert {key: str(value) for key, value in before.items()} == kept


def test_events_of_no_consequence_change_nothing() -> None:
    assert after(ev.claude_output("x", 0), ev.system_error("x", "y"), Event("later.thing", {}, "monitor")) == after()


def test_a_list_that_was_cut_says_so_in_the_status_too() -> None:
    long = ev.todo_update([{"id": "1", "content": "x", "status": "pending", "truncated": True}], origin=Origin("hook"))
    assert after(long)["todos"]["truncated"] is True
    short = ev.todo_update([{"id": "1", "content": "x", "status": "pending"}], origin=Origin("hook"))
    assert "truncated" not in after(long, short)["todos"]
