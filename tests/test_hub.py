"""The hub: many instances in one log, each event once and in order; commands passed on; nothing lost unsaid."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hub import HUB, FakeSource, instance, serving_hub
from serving import TOKEN, Client, Frame, ask, get, upgrade
from support import wait_until

from claude_mpm.config import Config
from claude_mpm.errors import ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.standing import standing
from claude_mpm.fleet.hub.requests import Requests
from claude_mpm.fleet.hub.roster import Roster
from claude_mpm.fleet.hub.summary import summary

ONE, TWO, THREE = instance(1), instance(2), instance(3, "beta")


def origin(frame: Frame) -> tuple[str, int]:
    return frame["instance_id"], frame["origin_seq"]


def until(client: Client, kind: str) -> Frame:
    while (frame := client.next())["type"] != kind:
        pass
    return frame


def with_token(**params: str) -> dict[str, Any]:
    return {"request": upgrade(f"/?token={TOKEN}", **params)}


def test_a_hub_says_what_it_is_and_what_it_has() -> None:
    source = FakeSource()
    with serving_hub(source) as served:
        source.lists(ONE, TWO, THREE)
        source.says(ONE, activity="waiting", waiting_for={"kind": "permission", "tool": "Bash"})
        source.says(TWO)
        source.says(THREE, ended={"exit_code": 0, "signal": None, "reason": "exit", "end_time": "x"})
        with served.client() as client:
            status = client.next()
            assert status["instance_id"] == HUB and status["data"]["instance_info"]["kind"] == "hub"
            fleet = status["data"]["fleet"]
            listed = client.ask("get_instances")["data"]["instances"]
        counts = {key: fleet[key] for key in ("instances", "needs_you", "working", "idle", "ended", "machines")}
        assert counts == {"instances": 3, "needs_you": 1, "working": 1, "idle": 0, "ended": 1, "machines": 2}
        assert fleet["sources"] == [{"name": "fake", "reachable": True, "instances": 3}]
        assert [(info["machine"], info["source"], info["reachable"]) for info in listed] == [
            ("alpha", "fake", True),
            ("alpha", "fake", True),
            ("beta", "fake", True),
        ]
        assert listed[0]["status"]["waiting_for"]["tool"] == "Bash"


def test_events_get_the_hubs_numbers_and_keep_their_own() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE, THREE)
        client.greeted().subscribe("system.error")
        source.event(ONE, 7)
        source.event(THREE, 7)
        source.event(ONE, 9)
        frames = [client.next() for _ in range(3)]
        assert [origin(frame)[1] for frame in frames] == [7, 7, 9]
        assert [frame["machine"] for frame in frames] == ["alpha", "beta", "alpha"]
        assert [frame["seq"] for frame in frames] == sorted(frame["seq"] for frame in frames)


def test_an_event_that_comes_again_or_too_late_is_passed_over() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted().subscribe("system.error")
        for seq in (1, 2, 2, 1, 3):
            source.event(ONE, seq)
        assert [client.next()["origin_seq"] for _ in range(3)] == [1, 2, 3]


def test_a_client_may_choose_instances_and_machines() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE, TWO, THREE)
        client.greeted().subscribe("system.error", machines=["beta"])
        client.subscribe("system.error", instance_id=TWO["instance_id"])
        for seq, info in enumerate((ONE, TWO, THREE), start=1):
            source.event(info, seq)
        assert [client.next()["origin_seq"] for _ in range(2)] == [2, 3]
        client.ask("unsubscribe", channels=["system.error"], instances=[TWO["instance_id"]])
        source.event(TWO, 4)
        source.event(THREE, 5)
        assert client.next()["origin_seq"] == 5


def test_a_reconnected_client_resumes_with_one_number() -> None:
    source = FakeSource()
    with serving_hub(source) as served:
        source.lists(ONE, THREE)
        with served.client() as client:
            client.greeted().subscribe("system.error")
            source.event(ONE, 1)
            last = client.next()["seq"]
        source.event(THREE, 1)
        source.event(ONE, 2)
        with served.client() as client:
            client.greeted().subscribe("system.error", since=last)
            assert [origin(client.next()) for _ in range(2)] == [(THREE["instance_id"], 1), (ONE["instance_id"], 2)]


def test_what_a_source_lost_is_told_once_in_the_instances_numbers() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted().subscribe("system.gap", "system.error")
        source.gap(ONE, 1, 40)
        source.gap(ONE, 30, 40)  # known already
        source.event(ONE, 41)
        gap, event = client.next(), client.next()
        assert (gap["type"], gap["instance_id"], gap["data"]["from_seq"], gap["data"]["to_seq"]) == (
            "system.gap",
            ONE["instance_id"],
            1,
            40,
        )
        assert event["origin_seq"] == 41


def test_the_source_that_answers_is_followed_and_a_change_is_told_where_numbers_are_missing() -> None:
    near, far = FakeSource("near"), FakeSource("far")
    with serving_hub(near, far) as served, served.client() as client:
        near.lists(ONE)
        far.lists(ONE)
        client.greeted().subscribe("system.gap", "system.error")
        near.event(ONE, 1)
        far.event(ONE, 1)
        far.event(ONE, 2)  # not followed
        assert client.next()["origin_seq"] == 1
        near.trouble("it is not there")
        assert client.next()["data"]["error"] == "it is not there"
        far.event(ONE, 5)
        gap, event = client.next(), client.next()
        assert (gap["data"]["from_seq"], gap["data"]["to_seq"], gap["data"]["reason"]) == (2, 4, "source_changed")
        assert event["origin_seq"] == 5
        near.lists(ONE)
        near.event(ONE, 6)
        assert client.next()["origin_seq"] == 6  # nothing is missing, so nothing is told


def test_instances_of_a_source_in_trouble_stay_listed_and_those_that_have_gone_do_not() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE, TWO)
        source.trouble("connection refused")
        client.greeted()
        listed = client.ask("get_instances")["data"]["instances"]
        assert [info["reachable"] for info in listed] == [False, False]
        fleet = client.ask("get_status")["data"]["fleet"]
        assert (fleet["unreachable"], fleet["sources"][0]["error"]) == (2, "connection refused")
        source.lists(TWO)
        listed = client.ask("get_instances")["data"]["instances"]
        assert [(info["instance_id"], info["reachable"]) for info in listed] == [(TWO["instance_id"], True)]


def test_a_command_is_answered_by_its_instance_and_holds_up_no_other() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted()
        client.send({"command": "get_history", "instance_id": ONE["instance_id"], "limit": 3, "request_id": "mine"})
        message, trusted = source.asked()
        assert (message["command"], message["limit"], trusted) == ("get_history", 3, False)
        assert client.ask("ping", request_id=2)["request_id"] == 2  # the other one is still open
        source.answers(message, "history", events=[], oldest_seq=1, more=False)
        reply = client.next()
        assert (reply["type"], reply["request_id"]) == ("history", "mine")


def test_a_command_without_a_request_id_gets_a_reply_without_one() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted().send({"command": "ping", "instance_id": ONE["instance_id"]})
        source.answers(source.asked()[0])
        assert "request_id" not in client.next()


def test_whoever_nobody_has_and_whoever_cannot_be_reached_is_an_error() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted()
        assert client.ask("ping", instance_id="another")["data"]["code"] == "wrong_instance"
        source.gone = True
        assert client.ask("ping", instance_id=ONE["instance_id"])["data"]["code"] == "unavailable"
        source.trouble("refused")
        assert client.ask("ping", instance_id=ONE["instance_id"])["data"]["code"] == "unavailable"


def test_a_command_to_an_instance_that_goes_away_is_unavailable() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted().send({"command": "ping", "instance_id": ONE["instance_id"], "request_id": 5})
        source.asked()
        source.lists()
        reply = client.next()
        assert (reply["type"], reply["data"]["code"], reply["request_id"]) == ("error", "unavailable", 5)


def test_many_open_commands_are_pushed_back_and_all_answered() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted()
        for number in range(100):
            client.send({"command": "ping", "instance_id": ONE["instance_id"], "request_id": number})
        got = []
        for _ in range(100):
            source.answers(source.asked()[0])
            got.append(client.next()["request_id"])
        assert got == list(range(100))


@pytest.mark.parametrize("command", ["interrupt", "answer", "send_input", "something_new"])
def test_acting_needs_control_at_the_hub_and_its_token(command: str) -> None:
    source = FakeSource()
    where = {"instance_id": ONE["instance_id"], "text": "x"}
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        assert client.greeted().ask(command, **where)["data"]["code"] == "forbidden"
    with serving_hub(source, config=Config(token=TOKEN)) as served, served.client(**with_token()) as client:
        source.lists(ONE)
        assert client.greeted().ask(command, **where)["data"]["code"] == "forbidden"
    config = Config(token=TOKEN, control=True)
    with serving_hub(source, config=config) as served, served.client(**with_token()) as client:
        source.lists(ONE)
        client.greeted().send({"command": command, **where})
        message, trusted = source.asked()
        assert message["command"] == command and trusted
    assert source.sent.empty()


def test_output_is_asked_for_only_while_somebody_looks() -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE, TWO)
        client.greeted().subscribe("claude.output", instances=[TWO["instance_id"]])
        wait_until(lambda: source.wanted == {TWO["instance_id"]: frozenset({ev.CLAUDE_OUTPUT})}, "it is wanted")
        source.lists(ONE)
        wait_until(lambda: source.wanted == {}, "its instance has gone")
        source.lists(ONE, TWO)
        wait_until(lambda: source.wanted != {}, "it is back")
        client.ask("unsubscribe", channels=["claude.output"])
        wait_until(lambda: source.wanted == {}, "nobody looks")


def test_questions_wait_only_while_somebody_who_may_answer_is_there() -> None:
    source = FakeSource()
    with serving_hub(source, config=Config(token=TOKEN, control=True)) as served:
        source.lists(ONE)
        with served.client(request=upgrade(f"/?token={TOKEN}&attending=0")) as client:
            client.greeted().subscribe("todo.*")
            assert not source.attended
            client.ask("attend", present=True)
            wait_until(lambda: source.attended, "the source is told")
        wait_until(lambda: not source.attended, "nobody is there")


def test_the_newest_picture_of_each_terminal_is_kept() -> None:
    source = FakeSource()
    picture = {"cols": 1, "rows": 1, "cursor": {"row": 0, "col": 0, "visible": True}, "lines": [], "title": None}
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE, TWO)
        client.greeted()
        for number in (1, 2):
            for info in (ONE, TWO):
                data = picture | {"frame": number, "base": 0, "full": True}
                source.event(info, number, ev.CLAUDE_SCREEN, data)
        client.subscribe("claude.screen", since=0)
        assert [(f["instance_id"], f["data"]["frame"]) for f in (client.next(), client.next())] == [
            (ONE["instance_id"], 2),
            (TWO["instance_id"], 2),
        ]


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"type": 1, "data": {}},
        {"type": "system.error", "data": []},
        {"type": "instances", "data": {"instances": {}}},
        {"type": "instances", "data": {"instances": [1, {"instance_id": 7}, ONE]}},
        {"type": "pong", "data": {}, "request_id": []},
        {"type": "pong", "data": {}, "request_id": "h1"},
        {"type": "system.gap", "data": {"from_seq": "1", "to_seq": 2}, "instance_id": ONE["instance_id"]},
        {"type": "system.gap", "data": {"from_seq": 9, "to_seq": 2}, "instance_id": ONE["instance_id"]},
        {"type": "system.status", "data": {"questions": [1]}, "instance_id": ONE["instance_id"]},
        {"type": "system.error", "data": {}, "instance_id": ONE["instance_id"], "seq": True},
        {"type": "system.error", "data": {}, "instance_id": ONE["instance_id"], "seq": 0},
        {"type": "system.error", "data": {}, "instance_id": ONE["instance_id"], "seq": 2**60},
        {"type": "from.the.future", "data": {}, "instance_id": ONE["instance_id"], "seq": 1},
        {"type": "claude.status", "data": {}, "instance_id": {"a": 1}, "seq": 1},
    ],
)
def test_a_frame_that_is_none_changes_nothing(frame: Frame) -> None:
    source = FakeSource()
    with serving_hub(source) as served, served.client() as client:
        source.lists(ONE)
        client.greeted().subscribe("*")
        source.deliver(frame)
        source.event(ONE, 1)
        assert until(client, "system.error")["data"]["error"] == "event 1"
        assert client.ask("get_status")["type"] == "system.status"


@pytest.mark.parametrize("data", [{}, {"status": []}, {"active_agents": 1}, {"todos": 7, "stats": {}}])
def test_an_event_that_does_not_fit_is_relayed_and_spoils_no_summary(data: Frame) -> None:
    source = FakeSource()
    with serving_hub(source) as served:
        source.lists(ONE)
        for number, kind in enumerate(ev.EVENT_TYPES, start=1):
            source.event(ONE, number, kind, dict(data))
        listed = json.loads(ask(served.port, get("/instances")).body)["data"]["instances"]
        assert listed[0]["instance_id"] == ONE["instance_id"]
        assert ask(served.port, get("/status")).status == 200


def test_a_list_of_thousands_stays_small() -> None:
    long = {"kind": "permission", "tool": "Write", "input": {"content": "x" * 50_000}, "message": "y" * 50_000}
    agent = {"agent_id": "a", "agent": "b", "task": "z" * 5_000}
    status = {"waiting_for": long, "agents": {"active_agents": [agent] * 50}, "last_message": {"text": "t" * 9_000}}
    short, size = summary(status | {"todos": {"todos": [{"status": "in_progress", "content": "c" * 9_000}] * 40}})
    assert size < 16_000
    assert len(short["agents"]["active_agents"]) == 5


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"claude_status": "running", "activity": "waiting"}, "needs_you"),
        ({"claude_status": "running", "activity": "working"}, "working"),
        ({"claude_status": "running", "activity": None}, "idle"),
        ({"claude_status": "starting"}, "idle"),
        ({"claude_status": "running", "activity": "idle"}, "idle"),
        ({"claude_status": "running", "activity": "waiting", "ended": {"exit_code": 0}}, "ended"),
        ({"claude_status": "error"}, "ended"),
    ],
)
def test_how_a_session_stands(status: Frame, expected: str) -> None:
    assert standing(status) == expected


def test_an_instance_that_does_not_answer_in_time_is_unavailable() -> None:
    source = FakeSource()
    roster = Roster([source])
    roster.update(source, [ONE])
    requests = Requests(roster, control=False, answer_time=0.05)
    requests.start()
    replies: list[Frame] = []
    message = {"command": "ping", "instance_id": ONE["instance_id"], "request_id": 3}
    requests.route(message, trusted=False, may_read_past=False, reply=lambda text: replies.append(json.loads(text)))
    wait_until(lambda: replies, "the time is up")
    assert (replies[0]["request_id"], replies[0]["data"]["code"]) == (3, "unavailable")
    source.answers(source.asked()[0])  # too late: nobody hears it
    requests.stop()
    requests.join(5)
    with pytest.raises(ProtocolError, match="stopping"):
        requests.route(message, trusted=False, may_read_past=False, reply=lambda text: None)
    assert len(replies) == 1
