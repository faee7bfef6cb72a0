"""Earlier sessions over the API: in pages, bounded, and only for those who may read them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archived import answer, prompt, recorded_home, session_id, write_session
from serving import TOKEN, Answer, Client, Served, ask, get, serving, upgrade
from sightings import SESSION
from support import TIMEOUT

from claude_mpm.archive import past as archive_past
from claude_mpm.archive.past import Past
from claude_mpm.config import Config
from claude_mpm.server.http.peer_user import PeerCheck

ONE, TWO, THREE = (session_id(number) for number in (1, 2, 3))


@contextmanager
def served(config_dir: Path, config: Config | None = None, running: dict[str, str] | None = None) -> Iterator[Served]:
    past = Past(config_dir, config_dir / "recordings", lambda: running or {})
    with serving(config) as server:
        server.server._session = replace(server.backend, past=past)
        try:
            yield server
        finally:
            past.close()


def three_sessions(config_dir: Path) -> None:
    for number, name in enumerate((ONE, TWO, THREE), 1):
        at = f"2026-11-0{number}T10:00:00.000Z"
        write_session(
            config_dir, name, prompt(f"number {number}", at), answer("done", at), at=1_793_527_200 + number * 86_400
        )


def listed(reply: dict[str, Any]) -> list[str]:
    assert reply["type"] == "sessions", reply
    return [row["session_id"] for row in reply["data"]["sessions"]]


def test_sessions_are_listed_searched_and_paged(tmp_path: Path) -> None:
    three_sessions(tmp_path)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / f"20261124T214036Z-{TWO}.jsonl").touch()
    with served(tmp_path, running={ONE: "run-9"}) as server, server.client() as client:
        client.greeted()
        everything = client.ask("get_sessions", request_id=5)
        assert listed(everything) == [THREE, TWO, ONE] and everything["request_id"] == 5
        assert [row["recorded"] for row in everything["data"]["sessions"]] == [False, True, False]
        assert [row.get("instance_id") for row in everything["data"]["sessions"]] == [None, None, "run-9"]
        found = client.ask("get_sessions", text="NUMBER 2")["data"]
        assert [row["match"] for row in found["sessions"]] == [{"role": "user", "line": "number 2"}]
        assert listed(client.ask("get_sessions", since="2026-11-03T00:00:00Z")) == [THREE, TWO]
        assert listed(client.ask("get_sessions", project="/w")) == [THREE, TWO, ONE]
        assert listed(client.ask("get_sessions", project="/other")) == []
        first = client.ask("get_sessions", limit=2)
        assert (listed(first), first["data"]["more"], first["data"]["next"]) == ([THREE, TWO], True, TWO)
        second = client.ask("get_sessions", params={"limit": 2, "before": first["data"]["next"]})
        assert (listed(second), second["data"]["more"], second["data"]["next"]) == ([ONE], False, None)


def test_a_search_that_takes_long_goes_on_in_the_next_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three_sessions(tmp_path)
    monkeypatch.setattr(archive_past, "SEARCH_TIME", -1.0)
    with served(tmp_path) as server, server.client() as client:
        client.greeted()
        found, before, replies = list[str](), None, 0
        while True:
            reply = client.ask("get_sessions", text="number 1", **({"before": before} if before else {}))
            found, before, replies = found + listed(reply), reply["data"]["next"], replies + 1
            if not reply["data"]["more"]:
                break
    assert found == [ONE] and replies == 4  # one session a reply, and one that finds the end


def test_a_list_is_bounded_in_bytes(tmp_path: Path) -> None:
    three_sessions(tmp_path)
    past = Past(tmp_path, tmp_path / "recordings", dict)
    found = past.sessions(text=None, project=None, since=None, before=None, limit=50, max_bytes=400)
    assert len(found["sessions"]) == 1 and found["more"] and found["next"] == THREE


@pytest.mark.parametrize("version", ["1.0.128", "2.0.77", "2.1.330"])
def test_a_session_is_read_in_pages_from_the_start_and_from_the_end(tmp_path: Path, version: str) -> None:
    recorded_home(tmp_path, version)
    with served(tmp_path) as server, server.client() as client:
        client.greeted()
        forward, since = list[Any](), 0
        while True:
            page = client.ask("get_session", session_id=SESSION, since=since, limit=7)["data"]
            forward += page["events"]
            if not page["more"]:
                break
            assert len(page["events"]) == 7
            since = forward[-1]["seq"]
        backward, more = list[Any](), True
        while more:
            before = {"before": backward[0]["seq"]} if backward else {}
            page = client.ask("get_session", session_id=SESSION, limit=9, **before)["data"]
            backward, more = page["events"] + backward, page["more"]
    assert forward == backward and len(forward) > 50
    assert [event["seq"] for event in forward] == list(range(1, len(forward) + 1))
    assert {event["instance_id"] for event in forward} == {SESSION}
    assert (forward[0]["type"], forward[-1]["type"]) == ("session.start", "session.end")


def test_a_page_is_bounded_in_bytes_but_never_empty(tmp_path: Path) -> None:
    recorded_home(tmp_path, "2.1.330")
    past = Past(tmp_path, tmp_path / "recordings", dict)
    whole = past.events(SESSION, since=0, before=None, limit=10_000, max_bytes=1 << 30)
    assert whole is not None and not whole[1]
    for max_bytes in (1, 3_000):
        found, since = list[bytes](), 0
        while True:
            page = past.events(SESSION, since=since, before=None, limit=10_000, max_bytes=max_bytes)
            assert page is not None and page[0] and (len(page[0]) == 1 or sum(map(len, page[0])) <= max_bytes)
            found += page[0]
            since = len(found)
            if not page[1]:
                break
        assert found == whole[0]
        last = past.events(SESSION, since=None, before=None, limit=10_000, max_bytes=max_bytes)
        assert last is not None and last[0] == whole[0][-len(last[0]) :] and last[1]


def test_a_session_that_grew_between_two_pages_is_read_again(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("one"), answer("two"), at=1)
    past = Past(tmp_path, tmp_path / "recordings", dict)
    first = past.events(ONE, since=0, before=None, limit=2, max_bytes=10_000)
    assert first is not None and first[1]
    with open(path, "ab") as file:
        file.write(json.dumps(answer("three", at="2026-11-01T10:00:09.000Z")).encode() + b"\n")
    second = past.events(ONE, since=2, before=None, limit=100, max_bytes=100_000)
    assert second is not None and not second[1]
    texts = [json.loads(event)["data"].get("text") for event in [*first[0], *second[0]]]
    assert [text for text in texts if text] == ["one", "two", "three"]
    past.close()


def test_only_a_few_sessions_stay_open_between_pages(tmp_path: Path) -> None:
    past = Past(tmp_path, tmp_path / "recordings", dict)
    for number in range(10):
        write_session(tmp_path, session_id(number), prompt("one"), answer("two"), at=number)
        assert past.events(session_id(number), since=0, before=None, limit=1, max_bytes=10_000) is not None
    assert len(past._readings) == archive_past.READINGS
    past.close()  # and the fixture sees that no descriptor is left


def test_clients_take_turns_and_none_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_past, "TURN_TIME", 0.01)
    with served(tmp_path) as server, server.client() as client:
        client.greeted()
        past = server.server._session.past
        assert isinstance(past, Past)
        with past._my_turn():
            assert client.ask("get_sessions")["data"]["code"] == "unavailable"
        assert listed(client.ask("get_sessions")) == []


def test_what_is_wrong_with_a_command_is_told(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        client.greeted()

        def code(command: str, **params: object) -> str:
            return str(client.ask(command, **params)["data"]["code"])

        assert code("get_session") == code("get_session", session_id=5) == "invalid_params"
        assert (
            code("get_session", session_id=ONE) == code("get_session", session_id="../../etc/passwd") == "unavailable"
        )
        assert code("get_session", session_id=ONE, since=-1) == "invalid_params"
        assert code("get_sessions", since="yesterday") == code("get_sessions", text="x" * 1_001) == "invalid_params"
        assert code("get_sessions", limit="5") == "invalid_params"
    with serving() as server, server.client() as client:  # a server that has no past
        assert client.greeted().ask("get_sessions")["data"]["code"] == "unknown_command"


# --- HTTP --------------------------------------------------------------------------------------------


def http(server: Served, path: str, **headers: str) -> Answer:
    return ask(server.port, get(path, **headers))


def test_sessions_over_http(tmp_path: Path) -> None:
    three_sessions(tmp_path)
    with served(tmp_path) as server:
        assert listed(http(server, "/sessions").json()) == [THREE, TWO, ONE]
        assert listed(http(server, "/sessions?text=number%202&limit=5").json()) == [TWO]
        assert listed(http(server, f"/sessions?since=2026-11-02T00:00:00Z&before={THREE}").json()) == [TWO, ONE]
        for query, status in (("since=yesterday", 400), ("limit=x", 400), (f"text={'x' * 1001}", 400)):
            assert http(server, f"/sessions?{query}").status == status
        assert http(server, f"/sessions/{session_id(9)}/events").status == 404
        assert http(server, "/sessions/..%2f/events").status == http(server, f"/sessions/{ONE}").status == 404
    with serving() as server:
        assert http(server, "/sessions").status == 503


def test_a_sessions_events_over_http_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from claude_mpm.server.http import pages

    monkeypatch.setattr(pages, "PIECE_BYTES", 2_000)
    recorded_home(tmp_path, "2.1.330")
    past = Past(tmp_path, tmp_path / "recordings", dict)
    whole = past.events(SESSION, since=0, before=None, limit=10_000, max_bytes=1 << 30)
    assert whole is not None
    with served(tmp_path) as server:
        path = f"/sessions/{SESSION}/events"
        assert http(server, path).body.splitlines() == whole[0]
        assert http(server, f"{path}?since=5&limit=30").body.splitlines() == whole[0][5:35]
        assert http(server, f"{path}?limit=0").body == b""


def test_a_stream_that_cannot_go_on_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from claude_mpm.errors import ProtocolError
    from claude_mpm.server.http import pages

    monkeypatch.setattr(pages, "PIECE_BYTES", 2_000)
    recorded_home(tmp_path, "2.0.77")
    real = Past.events

    def once(past: Past, session_id: str, *, since: int | None, **rest: Any) -> Any:
        if since:
            raise ProtocolError("unavailable", "not now")
        return real(past, session_id, since=since, **rest)

    monkeypatch.setattr(Past, "events", once)
    with served(tmp_path) as server:
        *events, last = map(json.loads, http(server, f"/sessions/{SESSION}/events").body.splitlines())
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (last["type"], last["data"]["code"]) == ("error", "unavailable")


# --- whose -------------------------------------------------------------------------------------------


def test_where_users_cannot_be_told_apart_the_past_needs_the_token(tmp_path: Path) -> None:
    three_sessions(tmp_path)
    with served(tmp_path) as server:
        server.server._peers = PeerCheck(tmp_path, lambda local, remote: None)  # as on macOS: nothing tells
        with server.client() as client:
            client.greeted()
            for command in ("get_sessions", "get_session"):
                reply = client.ask(command, session_id=ONE)
                assert (reply["type"], reply["data"]["code"]) == ("error", "forbidden")
        assert http(server, "/sessions").status == http(server, f"/sessions/{ONE}/events").status == 403
        assert http(server, "/status").status == 200
    with served(tmp_path, Config(token=TOKEN)) as server:
        assert http(server, "/sessions").status == 401
        assert len(listed(http(server, "/sessions", Authorization=f"Bearer {TOKEN}").json())) == 3
        with Client(server.port, request=upgrade(f"/?token={TOKEN}")) as client:
            assert len(listed(client.greeted().ask("get_sessions"))) == 3


def test_many_clients_at_once_get_the_same(tmp_path: Path) -> None:
    recorded_home(tmp_path, "2.0.77")
    with served(tmp_path) as server:
        bodies: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: bodies.append(http(server, f"/sessions/{SESSION}/events").body))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
    assert len(bodies) == 6 and len(set(bodies)) == 1
