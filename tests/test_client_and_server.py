"""Our client against our server: what both promise holds between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from serving import TOKEN, Served, serving
from support import TIMEOUT, wait_until

from claude_mpm.client import client as client_module
from claude_mpm.client.client import CONNECTED, LOST, Client
from claude_mpm.config import Config
from claude_mpm.errors import ConnectionFailed, ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.system import instances


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RETRY_FIRST", 0.01)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as served:
        yield served


def status(served: Served, message: str) -> None:
    served.log.append(ev.claude_status("running", origin=Origin("process"), message=message))


def test_every_command_is_answered(served: Served) -> None:
    served.instances = [{"port": served.port}]
    with Client(served.port, timeout=TIMEOUT) as client:
        assert client.instance_id == "run-1"
        status(served, "one")
        assert client.get_status()["seq"] == 1
        assert client.get_instances() == [{"port": served.port}]
        assert client.ping() >= 0
        assert [e["data"]["message"] for e in client.get_history(["claude.*"])["events"]] == ["one"]
        assert client.subscribe(["claude.status"], since=0)["channels"] == ["claude.status"]
        event = client.next_event(TIMEOUT)
        assert event is not None and event["seq"] == 1
        assert client.unsubscribe(["claude.status"])["channels"] == []
        with pytest.raises(ProtocolError) as caught:
            client.subscribe(["not a pattern"])
        assert caught.value.code == "invalid_params"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_every_loopback_name_is_let_in(served: Served, host: str) -> None:
    if host == "::1" and len(served.server._sockets) < 2:
        pytest.skip("no ::1 on this machine")
    with Client(served.port, host) as client:
        assert client.ping() >= 0


def test_missing_and_wrong_tokens_are_refused_with_the_servers_reason() -> None:
    with serving(Config(token=TOKEN)) as served:
        for token in (None, "x" * 32):
            with pytest.raises(ConnectionFailed, match=r"refused the connection: 40[13] .*token"):
                Client(served.port, token=token).connect()
        with Client(served.port, token=TOKEN) as client:
            assert client.ping() >= 0


def test_own_users_token_is_found_without_typing() -> None:
    with serving(Config(token=TOKEN)) as served:
        info = {
            "instance_id": "run-1", "port": served.port, "host": "localhost", "working_dir": "/", "pid": 1,
            "started_at": "2026-01-02T03:04:05.678Z",
        }  # fmt: skip
        instances.register(Config().state_dir, info, TOKEN)
        with Client(served.port) as client:
            assert client.ping() >= 0


def test_full_server_says_so_and_may_be_tried_again() -> None:
    with serving(clients=1) as served, Client(served.port) as first:
        first.ping()
        with pytest.raises(ConnectionFailed, match="too busy: 503"):
            Client(served.port).connect()


def test_follow_of_a_busy_log_misses_and_repeats_nothing_over_lost_connections(served: Served) -> None:
    total = 600
    client = Client(served.port, timeout=TIMEOUT)
    seen: list[int] = []
    kinds: list[str] = []

    def follow() -> None:
        for frame in client.follow(["claude.status"], since=0):
            kinds.append(frame["type"])
            if "seq" in frame:
                seen.append(frame["seq"])
            if len(seen) == total:
                return

    thread = threading.Thread(target=follow, name="follower")
    thread.start()
    for number in range(total):
        status(served, f"{number}")
        if number in (150, 300, 450):
            wait_until(lambda: len(seen) > 20, "events come")
            connection = client._connection
            if connection is not None and connection.transport is not None:
                connection.transport.shut_down()  # the network's doing, not the server's
    thread.join(TIMEOUT)
    client.close()
    thread.join(TIMEOUT)
    assert seen == list(range(1, total + 1))
    assert kinds.count(CONNECTED) >= 2


def test_server_that_stops_tells_its_followers_why(served: Served) -> None:
    client = Client(served.port)
    frames = client.follow()
    assert next(frames)["type"] == CONNECTED
    status(served, "last words")
    served.server.stop()
    assert next(frames)["data"]["message"] == "last words"
    lost = next(frames)
    assert (lost["type"], lost["data"]["code"]) == (LOST, 1001)
    client.close()
    assert list(frames) == []


def test_expired_events_are_told_as_a_gap() -> None:
    with serving(structured_events=10) as served:
        for number in range(30):
            status(served, f"{number}")
        with Client(served.port) as client:
            client.subscribe(since=0)
            gap = client.next_event(TIMEOUT)
            first = client.next_event(TIMEOUT)
    assert gap is not None and first is not None
    assert (gap["type"], gap["data"]["counts"]) == ("system.gap", {"claude.status": 20})
    assert first["seq"] == 21
