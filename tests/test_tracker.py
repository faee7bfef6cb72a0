"""The tracker: each fact once, whichever sources tell it and in whatever order."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sightings import VERSIONS, as_line, records, transcripts
from support import DATA

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse import hooks, session_file, stream_json, transcript
from claude_mpm.sources.parse import observations as seen
from claude_mpm.sources.parse.observations import Observation, Who
from claude_mpm.sources.track.tracker import Tracker
from claude_mpm.system import json_text

TASKS = ("Research the topic", "Parallel beta", "Parallel gamma")
Sighting = tuple[Observation, Source, float]


# --- one recorded run, seen by all its sources -------------------------------------------------------


def recorded(version: str) -> dict[str, list[Sighting]]:
    """Per source, and per file of the transcripts: what it saw, in its order."""
    found: dict[str, list[Sighting]] = {}
    for line in (DATA / f"sessions/{version}.jsonl").read_text().splitlines():
        name, at, text = json.loads(line)
        kind, _, file = name.partition(":")
        observations, source = _parse(kind, file, text.encode(), at)
        found.setdefault(name, []).extend(
            (one, source, at if at is not None else one.at or 0.0) for one in observations
        )
    return found


def _parse(kind: str, file: str, text: bytes, at: float) -> tuple[list[Observation], Source]:
    if kind == "hook":
        return hooks.parse(text, at), "hook"
    if kind == "stream_json":
        return stream_json.parse(text), "stream_json"
    if kind == "meta":
        return transcript.parse_meta(text, "", file[len("agent-") : -len(".meta.json")], at), "transcript"
    return transcript.parse(text), "transcript"


RECORDED = {version: recorded(version) for version in VERSIONS}


def tell(tracker: Tracker, sightings: Sequence[Sighting]) -> list[Event]:
    events = [event for sighting in sightings for event in tracker.observe(*sighting)]
    for name in tracker.take_unsettled():
        events += tracker.settle(name)
    return events + tracker.observe(seen.ProcessEnded(Who(), None, 0, None), "process", 2e9)


def in_time(sources: dict[str, list[Sighting]], *wanted: str) -> list[Sighting]:
    """The sightings of these kinds of source, as they would come."""
    chosen = [sighting for name, part in sources.items() if name.partition(":")[0] in wanted for sighting in part]
    return sorted(chosen, key=lambda sighting: sighting[0].at or sighting[2])


def shuffled(sources: dict[str, list[Sighting]], chance: random.Random) -> list[Sighting]:
    """Any merge of the sources that keeps the order of each."""
    turns = [name for name, part in sources.items() for _ in part]
    chance.shuffle(turns)
    parts = {name: iter(part) for name, part in sources.items()}
    return [next(parts[name]) for name in turns]


def facts(events: Sequence[Event]) -> Counter[Any]:
    """What was told, without who saw it, when, and under which name where there was none."""
    found: Counter[Any] = Counter()
    for event in events:
        data = event.data
        if event.type == ev.AGENT_DELEGATION:
            found["delegation", data["agent"], data["task"], data["status"]] += 1
        elif event.type == ev.TOOL_START:
            found["tool.start", data["tool"], json.dumps(data["input"], sort_keys=True)] += 1
        elif event.type == ev.TOOL_END:
            found["tool.end", data["tool"], data["ok"]] += 1
        elif event.type == ev.CLAUDE_MESSAGE:
            found["message", data["role"], data["text"], data.get("message_id")] += 1
    return found


def totals(events: Sequence[Event]) -> Any:
    return [dict(event.data["totals"]) for event in events if event.type == ev.CLAUDE_USAGE][-1]


def delegations(events: Sequence[Event]) -> Counter[tuple[str, str]]:
    return Counter((e.data["task"], e.data["status"]) for e in events if e.type == ev.AGENT_DELEGATION)


ALL_DONE = Counter((task, status) for task in TASKS for status in ("started", "completed"))


@pytest.mark.parametrize("version", VERSIONS)
def test_all_sources_together_tell_each_fact_once(version: str) -> None:
    events = tell(Tracker(), in_time(RECORDED[version], "hook", "stream_json", "transcript", "meta"))
    assert delegations(events) == ALL_DONE
    names = [event.data["tool_use_id"] for event in events if event.type == ev.TOOL_START]
    assert len(names) == len(set(names)) == (10 if version < "2.1" else 16)
    assert sorted(names) == sorted(event.data["tool_use_id"] for event in events if event.type == ev.TOOL_END)
    texts = Counter((e.data["text"], e.data.get("message_id")) for e in events if e.type == ev.CLAUDE_MESSAGE)
    assert set(texts.values()) == {1}
    done = [e.data for e in events if e.type == ev.AGENT_DELEGATION and e.data["status"] == "completed"]
    assert all(data["tokens"] == 1370 and data["tool_uses"] == 1 and data["duration_ms"] > 900 for data in done)
    last = [event.data for event in events if event.type == ev.AGENT_STATUS][-1]
    assert last["active_agents"] == [] and last["agent_stats"]["general-purpose"]["tasks"] == 3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("source", ["hook", "stream_json", "transcript"])
def test_every_source_alone_tells_the_delegations_and_the_todos(version: str, source: str) -> None:
    events = tell(Tracker(), in_time(RECORDED[version], source, "meta" if source == "transcript" else source))
    assert delegations(events) == ALL_DONE
    assert todo_states(events)[-1] == ["completed"] * 3


def todo_states(events: Sequence[Event]) -> list[list[str]]:
    return [[todo["status"] for todo in e.data["todos"]] for e in events if e.type == ev.TODO_UPDATE]


@pytest.mark.parametrize("version", VERSIONS)
def test_todo_lists_come_whole_in_order_and_once(version: str) -> None:
    states = todo_states(tell(Tracker(), in_time(RECORDED[version], "hook", "stream_json", "transcript")))
    assert all(one != other for one, other in itertools.pairwise(states))
    wanted = [
        ["in_progress", "pending", "pending"],
        ["completed", "in_progress", "pending"],
        ["completed", "completed", "completed"],
    ]
    rest = iter(states)
    assert all(any(state == found for found in rest) for state in wanted)
    if version < "2.1":
        assert states == wanted


@pytest.mark.parametrize("version", VERSIONS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_interleaving_of_the_sources_tells_the_same_facts(version: str, seed: int) -> None:
    sources = RECORDED[version]
    expected = tell(Tracker(), in_time(sources, "hook", "stream_json", "transcript", "meta"))
    events = tell(Tracker(), shuffled(sources, random.Random(seed)))
    assert facts(events) == facts(expected)
    assert totals(events) == totals(expected)
    assert todo_states(events)[-1] == ["completed"] * 3


@pytest.mark.parametrize("version", VERSIONS)
@given(without=st.sets(st.sampled_from(["hook", "stream_json", "transcript"]), max_size=2))
@settings(max_examples=8, deadline=None)
def test_losing_sources_loses_no_delegation(version: str, without: set[str]) -> None:
    kept = {"hook", "stream_json", "transcript", "meta"} - without
    assert delegations(tell(Tracker(), in_time(RECORDED[version], *kept))) == ALL_DONE


@pytest.mark.parametrize("version", VERSIONS)
def test_a_transcript_read_twice_tells_nothing_twice(version: str) -> None:
    sightings = in_time(RECORDED[version], "transcript", "meta")
    tracker = Tracker()
    once = [event for sighting in sightings for event in tracker.observe(*sighting)]
    again = [event for sighting in sightings for event in tracker.observe(*sighting)]
    assert facts(once) and not facts(again)
    assert totals(once + again + tell(tracker, [])) == totals(tell(Tracker(), sightings))


def test_the_hidden_agents_of_20_are_not_told() -> None:
    events: list[Event] = []
    tracker = Tracker()
    for path in transcripts("2.0.77"):
        for line in path.read_bytes().splitlines():
            events += [event for one in transcript.parse(line) for event in tracker.observe(one, "transcript", 0.0)]
    assert delegations(events) == ALL_DONE
    assert not any(event.data.get("text") in ("Warmup", "ok") for event in events)


def test_the_answers_of_a_run_add_up() -> None:
    events = tell(Tracker(), in_time(RECORDED["2.1.330"], "hook", "stream_json", "transcript", "meta"))
    usage = [event.data for event in events if event.type == ev.CLAUDE_USAGE]
    for name in ("input", "output", "cache_read", "cache_creation"):
        assert sum(data["tokens"][name] for data in usage) == usage[-1]["totals"][name]
    assert usage[-1]["totals"]["output"] % 50 == 0  # every answer of the script is of 50 tokens
    assert usage[-1]["cost_usd"] > 0 and usage[-1]["cost_is_estimate"] is False
    last = [event.data for event in events if event.type == ev.AGENT_STATUS][-1]
    of_agents = [data["tokens"]["output"] for data in usage if data.get("agent_id")]
    assert last["agent_stats"]["general-purpose"]["totals"]["output"] == sum(of_agents) > 0


# --- told by hand -------------------------------------------------------------------------------------


@dataclass
class Told:
    """A tracker, a clock that goes on by itself, and what came out."""

    tracker: Tracker = field(default_factory=lambda: Tracker("s1", new_session))
    now: float = 1000.0
    events: list[Event] = field(default_factory=list)
    settle: bool = True

    def see(
        self, make: Callable[..., Observation], *args: Any, who: Who | None = None, by: Source = "hook"
    ) -> list[Event]:
        self.now += 1.0
        new = self.tracker.observe(make(who or Who("s1"), self.now, *args), by, self.now)
        for name in self.tracker.take_unsettled() if self.settle else ():
            new += self.tracker.settle(name)
        self.events += new
        return new

    def start(self, name: str, tool: str, given: Any = None, who: Who | None = None) -> list[Event]:
        return self.see(seen.ToolStarted, name, tool, given if given is not None else {}, who=who)

    def end(self, name: str, ok: bool = True, result: Any = None, by: Source = "hook") -> list[Event]:
        return self.see(seen.ToolEnded, name, None, None, ok, "", result or {}, by=by)

    def delegate(self, name: str, agent_id: str | None = None, **given: Any) -> None:
        self.start(name, "Agent", {"description": name, "prompt": f"do {name}", "subagent_type": "Explore"} | given)
        if agent_id is not None:
            self.end(name, result={"isAsync": True, "status": "async_launched", "agentId": agent_id})

    @property
    def activity(self) -> Any:
        return [e.data["activity"] for e in self.events if e.type == ev.CLAUDE_STATUS and "activity" in e.data][-1]


def new_session(session_id: str, reason: Any, at: float) -> Event:
    return ev.session_start(session_id, {"port": 1}, "exec", at, reason=reason, source="hook")


def of(events: Sequence[Event], kind: str) -> list[Any]:
    return [event.data for event in events if event.type == kind]


def statuses(told: Told) -> list[tuple[str, str]]:
    return [(data["task"], data["status"]) for data in of(told.events, ev.AGENT_DELEGATION)]


def test_a_background_agent_ends_when_it_ends_not_when_it_is_launched() -> None:
    told = Told()
    told.delegate("a", "agent1")
    assert statuses(told) == [("a", "started")]
    told.see(seen.AgentEnded, who=Who("s1", "agent1"))
    (end,) = of(told.events, ev.AGENT_DELEGATION)[1:]
    assert (end["status"], end["background"], end["agent_id"], end["tool_use_id"]) == ("completed", True, "agent1", "a")


def test_the_numbers_of_an_end_are_waited_for_and_its_time_is_its_own() -> None:
    told = Told(settle=False)
    told.delegate("a", "agent1")
    assert told.see(seen.AgentEnded, who=Who("s1", "agent1")) == []
    ended = told.now
    (end, _) = told.see(seen.AgentEnded, "a", True, None, 1531, 1370, 2, who=Who("s1", "agent1"), by="transcript")
    assert end.time == ended and (end.data["duration_ms"], end.data["tokens"], end.data["tool_uses"]) == (1531, 1370, 2)
    assert [event for name in told.tracker.take_unsettled() for event in told.tracker.settle(name)] == []


def test_an_end_seen_before_the_launch_is_not_lost() -> None:
    told = Told()
    told.start("a", "Agent", {"description": "a", "prompt": "p"})
    told.see(seen.AgentEnded, who=Who("s1", "agent1"))
    told.end("a", result={"isAsync": True, "agentId": "agent1"})
    assert statuses(told) == [("a", "started"), ("a", "completed")]


def test_that_an_agent_works_in_the_background_is_told_as_soon_as_it_is_known() -> None:
    """2.1: its own transcript or its meta file may be seen before the launch is answered, which says so."""
    told = Told()
    told.delegate("a")
    told.see(seen.AgentSeen, "a", who=Who("s1", "agent1"), by="transcript")
    told.end("a", result={"isAsync": True, "status": "async_launched", "agentId": "agent1"})
    told.see(seen.AgentSeen, "a", None, True, who=Who("s1", "agent1"), by="transcript")
    agents = [data["active_agents"][0] for data in of(told.events, ev.AGENT_STATUS)]
    assert [(agent["agent_id"], agent.get("background")) for agent in agents] == [
        ("a", None),
        ("agent1", None),
        ("agent1", True),
    ]


def test_a_foreground_agent_ends_with_its_result() -> None:
    told = Told()
    told.start("a", "Task", {"description": "a", "prompt": "p"})
    told.see(seen.AgentEnded, who=Who("s1", "agent1"))
    assert statuses(told) == [("a", "started")]
    told.end("a", result={"status": "completed", "agentId": "agent1", "totalTokens": 7})
    (end,) = of(told.events, ev.AGENT_DELEGATION)[1:]
    assert (end["status"], end["tokens"], end["agent"]) == ("completed", 7, "general-purpose")


def test_a_failed_agent_says_why() -> None:
    told = Told()
    told.delegate("a", "agent1")
    told.see(seen.AgentEnded, "a", False, "killed", who=Who("s1", "agent1"))
    assert of(told.events, ev.AGENT_DELEGATION)[1]["reason"] == "killed"
    assert of(told.events, ev.AGENT_STATUS)[-1]["agent_stats"]["Explore"]["failed"] == 1


def test_nested_agents_name_their_parent() -> None:
    told = Told()
    told.delegate("a", "agent1")
    told.start("b", "Agent", {"description": "b", "prompt": "p"}, who=Who("s1", "agent1"))
    assert of(told.events, ev.AGENT_DELEGATION)[1]["parent_agent_id"] == "agent1"


def test_interrupt_ends_what_is_in_the_foreground_only() -> None:
    told = Told()
    told.delegate("a", "agent1")
    told.start("work", "Bash", who=Who("s1", "agent1"))
    told.delegate("b")
    told.start("c", "Bash")
    told.see(seen.Interrupted, by="transcript")
    assert statuses(told)[2:] == [("b", "failed")]
    assert of(told.events, ev.AGENT_DELEGATION)[2]["reason"] == "interrupted"
    assert {data["tool_use_id"] for data in of(told.events, ev.TOOL_END)} == {"a", "b", "c"}
    assert told.activity == "working"  # the background agent is
    told.end("c", ok=False)
    assert len(of(told.events, ev.TOOL_END)) == 3


def test_an_interrupt_told_late_does_not_end_what_began_since() -> None:
    told = Told()
    told.start("a", "Bash")
    interrupted_at = told.now + 0.1
    told.delegate("b")
    told.tracker.observe(seen.Interrupted(Who("s1"), interrupted_at), "transcript", told.now)
    assert statuses(told) == [("b", "started")]


def test_the_process_end_closes_everything_and_is_the_last_word() -> None:
    told = Told()
    told.delegate("a", "agent1")
    told.delegate("b")
    told.see(seen.ProcessEnded, None, "SIGKILL", by="process")
    assert statuses(told)[2:] == [("a", "failed"), ("b", "failed")]
    assert {data["reason"] for data in of(told.events, ev.AGENT_DELEGATION)[2:]} == {"process_ended"}
    assert told.start("c", "Bash") == []


def test_clear_ends_one_session_and_starts_another() -> None:
    told = Told()
    told.see(seen.ProcessStarted, 5, by="process")
    told.delegate("a", "agent1")
    told.see(seen.SessionEnded, "clear")
    events = told.see(seen.SessionStarted, "clear", who=Who("s2"))
    assert [event.type for event in events][-4:] == [
        ev.AGENT_STATUS,
        ev.SESSION_END,
        ev.SESSION_START,
        ev.CLAUDE_STATUS,
    ]
    (end,), (start,) = of(events, ev.SESSION_END), of(events, ev.SESSION_START)
    assert (end["session_id"], end["reason"], start["session_id"], start["reason"]) == ("s1", "clear", "s2", "clear")
    assert of(events, ev.AGENT_DELEGATION)[0]["reason"] == "session_cleared"
    assert told.tracker.session_id == "s2"


def test_last_words_of_the_session_before_keep_its_id() -> None:
    told = Told()
    told.see(seen.SessionStarted, "clear", who=Who("s2"))
    (late,) = told.see(seen.Said, "bye", "m1", None, by="transcript")
    assert late.session_id == "s1" and told.see(seen.Prompt, "new", who=Who("s2"))[0].session_id == "s2"
    assert told.see(seen.SessionStarted, None, by="session_file") == []
    assert told.see(seen.Said, "not ours", "m2", None, who=Who("s9"), by="transcript") == []


def test_the_session_file_leaves_the_reason_to_the_hooks() -> None:
    told = Told()
    told.see(seen.Prompt, "hello")
    assert told.see(seen.SessionStarted, None, who=Who("s2"), by="session_file") == []
    without_hooks = Told()
    assert of(without_hooks.see(seen.SessionStarted, "clear", who=Who("s2"), by="session_file"), ev.SESSION_START)


def test_a_clear_seen_first_by_the_session_file_is_told_by_the_hook_as_a_clear() -> None:
    """The file of 2.1 is written before the hooks have run; that it has no transcript yet is all it gives away."""
    told = Told()
    told.see(seen.ProcessStarted, 5, by="process")
    told.see(seen.SessionStarted, "startup")
    told.see(seen.Prompt, "hello")
    assert told.see(seen.SessionStarted, "resume", who=Who("s2"), by="session_file") == []
    assert told.see(seen.Busy, "idle", who=Who("s2"), by="session_file") == []
    told.see(seen.SessionEnded, "clear")
    told.see(seen.SessionStarted, "clear", who=Who("s2"))
    told.see(seen.SessionStarted, "resume", who=Who("s2"), by="session_file")
    (start,), (end,) = of(told.events, ev.SESSION_START), of(told.events, ev.SESSION_END)
    assert (start["session_id"], start["reason"], end["session_id"], end["reason"]) == ("s2", "clear", "s1", "clear")
    assert told.tracker.session_id == "s2" and told.activity == "idle"


def test_a_hook_of_an_unknown_session_is_a_new_session() -> None:
    told = Told()
    events = told.see(seen.Prompt, "hello", who=Who("s2"))
    assert [data["session_id"] for data in of(events, ev.SESSION_START)] == ["s2"]
    assert of(events, ev.CLAUDE_MESSAGE)[0]["text"] == "hello"


def test_an_id_nothing_was_said_under_gives_way_to_the_right_one() -> None:
    """A resumed 1.x tells its hook an id it gives up; 2.0 has its hidden agents work under such an id."""
    told = Told(Tracker(None, new_session))
    told.see(seen.AgentEnded, who=Who("unused", "warmup"))
    told.see(seen.SessionStarted, "resume", who=Who("unused"))
    told.see(seen.SessionStarted, "resume", who=Who("s1"))
    told.see(seen.Prompt, "go", who=Who("s1"))
    told.see(seen.AgentEnded, who=Who("unused", "warmup"))
    (message,) = (event for event in told.events if event.type == ev.CLAUDE_MESSAGE)
    assert message.session_id == told.tracker.session_id == "s1" and told.activity == "working"
    assert of(told.events, ev.SESSION_END) == of(told.events, ev.SESSION_START) == []


# --- what Claude is doing ---


def test_waiting_names_the_tool_and_its_input() -> None:
    told = Told()
    told.see(seen.Prompt, "go")
    told.start("a", "Bash", {"command": "rm x"})
    (event,) = told.see(seen.Busy, "waiting", by="session_file")
    assert event.data["waiting_for"] == {"kind": "permission", "tool": "Bash", "input": {"command": "rm x"}}
    assert told.see(seen.Notified, "permission", "Claude needs your permission to use Bash") == []
    told.see(seen.Busy, "busy", by="session_file")
    assert told.activity == "working"


def test_waiting_seen_before_the_call_gets_it_afterwards() -> None:
    told = Told()
    told.see(seen.Prompt, "go")
    told.see(seen.Busy, "waiting", by="session_file")
    told.start("a", "Bash", {"command": "rm x"})
    assert of(told.events, ev.CLAUDE_STATUS)[-1]["waiting_for"]["tool"] == "Bash"


def test_a_notification_finds_the_call_it_is_about() -> None:
    told = Told()
    told.start("a", "Write", {"file_path": "x"})
    told.start("b", "Bash", {"command": "ls"})
    (event,) = told.see(seen.Notified, "permission", "Claude needs your permission to use Write")
    assert event.data["waiting_for"]["tool"] == "Write"
    told.start("c", "Bash", who=Who("s1", "agent1"))  # somebody else works on
    assert told.activity == "waiting"
    told.end("b")
    assert told.activity == "waiting"
    told.end("a")
    assert told.activity == "working"


def test_a_question_is_waiting_at_once() -> None:
    told = Told()
    told.start("a", "AskUserQuestion", {"questions": []})
    assert of(told.events, ev.CLAUDE_STATUS)[-1]["waiting_for"]["kind"] == "question"


def test_waiting_for_input_is_idle() -> None:
    told = Told()
    told.see(seen.TurnEnded, 0)
    told.see(seen.Notified, "input", "Claude is waiting for your input")
    status = of(told.events, ev.CLAUDE_STATUS)[-1]
    assert status["activity"] == "idle" and status["waiting_for"]["kind"] == "input"


def test_the_end_of_a_turn_is_not_idle_while_agents_work() -> None:
    told = Told()
    told.delegate("a", "agent1")
    told.see(seen.TurnEnded, 1)
    assert told.activity == "working"
    told.see(seen.TurnEnded, None)
    assert told.activity == "working"
    told.see(seen.AgentEnded, "a", True, None, 1, 1, 1, who=Who("s1", "agent1"))
    told.see(seen.TurnEnded, 0)
    assert told.activity == "idle"


def test_records_that_come_late_do_not_wake_claude() -> None:
    told = Told()
    told.see(seen.Prompt, "go")
    told.see(seen.TurnEnded, None)
    told.tracker.observe(seen.Said(Who("s1"), told.now - 0.1, "done", "m1", None), "transcript", told.now + 0.2)
    assert told.tracker._activity.state == "idle"


def test_esc_is_idle_by_the_session_file_alone() -> None:
    told = Told()
    told.start("a", "Bash")
    told.see(seen.Busy, "idle", by="session_file")
    told.end("a", ok=False, by="transcript")
    assert told.activity == "idle"


def test_an_api_error_is_told_and_ends_the_turn() -> None:
    told = Told()
    told.see(seen.Prompt, "go")
    events = told.see(seen.ApiFailed, "API Error: 529", "m1", True, by="stream_json")
    assert [event.type for event in events] == [ev.CLAUDE_MESSAGE, ev.SYSTEM_ERROR, ev.CLAUDE_STATUS]
    assert events[0].data["role"] == "system" and told.activity == "idle"
    assert told.see(seen.ApiFailed, "API Error: 529", "m1", True, by="transcript") == []


def test_the_same_prompt_twice_is_two_prompts_however_many_see_it() -> None:
    told = Told()
    for by in ("hook", "transcript", "hook", "transcript"):
        told.see(seen.Prompt, "yes", by=by)
    assert len(of(told.events, ev.CLAUDE_MESSAGE)) == 2


# --- todos ---


def todos(*statuses: str) -> list[dict[str, str]]:
    return [{"content": f"t{n}", "status": status, "activeForm": f"doing t{n}"} for n, status in enumerate(statuses, 1)]


def write(told: Told, name: str, *statuses: str) -> None:
    told.start(name, "TodoWrite", {"todos": todos(*statuses)})


def filed(told: Told, *statuses: str) -> None:
    items = tuple(
        {"id": str(n), "content": f"t{n}", "status": s, "active_form": f"doing t{n}"} for n, s in enumerate(statuses, 1)
    )
    told.see(seen.TodoFile, items, by="todo_file")


def test_files_serve_until_a_tool_call_is_seen() -> None:
    told = Told()
    filed(told, "pending")
    write(told, "a", "pending")
    write(told, "b", "in_progress")
    filed(told, "pending")
    assert todo_states(told.events) == [["pending"], ["in_progress"]]


def test_calls_told_after_the_files_are_not_told_again() -> None:
    told = Told()
    filed(told, "pending")
    filed(told, "in_progress")
    write(told, "a", "pending")
    write(told, "b", "in_progress")
    write(told, "c", "completed")
    assert todo_states(told.events) == [["pending"], ["in_progress"], ["completed"]]


def test_a_list_that_is_done_stays_when_claude_tidies_up() -> None:
    told = Told()
    filed(told, "completed")
    filed(told)
    assert todo_states(told.events) == [["completed"]]


def test_the_id_of_a_task_is_only_in_the_result() -> None:
    told = Told()
    told.start("a", "TaskCreate", {"subject": "t", "description": "d", "activeForm": "doing"})
    assert not of(told.events, ev.TODO_UPDATE)
    told.end("a", result={"task": {"id": "7", "subject": "t"}})
    told.start("b", "TaskUpdate", {"taskId": "7", "status": "in_progress", "owner": "me"})
    told.end("b", result={"success": True, "taskId": "7"})
    (last,) = of(told.events, ev.TODO_UPDATE)[-1]["todos"]
    assert (last["id"], last["content"], last["status"], last["owner"]) == ("7", "t", "in_progress", "me")
    told.start("c", "TaskUpdate", {"taskId": "7", "status": "deleted"})
    told.end("c", result={"success": True, "taskId": "7"})
    assert of(told.events, ev.TODO_UPDATE)[-1]["todos"] == []


def test_a_resumed_session_begins_with_its_todos_and_without_its_past() -> None:
    told = Told()
    told.now = 100.0
    past = [
        seen.Prompt(Who("s1"), 10.0, "long ago"),
        seen.ToolStarted(Who("s1"), 11.0, "a", "TodoWrite", {"todos": todos("in_progress")}),
        seen.ToolStarted(Who("s1"), 12.0, "b", "Task", {"description": "never ended", "prompt": "p"}),
    ]
    told.see(seen.ProcessStarted, 5, by="process")
    for one in past:
        told.events += told.tracker.observe(one, "transcript", 101.0)
    assert told.events == []
    told.see(seen.Prompt, "now")
    assert [event.type for event in told.events] == [ev.TODO_UPDATE, ev.CLAUDE_MESSAGE, ev.CLAUDE_STATUS]


def test_what_was_said_a_moment_before_the_start_is_of_the_past_too() -> None:
    told = Told()
    told.see(seen.ProcessStarted, 5, by="process")
    assert told.tracker.observe(seen.Prompt(Who("s1"), told.now - 0.1, "before"), "transcript", told.now) == []


def test_what_claude_does_since_before_we_were_attached_is_told_from_then_on() -> None:
    told = Told(Tracker(None, new_session))
    told.see(seen.ProcessStarted, 5, by="process")
    (status,) = told.tracker.observe(seen.Busy(Who("s1"), 10.0, "idle"), "session_file", told.now + 1)
    assert (status.data["activity"], status.session_id, status.time) == ("idle", "s1", told.now)
    told.see(seen.Prompt, "go")
    assert told.tracker.observe(seen.Busy(Who("s1"), 10.0, "idle"), "session_file", told.now) == []


# --- hooks of 1.x, which name no call ---


def test_identical_calls_without_ids_are_paired_in_order() -> None:
    told = Told()
    for _ in range(2):
        told.see(seen.ToolStarted, None, "Bash", {"command": "ls"})
        told.see(seen.ToolEnded, None, "Bash", {"command": "ls"}, True, "", {})
    for name in ("a", "b"):
        told.see(seen.ToolStarted, name, "Bash", {"command": "ls"}, by="transcript")
        told.end(name, by="transcript")
    assert len(of(told.events, ev.TOOL_START)) == len(of(told.events, ev.TOOL_END)) == 2


def test_hooks_have_inputs_with_defaults_filled_in() -> None:
    told = Told()
    told.see(seen.ToolStarted, "a", "Edit", {"file_path": "x"}, by="transcript")
    told.see(seen.ToolStarted, None, "Edit", {"file_path": "x", "replace_all": False})
    told.see(seen.ToolStarted, None, "Edit", {"file_path": "y", "replace_all": False})
    assert len(of(told.events, ev.TOOL_START)) == 2


def test_what_is_done_while_one_agent_is_waited_for_is_its_work() -> None:
    told = Told()
    told.see(seen.ToolStarted, "a", "Task", {"description": "a", "prompt": "p"}, by="transcript")
    told.see(seen.ToolStarted, None, "Bash", {"command": "ls"}, who=Who("s1", unsure=True))
    told.see(seen.ToolStarted, None, "Task", {"description": "b", "prompt": "q"}, who=Who("s1", unsure=True))
    told.see(seen.ToolStarted, None, "Bash", {"command": "pwd"}, who=Who("s1", unsure=True))
    assert [data.get("agent_id") for data in of(told.events, ev.TOOL_START)] == [None, "a", None, None]


# --- anything at all ---


@given(
    st.lists(st.tuples(st.sampled_from(["hook", "transcript", "stream_json", "session_file"]), records), max_size=12)
)
@settings(deadline=None)
def test_nothing_that_is_observed_is_an_exception(told: list[tuple[Any, dict[str, Any]]]) -> None:
    tracker = Tracker(None, new_session)
    for source, record in told:
        line = as_line(record)
        found = {
            "hook": lambda line=line: hooks.parse(line, 1.0),
            "transcript": lambda line=line: transcript.parse(line),
            "stream_json": lambda line=line: stream_json.parse(line),
            "session_file": lambda line=line: session_file.parse(line),
        }[source]()
        for one in found:
            for event in tracker.observe(one, source, 1.0):
                json_text.dumps(event.data)
    for name in tracker.take_unsettled():
        tracker.settle(name)
    tracker.observe(seen.ProcessEnded(Who(), None, 1, None), "process", 2.0)
