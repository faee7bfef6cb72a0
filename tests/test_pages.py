from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import INSTANCE, TOKEN, Served, ask, get, serving

from claude_mpm.config import Config, Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.server.commands.replies import Asker
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.http import event_lines, pages, proof
from claude_mpm.server.http.handshake import Request

HTML = "<!doctype html><p>hé</p><script type=module src=page/main.js></script>\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of our own making: the package directory."""
    package = tmp_path / "claude_mpm"
    (package / "data").mkdir(parents=True)
    (package / "page" / "render").mkdir(parents=True)
    (package / "page" / "index.html").write_text(HTML)
    (package / "page" / "main.js").write_text("import './render/dom.js';")
    (package / "page" / "style.css").write_text("p {}")
    (package / "page" / "render" / "dom.js").write_text("// dom")
    (package / "page" / "notes.txt").write_text("not served")
    monkeypatch.setattr(pages, "_PACKAGE", package)
    return package


def lines(body: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in body.splitlines()]


def errors(served: Served, count: int) -> None:
    for number in range(count):
        served.log.append(ev.system_error(str(number), "test"))


def test_the_page_is_served_under_a_policy_that_allows_its_own_files_alone(package: Path) -> None:
    with serving() as served:
        answer = ask(served.port, get("/"))
    assert (answer.status, answer.body) == (200, HTML.encode())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "ws://localhost:*" in policy["connect-src"].split() and "*" not in policy["connect-src"].split()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("main.js", "text/javascript"), ("render/dom.js", "text/javascript"), ("style.css", "text/css")],
)
def test_the_files_of_the_page_are_served_by_their_names(package: Path, path: str, content_type: str) -> None:
    with serving() as served:
        answer = ask(served.port, get(f"/page/{path}"))
    assert (answer.status, answer.body) == (200, (package / "page" / path).read_bytes())
    assert answer.headers["content-type"] == f"{content_type}; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["", "nope.js", "notes.txt", "render", "render/", "./main.js", "../http.py", "..%2fserver%2fhttp.py", "/etc/passwd",
     "render/../main.js", "main.js/", "MAIN.JS", "%00main.js"],
)  # fmt: skip
def test_no_other_file_is_served(package: Path, path: str) -> None:
    (package / "page" / ".." / "http.py").write_text("secret = 1")
    with serving() as served:
        assert ask(served.port, get(f"/page/{path}")).status == 404


def test_every_answer_is_final_and_opens_nothing(package: Path) -> None:
    with serving() as served:
        for path in ("/", "/healthz", "/status", "/events", "/nope", "/events?since=x"):
            headers = ask(served.port, get(path, Origin="http://localhost:3000")).headers
            assert headers["connection"] == "close"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert not [name for name in headers if name.startswith("access-control-")]


def test_the_proof_is_the_size_of_an_image_and_belongs_to_token_port_and_nonce() -> None:
    nonce = "0123456789abcdef" * 2
    asked = [(TOKEN, 8765, nonce, "0"), (TOKEN, 8765, nonce, "1"), (TOKEN, 8766, nonce, "0"), (None, 8765, nonce, "0")]
    assert len({proof.size(*what) for what in [*asked, (TOKEN, 8765, nonce[::-1], "0")]}) == 5
    with serving(Config(token=TOKEN)) as served:
        identity = ask(served.port, get("/proof.svg"))
        image = ask(served.port, get(f"/proof.svg?nonce={nonce}&part=1"))
        malformed = [ask(served.port, get(f"/proof.svg?{query}")) for query in ("nonce=x&part=0", f"nonce={nonce}")]
    assert (identity.status, identity.body) == (200, proof.svg(*proof.IDENTITY))
    assert image.body == proof.svg(*proof.size(TOKEN, served.port, nonce, "1"))
    assert image.headers["content-type"] == "image/svg+xml"
    assert image.headers["cross-origin-resource-policy"] == "cross-origin"
    assert [answer.status for answer in malformed] == [400, 400]


def test_an_installed_package_brings_the_description_itself(package: Path) -> None:
    (package / "data" / "asyncapi.yaml").write_text("asyncapi: 3.0.0\n")
    with serving() as served:
        assert ask(served.port, get("/asyncapi.yaml")).body == b"asyncapi: 3.0.0\n"


def test_the_description_of_the_interface_is_served_from_a_checkout(package: Path) -> None:
    (package.parent / "docs").mkdir()
    (package.parent / "docs" / "asyncapi.yaml").write_text("asyncapi: 3.0.0\n")
    with serving() as served:
        answer = ask(served.port, get("/asyncapi.yaml"))
    assert (answer.status, answer.body) == (200, b"asyncapi: 3.0.0\n")


def test_what_is_not_installed_is_404(package: Path) -> None:
    (package / "page" / "index.html").unlink()
    with serving() as served:
        for path in ("/", "/asyncapi.yaml"):
            assert ask(served.port, get(path)).status == 404


def test_a_page_that_cannot_be_read_is_503(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*args: object, **kwargs: object) -> bytes:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with serving() as served:
        assert ask(served.port, get("/")).status == 503


def test_healthz_is_200() -> None:
    with serving() as served:
        answer = ask(served.port, get("/healthz"))
        assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_status_and_instances_are_the_replies() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        served.instances = [INSTANCE]
        status = ask(served.port, get("/status")).json()
        assert (status["type"], status["instance_id"]) == ("system.status", "run-1")
        assert status["data"] == client.ask("get_status")["data"]
        assert status["data"]["connected_clients"] == 1
        assert ask(served.port, get("/instances")).json()["data"] == {"instances": [INSTANCE]}


def test_events_are_lines_of_json() -> None:
    with serving() as served:
        errors(served, 600)
        served.log.append(ev.todo_update([], origin=Origin("todo_file")))
        answer = ask(served.port, get("/events"))
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert lines(answer.body) == [entry.message() for entry in served.log.read(0, ["*"], 1000)]
        assert [line["seq"] for line in lines(ask(served.port, get("/events?since=598")).body)] == [599, 600, 601]
        assert [line["seq"] for line in lines(ask(served.port, get("/events?limit=2")).body)] == [600, 601]
        assert [line["seq"] for line in lines(ask(served.port, get("/events?types=todo.*,agent.*")).body)] == [601]
        assert ask(served.port, get("/events?types=agent.*")).body == b""


def test_events_after_a_number_that_memory_lost_begin_with_the_gap() -> None:
    with serving(structured_events=2) as served:
        errors(served, 5)
        gap, *events = lines(ask(served.port, get("/events?since=1")).body)
        assert gap["type"] == "system.gap"
        assert gap["data"] == {"from_seq": 2, "to_seq": 3, "counts": {"system.error": 2}, "reason": "expired"}
        assert [event["seq"] for event in events] == [4, 5]
        assert lines(ask(served.port, get("/events")).body)[0]["seq"] == 4


@pytest.mark.parametrize(
    "query",
    ["since=x", "since=-1", "since=1.5", "limit=%00", "limit=9999999999999999", "types=Bad", "types=a%20b", "since=²"],
)
def test_a_bad_query_is_400(query: str) -> None:
    with serving() as served:
        assert ask(served.port, get(f"/events?{query}")).status == 400


@pytest.mark.parametrize(
    "path", ["/nope", "/../monitor.html", "//", "/events/", "/index.html", "/.git/config", "/%2e%2e/setup.py"]
)
def test_any_other_path_is_404(path: str) -> None:
    with serving() as served:
        assert ask(served.port, get(path)).status == 404


def test_other_methods_are_405_and_told_which_are_served() -> None:
    with serving() as served:
        answer = ask(served.port, get("/status", "DELETE"))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_the_body() -> None:
    with serving() as served:
        answer = ask(served.port, get("/status", "HEAD"))
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"] == "application/json"


def test_with_a_token_only_the_page_and_the_health_are_open(package: Path) -> None:
    with serving(Config(token=TOKEN)) as served:
        for path in ("/", "/healthz", "/page/main.js", "/page/style.css"):
            assert ask(served.port, get(path)).status == 200
        for path in ("/status", "/instances", "/events", "/asyncapi.yaml", "/nope"):
            answer = ask(served.port, get(path))
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert ask(served.port, get(f"/status?token={TOKEN}")).status == 200
        assert ask(served.port, get("/status", Authorization=f"Bearer {TOKEN}")).status == 200


def test_pages_are_under_the_same_rules_of_host_and_origin() -> None:
    with serving() as served:
        assert ask(served.port, get("/status", Host="evil.example")).status == 403
        assert ask(served.port, get("/healthz", Origin="http://evil.example")).status == 403
        assert ask(served.port, get("/", Origin="null")).status == 403


def test_a_large_answer_arrives_whole() -> None:
    with serving() as served:
        for number in range(200):
            served.log.append(ev.claude_output("x" * 50_000, number))
        assert len(lines(ask(served.port, get("/events")).body)) == 200


def events_of(log: Log, **query: str) -> Iterator[dict[str, object]]:
    """What `/events` tells, line by line, while the test decides when it goes on."""
    asker = Asker("test", log, SessionView(dict, list, lambda: None, lambda types: None), dict, trusted=False)
    answer = pages.page(Request("GET", "/events", query, {}), asker)
    for piece in answer.body:
        yield from lines(piece)


def test_events_are_read_from_the_log_while_they_are_sent_and_a_slow_reader_is_told_what_it_lost() -> None:
    log = Log("run-1", Limits(structured_events=300))
    for number in range(300):
        log.append(ev.system_error(str(number), "test"))
    reader = events_of(log)
    taken = [next(reader)["seq"] for _ in range(event_lines.PIECE_EVENTS)]
    assert taken == list(range(1, event_lines.PIECE_EVENTS + 1))
    for number in range(280):
        log.append(ev.system_error(str(number), "test"))
    gap, *rest = reader
    assert gap["data"] == {"from_seq": 257, "to_seq": 280, "counts": {"system.error": 24}, "reason": "slow_client"}
    assert [event["seq"] for event in rest] == list(range(281, 301))  # what came after the request is not asked for


def test_the_newest_events_after_a_lost_number_begin_with_the_gap() -> None:
    log = Log("run-1", Limits(structured_events=5))
    for number in range(9):
        log.append(ev.system_error(str(number), "test"))
    gap, *events = events_of(log, since="2", limit="2")
    assert gap["data"] == {"from_seq": 3, "to_seq": 4, "counts": {"system.error": 2}, "reason": "expired"}
    assert [event["seq"] for event in events] == [8, 9]
    assert [event["seq"] for event in events_of(log, limit="2")] == [8, 9]
    assert [event["seq"] for event in events_of(log, limit="99")] == [5, 6, 7, 8, 9]
    assert [event["seq"] for event in events_of(log, limit="0")] == []
    assert [event["type"] for event in events_of(log, since="0", limit="0")] == ["system.gap"]


def test_pieces_of_events_are_small() -> None:
    log = Log("run-1")
    for number in range(100):
        log.append(ev.claude_output("x" * 10_000, number))
    asker = Asker("test", log, SessionView(dict, list, lambda: None, lambda types: None), dict, trusted=False)
    sizes = [len(piece) for piece in pages.page(Request("GET", "/events", {}, {}), asker).body]
    assert len(sizes) > 10
    assert max(sizes) < event_lines.PIECE_BYTES + 11_000
