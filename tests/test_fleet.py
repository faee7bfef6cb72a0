"""The whole of it: sessions here, over a real sshd and through a real Redis, at one hub."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hub import HUB, ServedHub, instance, serving_hub
from redis_server import needs_redis, redis_server
from serving import TOKEN, Frame, Served, serving
from support import TIMEOUT, free_port, wait_until
from test_answer import Monitored
from test_answer_desk import ALLOWED, IN_AGENT
from test_fleet_ssh import machine, needs_sshd, ssh_source

from claude_mpm.cli import answer
from claude_mpm.client import Client
from claude_mpm.config import Config
from claude_mpm.errors import ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.fleet.local import LocalSource
from claude_mpm.fleet.redis.publish.publisher import Publisher
from claude_mpm.fleet.redis.read.source import RedisSource
from claude_mpm.fleet.redis.url import parse_url
from claude_mpm.fleet.source import Source
from claude_mpm.system.instances import register, unregister

ANOTHER = "00000000-0000-4000-8000-000000000001"
Place = tuple[Monitored, Source]  # a session, and how a hub reaches it


@contextmanager
def here(home: Path, tmp_path: Path) -> Iterator[Place]:
    monitored = Monitored(home)
    with registered(monitored, home / ".claude-mpm"):
        yield monitored, LocalSource(home / ".claude-mpm")


@contextmanager
def over_ssh(home: Path, tmp_path: Path) -> Iterator[Place]:
    with machine(tmp_path) as far:
        monitored = Monitored(home)
        with registered(monitored, tmp_path / "home" / ".claude-mpm"):
            yield monitored, ssh_source(far)


@contextmanager
def through_redis(home: Path, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        url = f"redis://127.0.0.1:{server.port}"
        monitored = Monitored(home, publish=url)
        try:
            yield monitored, RedisSource(parse_url(url, {}), TOKEN, HUB)
        finally:
            monitored.finish()


@contextmanager
def registered(monitored: Monitored, state_dir: Path) -> Iterator[None]:
    register(state_dir, monitored.session.info, TOKEN)
    try:
        yield
    finally:
        unregister(state_dir, monitored.session.info["instance_id"])
        monitored.finish()


@contextmanager
def hub_of(source: Source, control: bool = False) -> Iterator[ServedHub]:
    served = ServedHub(Config(token=TOKEN, control=control), source)
    try:
        yield served
    finally:
        served.hub.stop()


PLACES = [
    pytest.param(here, id="here"),
    pytest.param(over_ssh, id="ssh", marks=needs_sshd),
    pytest.param(through_redis, id="redis", marks=needs_redis),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_question_is_answered_through_the_hub(
    place: Callable[[Path, Path], AbstractContextManager[Place]], home: Path, tmp_path: Path
) -> None:
    with place(home, tmp_path) as (monitored, source), hub_of(source, control=True) as served:
        name = monitored.session.info["instance_id"]
        with Client(served.port, token=TOKEN) as client:
            client.subscribe(["claude.question"])
            wait_until(lambda: client.get_instances(), "the hub knows the session")
            wait_until(monitored.session._is_attended, "the session knows that somebody is there")
            hook = monitored.ask(IN_AGENT)  # a subagent's question waits only for somebody who is there
            asked = client.next_event(20)
            assert asked is not None and (asked["data"]["state"], asked["instance_id"]) == ("asked", name)
            assert asked["machine"] and asked["origin_seq"] < monitored.session.log.seq + 1
            reply = {"request": asked["data"]["request_id"], "decision": "allow"}
            assert client.request("answer", instance_id=name, **reply)["data"] == {"command": "answer"}
            assert json.loads(hook.end()) == ALLOWED
            delivered = client.next_event(20)
            assert delivered is not None and delivered["data"]["state"] == "delivered"
            with pytest.raises(ProtocolError) as refused:
                client.request("answer", instance_id=name, **reply)
            assert refused.value.code == "already_answered"
            status = client.request("get_status", instance_id=name)
            assert status["data"]["instance_info"]["instance_id"] == name
            history = client.request("get_history", instance_id=name, limit=5)["data"]
            assert history["events"][-1]["seq"] <= monitored.session.log.seq
        wait_until(lambda: not monitored.session._is_attended(), "nobody is there any more")


def test_the_answer_command_works_at_a_hub(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with here(home, tmp_path) as (monitored, source), hub_of(source, control=True) as served:
        where = [str(served.port), "--token", TOKEN]
        with Client(served.port, token=TOKEN) as client:
            wait_until(lambda: client.get_instances(), "the hub knows the session")
            hook = monitored.ask()
            wait_until(lambda: client.get_instances()[0]["status"]["questions"], "the hub knows the question")
        name = monitored.session.info["instance_id"][:8]
        assert answer.run(where) == 0
        listed = capsys.readouterr().out
        (request,) = [word for word in listed.split() if word.startswith(f"{name}/")]
        assert "python3 x" in listed
        assert answer.run([where[0], "allow", "--request", request, *where[1:]]) == 0
        assert json.loads(hook.end()) == ALLOWED
        assert answer.run(where) == 0 and "nothing waits" in capsys.readouterr().out


@pytest.mark.parametrize("place", PLACES)
def test_a_hub_without_control_only_shows(
    place: Callable[[Path, Path], AbstractContextManager[Place]], home: Path, tmp_path: Path
) -> None:
    with place(home, tmp_path) as (monitored, source), hub_of(source) as served:
        name = monitored.session.info["instance_id"]
        with Client(served.port, token=TOKEN) as client:
            client.subscribe(["*"])
            wait_until(lambda: client.get_instances(), "the hub knows the session")
            with pytest.raises(ProtocolError) as refused:
                client.request("interrupt", instance_id=name)
            assert refused.value.code == "forbidden"
            assert monitored.ask(IN_AGENT).end() == b"", "a subagent does not wait for somebody who may not answer"


def message(number: int) -> ev.Event:
    return ev.claude_message("assistant", f"text {number}", origin=Origin("transcript"))


class Follower:
    """A client of a hub that goes on through whatever happens, and keeps what it got."""

    def __init__(self, port: int) -> None:
        self.frames: list[Frame] = []
        self.client = Client(port)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Follower:
        self._thread.start()
        wait_until(lambda: self.frames, "the first connection")
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()
        self._thread.join()

    def _run(self) -> None:
        for frame in self.client.follow(["claude.message", "system.gap"], since=0):
            self.frames.append(frame)

    def numbers(self) -> list[int]:
        """The instance's own numbers, in the order in which they came."""
        return [frame["origin_seq"] for frame in list(self.frames) if "origin_seq" in frame]

    def gaps(self) -> list[tuple[int, int]]:
        gaps = [frame["data"] for frame in list(self.frames) if frame["type"] == "system.gap"]
        return [(gap["from_seq"], gap["to_seq"]) for gap in gaps]


@contextmanager
def one_session(home: Path) -> Iterator[Served]:
    with serving(instance_id="run-1") as served:
        info = {"instance_id": "run-1", "port": served.port, "host": "localhost", "working_dir": "/w"}
        register(home / ".claude-mpm", {**info, "pid": os.getpid(), "started_at": "2026-01-02T03:04:05.678Z"}, None)
        yield served


def test_a_client_outlives_the_restart_of_a_hub_without_hole_or_duplicate(home: Path) -> None:
    port = free_port()
    with one_session(home) as session:
        first = ServedHub(Config(port=port), LocalSource(home / ".claude-mpm"), hub_id=HUB, port=port)
        with Follower(port) as follower:
            session.log.append(message(1))
            wait_until(lambda: follower.numbers() == [1], "the first event")
            first.hub.stop()
            session.log.append(message(2))  # while there is no hub
            second = ServedHub(Config(port=port), LocalSource(home / ".claude-mpm"), hub_id=ANOTHER, port=port)
            wait_until(lambda: follower.numbers() == [1, 2], "what came meanwhile")
            session.log.append(message(3))
            wait_until(lambda: follower.numbers() == [1, 2, 3], "what comes")
            assert follower.gaps() == []
            new = [f["data"]["new_instance"] for f in follower.frames if f["type"] == "client.connected"]
            assert new == [False, True], "the client is told that the hub is another one"
            second.hub.stop()


@contextmanager
def publishing(publisher: Publisher) -> Iterator[None]:
    publisher.start()
    try:
        yield
    finally:
        publisher.stop()
        assert publisher.join(TIMEOUT)


@needs_redis
@pytest.mark.parametrize("persistence", ["no", "yes"])
def test_a_redis_that_is_killed_under_load_loses_nothing_that_is_not_told(persistence: str, tmp_path: Path) -> None:
    events, log = 4_000, Log("00000001-0000-4000-8000-000000000000")
    with redis_server(tmp_path, "--appendonly", persistence) as server:
        url = parse_url(f"redis://127.0.0.1:{server.port}", {})
        status = {"instance_info": instance(1), "claude_status": "running"}
        with (
            publishing(Publisher(log, lambda: status, lambda types: None, url)),
            serving_hub(RedisSource(url, None, HUB)) as served,
            Follower(served.port) as follower,
        ):
            for number in range(events):
                log.append(message(number))
                if number == events // 2:
                    wait_until(lambda: len(follower.numbers()) > 100, "the load to run")
                    server.kill()
                if number == events // 2 + 500:
                    server.start()
            sent = [entry.seq for entry in log.read(0, ["claude.message"], events)]
            wait_until(lambda: follower.numbers()[-1:] == sent[-1:], "the last event")
            numbers, gaps = follower.numbers(), follower.gaps()
    assert (numbers, gaps) == (sent, []), "once, in order, and all of them: the log still held what Redis lost"
