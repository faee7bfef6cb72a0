"""What the tracker survives and what it holds: hostile values, long sessions, large inputs."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse import hooks, session_file, stream_json, transcript
from claude_mpm.sources.parse import observations as obs
from claude_mpm.sources.parse.observations import Observation, Who
from claude_mpm.sources.track.tracker import Tracker
from claude_mpm.system import json_text

MIB = 1024 * 1024
MAIN = Who("s1")
MAX_LIST_EVENT = 300 * 1024  # bytes; a list's own limit is 256 KiB of JSON, the rest of the event is small


class Fed:
    """A tracker, a clock that advances by itself, and no memory of the events."""

    def __init__(self) -> None:
        self.tracker = Tracker("s1")
        self.now = 1000.0

    def observe(self, observation: Observation, source: Source = "transcript") -> list[Event]:
        self.now += 0.001
        return self.tracker.observe(observation, source, self.now)

    def start(self, name: str | None, tool: str, given: Any, source: Source = "transcript") -> list[Event]:
        return self.observe(obs.ToolStarted(MAIN, self.now, name, tool, given), source)

    def end(self, name: str, result: Any = None) -> list[Event]:
        return self.observe(obs.ToolEnded(MAIN, self.now, name, None, None, True, "", result or {}))

    def delegate(self, name: str, agent_id: str, task: str = "task") -> list[Event]:
        given = {"description": task, "prompt": f"do {name}", "subagent_type": "Explore"}
        return [
            *self.start(name, "Agent", given),
            *self.end(name, {"isAsync": True, "status": "async_launched", "agentId": agent_id}),
        ]

    def answer(self, agent_id: str | None, message_id: str) -> list[Event]:
        return self.observe(obs.Used(Who("s1", agent_id), self.now, message_id, "m", 1, 2, 3, 4, True))


@contextmanager
def held_below(limit: int) -> Iterator[None]:
    """Fail when what was allocated inside and is still held is more than `limit` bytes."""
    tracemalloc.start()
    try:
        yield
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < limit, f"{held / MIB:.1f} MiB held, {limit / MIB:.1f} allowed"


def size(event: Event) -> int:
    return len(json_text.dumps(event.data))


def one_of(events: list[Event], kind: str) -> Event:
    (event,) = (event for event in events if event.type == kind)
    return event


# --- what an event repeats ---------------------------------------------------------------------------


def test_a_usage_event_does_not_grow_with_the_number_of_agents() -> None:
    fed = Fed()
    first = one_of(fed.answer(None, "m0"), ev.CLAUDE_USAGE)
    for n in range(100):
        fed.delegate(f"call{n}", f"agent{n}")
        fed.answer(f"agent{n}", f"of{n}")
    last = one_of(fed.answer("agent99", "last"), ev.CLAUDE_USAGE)
    assert last.data["totals"]["input"] == 102
    assert "agents" not in last.data and size(last) < size(first) + 100


def test_the_tokens_of_each_agent_are_in_agent_status() -> None:
    fed = Fed()
    fed.answer("agent1", "before its delegation is known")
    fed.delegate("a", "agent1")
    fed.answer("agent1", "m1")
    fed.answer(None, "m2")
    (active, _) = (status := one_of(fed.start("b", "Agent", {"prompt": "p"}), ev.AGENT_STATUS)).data["active_agents"]
    used = {"input": 2, "output": 4, "cache_read": 6, "cache_creation": 8}
    assert active["agent_id"] == "agent1" and active["totals"] == used
    assert status.data["agent_stats"]["Explore"]["totals"] == used
    ended = fed.observe(obs.AgentEnded(Who("s1", "agent1"), fed.now, "a", True, None, 5, 1370, 1))
    last = one_of(ended, ev.AGENT_STATUS)
    assert last.data["agent_stats"]["Explore"]["totals"] == used
    assert one_of(ended, ev.AGENT_DELEGATION).data["tokens"] == 1370


def test_a_status_with_very_many_agents_is_cut_and_says_so() -> None:
    fed = Fed()
    for n in range(300):
        last = fed.delegate(f"call{n}", f"agent{n}", "t" * 5000)
    started, status = one_of(last, ev.AGENT_DELEGATION), [e for e in last if e.type == ev.AGENT_STATUS][-1]
    assert size(status) < MAX_LIST_EVENT and status.data["truncated"] is True
    assert size(started) < 20_000 and started.data["truncated"] is True


# --- values nobody expects ---------------------------------------------------------------------------

ODD_NUMBERS = ["²", "٣", "1" * 5000, "-1", "", "1e3", "\ud800"]


@pytest.mark.parametrize("odd", ODD_NUMBERS, ids=ascii)
def test_a_task_with_an_odd_id_loses_nothing(odd: str) -> None:
    fed = Fed()
    fed.start("a", "TaskCreate", {"subject": "one", "description": "d"})
    fed.end("a", {"task": {"id": odd}})
    fed.start("b", "TaskCreate", {"subject": "two", "description": "d"})
    todos = one_of(fed.end("b", {"task": {"id": "2"}}), ev.TODO_UPDATE).data["todos"]
    assert [todo["content"] for todo in todos][0 if not odd else -2 :] in (["two"], ["one", "two"], ["two", "one"])


@pytest.mark.parametrize("cost", ["1" + "0" * 400, "1e999", "NaN", "-1", "true", "null", '"3"'])
def test_a_cost_that_is_no_amount_is_not_told(cost: str) -> None:
    for line in (
        f'{{"type":"result","session_id":"s1","total_cost_usd":{cost}}}',
        f'{{"type":"cost-state","sessionId":"s1","totalCostUSD":{cost}}}',
    ):
        found = stream_json.parse(line.encode()) + transcript.parse(line.encode())
        assert not [one for one in found if isinstance(one, obs.Cost)]


def test_a_call_that_took_longer_than_time_itself_is_a_call() -> None:
    payload = {
        "hook_event_name": "PostToolUse", "session_id": "s1", "tool_name": "Agent", "tool_use_id": "a",
        "tool_input": {"prompt": "p"}, "tool_response": {"totalDurationMs": 10**18}, "duration_ms": 2**62,
    }  # fmt: skip
    fed = Fed()
    events = [event for one in hooks.parse(json_text.dumps(payload), 1000.0) for event in fed.observe(one, "hook")]
    assert one_of(events, ev.TOOL_START).time is not None and one_of(events, ev.TOOL_END)
    for event in events:
        ev.rfc3339(event.time or 0.0)


# Few ids, so that what is made up by chance belongs together; and leaves no record has ever had.
ids = st.sampled_from(["a", "a", "b", "²", "1", "9" * 5000, "x" * 2000, "", "\ud800"])
odd = st.one_of(
    ids,
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 1.5, -1.0]),
    st.sampled_from(["pending", "completed", "deleted", "Task", "p", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]),
)
numbers = st.sampled_from([0, 1, 1.5, -1, 2**62, 2**63, 10**400, True, None])
nested = st.recursive(
    odd,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "content", "status", "task", "todos", "type", "text", "agentId"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
known_tools = st.sampled_from(["Task", "Agent", "TodoWrite", "TaskCreate", "TaskUpdate", "AskUserQuestion", "Bash"])
tools = known_tools | odd
tool_inputs = st.fixed_dictionaries(
    {},
    optional={
        "todos": st.lists(
            st.fixed_dictionaries({}, optional={"id": odd, "content": odd, "status": odd, "activeForm": odd}),
            max_size=3,
        )
        | nested,
        **dict.fromkeys(("taskId", "subject", "status", "prompt", "description", "subagent_type"), odd),
        "run_in_background": odd,
    },
)
inputs = nested | tool_inputs
tool_results = st.fixed_dictionaries(
    {},
    optional={
        "task": st.fixed_dictionaries({"id": ids}) | nested,
        "isAsync": odd,
        **dict.fromkeys(("agentId", "status", "success"), odd),
        **dict.fromkeys(("totalDurationMs", "totalTokens", "totalToolUseCount"), numbers),
    },
)
results = nested | tool_results
usage = st.fixed_dictionaries({}, optional={"input_tokens": numbers, "output_tokens": numbers})


def _blocks() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("text"), "text": odd}),
        st.fixed_dictionaries({"type": st.just("tool_use"), "id": odd, "name": tools, "input": inputs}),
        st.fixed_dictionaries({"type": st.just("tool_result"), "tool_use_id": odd, "content": nested, "is_error": odd}),
        nested,
    )


messages = st.fixed_dictionaries(
    {"content": st.lists(_blocks(), max_size=3) | nested, "id": odd, "model": odd, "usage": usage | nested},
    optional={"stop_reason": odd},
)
_session = st.sampled_from(["s1", "s1", "s1", "s2"]) | odd
stream_lines = st.fixed_dictionaries(
    {"type": st.sampled_from(["assistant", "user", "system", "result"]), "session_id": _session},
    optional={
        "message": messages,
        "tool_use_result": results,
        "subtype": st.sampled_from(["init", "api_retry", "task_started", "task_notification"]),
        "task_type": st.just("local_agent"),
        "usage": st.fixed_dictionaries(
            {}, optional={"total_tokens": numbers, "duration_ms": numbers, "tool_uses": numbers}
        ),
        **dict.fromkeys(("parent_tool_use_id", "agent_id", "task_id", "tool_use_id", "status", "summary"), odd),
        **dict.fromkeys(("timestamp", "total_cost_usd", "error_status", "attempt"), numbers),
        "is_backgrounded": odd,
        "prompt": odd,
    },
)
transcript_lines = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["assistant", "user", "system", "queue-operation", "cost-state", "attachment"]),
        "sessionId": _session,
    },
    optional={
        "message": messages,
        "toolUseResult": results,
        "subtype": st.sampled_from(["turn_duration", "api_error"]),
        "attachment": st.fixed_dictionaries({"type": st.just("queued_command"), "prompt": nested}),
        "error": nested,
        **dict.fromkeys(("agentId", "uuid", "parentUuid", "isSidechain", "timestamp", "content"), odd),
        **dict.fromkeys(("totalCostUSD", "pendingBackgroundAgentCount"), numbers),
        "operation": odd,
    },
)
hook_payloads = st.fixed_dictionaries(
    {
        "hook_event_name": st.sampled_from(
            [
                "PreToolUse",
                "PostToolUse",
                "PermissionRequest",
                "UserPromptSubmit",
                "SessionStart",
                "SessionEnd",
                "Stop",
                "SubagentStop",
                "Notification",
            ]
        ),
        "session_id": _session,
    },
    optional={
        "tool_name": tools,
        "tool_input": inputs,
        "tool_response": results,
        "background_tasks": nested,
        **dict.fromkeys(("tool_use_id", "agent_id", "prompt_id", "prompt", "source", "reason", "message"), odd),
        "duration_ms": numbers,
        "notification_type": odd,
    },
)
session_files = st.fixed_dictionaries(
    {"sessionId": _session, "status": st.sampled_from(["busy", "idle", "waiting"]) | odd},
    optional={"statusUpdatedAt": numbers},
)
records = st.one_of(
    st.tuples(st.just("stream_json"), stream_lines),
    st.tuples(st.just("transcript"), transcript_lines),
    st.tuples(st.just("hook"), hook_payloads),
    st.tuples(st.just("session_file"), session_files),
)
PARSERS: dict[str, Any] = {
    "stream_json": stream_json.parse,
    "transcript": transcript.parse,
    "hook": lambda line: hooks.parse(line, 1000.0),
    "session_file": session_file.parse,
}


def _new_session(session_id: str, reason: Any, at: float) -> Event:
    return ev.session_start(session_id, {"port": 1}, "exec", at, reason=reason, source="hook")


@st.composite
def calls(draw: Any) -> list[Any]:
    """A tool call with its result, each as one of the sources tells it."""
    name, tool, given, result = draw(st.tuples(ids, known_tools, tool_inputs, tool_results))
    duration = draw(numbers)
    block = {"type": "tool_use", "id": name, "name": tool, "input": given}
    answer = {"type": "tool_result", "tool_use_id": name, "content": "done"}
    hook = {
        "session_id": "s1",
        "tool_name": tool,
        "tool_input": given,
        "tool_use_id": draw(st.sampled_from([name, None])),
    }
    starts = [
        ("transcript", {"type": "assistant", "sessionId": "s1", "message": {"content": [block]}}),
        ("stream_json", {"type": "assistant", "session_id": "s1", "message": {"content": [block]}}),
        ("hook", {"hook_event_name": "PreToolUse", **hook}),
        ("session_file", {}),
    ]
    ends = [
        ("transcript", {"type": "user", "sessionId": "s1", "message": {"content": [answer]}, "toolUseResult": result}),
        (
            "stream_json",
            {"type": "user", "session_id": "s1", "message": {"content": [answer]}, "tool_use_result": result},
        ),
        ("hook", {"hook_event_name": "PostToolUse", "tool_response": result, "duration_ms": duration, **hook}),
    ]
    return [draw(st.sampled_from(starts)), draw(st.sampled_from(ends))]


costs = st.builds(lambda usd: [("stream_json", {"type": "result", "session_id": "s1", "total_cost_usd": usd})], numbers)


@given(st.lists(calls() | costs | st.lists(records, min_size=1, max_size=1), max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_sequence_of_records_makes_the_tracker_raise(told: list[list[tuple[Any, dict[str, Any]]]]) -> None:
    tracker = Tracker(None, _new_session)
    events = tracker.observe(obs.ProcessStarted(Who(), 900.0, 1), "process", 900.0)
    for source, record in itertools.chain(*told):
        for one in PARSERS[source](json.dumps(record).encode()):
            events += tracker.observe(one, source, 1000.0)
        for name in tracker.take_unsettled():
            events += tracker.settle(name)
    events += tracker.observe(obs.ProcessEnded(Who(), None, 1, None), "process", 2000.0)
    for event in events:
        json_text.dumps(event.data)
        ev.rfc3339(event.time if event.time is not None else 0.0)


def test_an_input_nested_as_deep_as_json_may_be_is_paired_all_the_same() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    fed = Fed()
    assert fed.start(None, "Bash", {"command": "ls", "deep": deep}, "hook")
    assert fed.start("a", "Bash", {"command": "ls", "deep": deep}) == []


# --- what is held -----------------------------------------------------------------------------------


def test_ended_calls_do_not_keep_their_inputs() -> None:
    fed = Fed()
    with held_below(8 * MIB):
        for n in range(3000):
            fed.start(f"w{n}", "Write", {"file_path": f"/f{n}", "content": f"{n:060000}"})
            fed.end(f"w{n}")


def test_open_calls_keep_little_of_their_inputs() -> None:
    fed = Fed()
    with held_below(16 * MIB):
        for n in range(3000):
            fed.start(f"w{n}", "Write", {"file_path": f"/f{n}", "content": f"{n:060000}"})


def test_hooks_without_ids_keep_little_of_their_inputs() -> None:
    fed = Fed()
    with held_below(16 * MIB):
        for n in range(600):
            fed.start(None, f"Tool{n % 50}", {"file_path": f"/f{n}", "content": f"{n:060000}"}, "hook")


def test_a_call_is_paired_by_what_was_cut_from_its_input_too() -> None:
    fed = Fed()
    for end in "xy":
        assert fed.start(None, "Write", {"content": "c" * 60_000 + end}, "hook")
    assert fed.start("a", "Write", {"content": "c" * 60_000 + "y"}) == []
    assert fed.start("b", "Write", {"content": "c" * 60_000 + "z"}) != []


def test_words_are_held_as_digests_and_so_many_only() -> None:
    fed = Fed()
    with held_below(8 * MIB):
        for n in range(8000):
            text = f"{n:03000}"
            fed.observe(obs.Prompt(MAIN, fed.now, text), "hook")
            fed.observe(obs.Said(MAIN, fed.now, text, f"m{n}", None))
            fed.observe(obs.Said(MAIN, fed.now, text, None, None), "hook")


def test_a_prompt_is_told_once_by_two_sources_after_thousands_of_others() -> None:
    fed = Fed()
    for n in range(5000):
        assert fed.observe(obs.Prompt(MAIN, fed.now, f"prompt {n}"), "hook")
    for n in range(5000):
        assert not [
            event
            for event in fed.observe(obs.Prompt(MAIN, fed.now + 1, f"prompt {n}"))
            if event.type == ev.CLAUDE_MESSAGE
        ]


def test_delegations_are_held_without_their_prompts() -> None:
    fed = Fed()
    with held_below(8 * MIB):
        for n in range(1000):
            fed.start(f"call{n}", "Task", {"description": f"{n:03000}", "prompt": f"{n:060000}"})
            fed.end(f"call{n}")
            fed.observe(obs.AgentSeen(Who("s1", f"agent{n}"), fed.now, prompt=f"other {n:060000}"))


def test_what_is_not_known_to_belong_anywhere_is_bounded() -> None:
    fed = Fed()
    with held_below(9 * MIB):  # full after 8,000, with 7.6 MiB
        for n in range(12_000):
            agent = Who("s1", f"agent{n}")
            fed.observe(obs.AgentSeen(agent, fed.now, prompt=f"prompt {n}"))
            fed.observe(obs.AgentSeen(Who("s1", f"warm{n}"), fed.now, prompt="Warmup"))
            fed.observe(obs.AgentEnded(agent, fed.now, reason="r" * 100))
            fed.observe(obs.Used(agent, fed.now, f"m{n}", "m", 1, 1, 1, 1, False))
            fed.observe(obs.Used(MAIN, fed.now, f"s{n}", "m", 1, 1, 1, 1, False), "stream_json")


# --- todo lists --------------------------------------------------------------------------------------


def test_a_huge_list_is_cut_to_its_limit_and_every_todo_is_still_there() -> None:
    fed = Fed()
    todos = [{"content": f"{n:016000}", "activeForm": "a" * 16_000, "status": "pending"} for n in range(200)]
    event = one_of(fed.start("a", "TodoWrite", {"todos": todos}), ev.TODO_UPDATE)
    assert size(event) < MAX_LIST_EVENT and event.data["truncated"] is True
    assert len(event.data["todos"]) == event.data["stats"]["total"] == 200
    short = one_of(fed.start("b", "TodoWrite", {"todos": [{"content": "c", "status": "pending"}]}), ev.TODO_UPDATE)
    assert "truncated" not in short.data


def test_a_list_of_too_many_todos_says_so() -> None:
    todos = [{"content": f"{n}", "status": "pending"} for n in range(1500)]
    event = one_of(Fed().start("a", "TodoWrite", {"todos": todos}), ev.TODO_UPDATE)
    assert len(event.data["todos"]) == 1000 and event.data["truncated"] is True


def test_a_list_built_of_huge_tasks_is_cut_too() -> None:
    fed = Fed()
    for n in range(100):
        fed.start(f"c{n}", "TaskCreate", {"subject": "s" * 20_000, "description": f"{n:020000}"})
        event = one_of(fed.end(f"c{n}", {"task": {"id": str(n)}}), ev.TODO_UPDATE)
        assert size(event) < MAX_LIST_EVENT
    assert event.data["truncated"] is True and event.data["stats"]["total"] == 100
    fed.start("u", "TaskUpdate", {"taskId": "3", "status": "completed", "metadata": "m" * 60_000})
    last = one_of(fed.end("u", {"success": True}), ev.TODO_UPDATE)
    assert last.data["stats"]["completed"] == 1 and last.data["truncated"] is True


def test_the_lists_of_many_agents_are_bounded() -> None:
    fed = Fed()
    with held_below(8 * MIB):
        for n in range(200):
            todos = [{"content": f"{n:03} {i:02000}", "status": "pending"} for i in range(40)]
            fed.observe(obs.ToolStarted(Who("s1", f"agent{n}"), fed.now, f"t{n}", "TodoWrite", {"todos": todos}))


def test_the_context_is_told_in_percent_once_its_size_is_known_and_never_guessed() -> None:
    """An answer of `Fed.answer` is based on 1 + 3 + 4 tokens; an agent's says nothing of the main conversation."""
    fed = Fed()
    assert "context_percent" not in one_of(fed.answer(None, "a1"), ev.CLAUDE_USAGE).data
    fed.observe(obs.ContextWindow(MAIN, fed.now, "another", 100))
    assert "context_percent" not in one_of(fed.answer(None, "a2"), ev.CLAUDE_USAGE).data
    fed.observe(obs.ContextWindow(MAIN, fed.now, "m", 200))
    assert one_of(fed.answer(None, "a3"), ev.CLAUDE_USAGE).data["context_percent"] == 4.0
    assert one_of(fed.observe(obs.Cost(MAIN, fed.now, 0.5)), ev.CLAUDE_USAGE).data["context_percent"] == 4.0
    fed.observe(obs.ContextWindow(MAIN, fed.now, "m", 2))
    assert one_of(fed.answer(None, "a4"), ev.CLAUDE_USAGE).data["context_percent"] == 100.0
    fed.delegate("t1", "agent1")
    events = fed.answer("agent1", "b1") + fed.observe(obs.TurnEnded(Who("s1", "agent1"), fed.now, None))
    assert not [event for event in events if event.type == ev.CLAUDE_USAGE and "context_percent" in event.data]
