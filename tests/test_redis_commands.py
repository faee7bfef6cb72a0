"""Commands that a hub sends by way of Redis, to the server of a real instance."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis_server import Hub, RedisServer, info_of, message, needs_redis, publishing, redis_server, sourcing
from schemas import check
from serving import TOKEN, FakeControl, Served, serving
from support import wait_until

from claude_mpm.config import Config
from claude_mpm.errors import ServerUnavailable
from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.publish.commands import CommandReader
from claude_mpm.fleet.redis.read.source import RedisSource
from claude_mpm.fleet.redis.signature import sign
from claude_mpm.fleet.redis.url import RedisUrl
from claude_mpm.system import json_text

pytestmark = needs_redis
ID = "run-1"  # of the log that a test's server serves
numbers = itertools.count(1)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@contextmanager
def reading(served: Served, url: RedisUrl, token: str | None = TOKEN) -> Iterator[None]:
    reader = CommandReader(url, ID, ("localhost", served.port, token), lambda: None)
    reader.start()
    try:
        yield
    finally:
        reader.stop()
        assert reader.join(10.0)


@contextmanager
def fleet(redis: RedisServer, token: str | None = TOKEN, **urls: RedisUrl) -> Iterator[tuple[Served, RedisSource, Hub]]:
    """An instance that can be controlled, and a source that knows it."""
    published, read = urls.get("publisher", redis.url), urls.get("hub", redis.url)
    with (
        serving(Config(token=TOKEN, control=True), FakeControl()) as served,
        publishing(served.log, published),
        reading(served, published),
        sourcing(read, token) as (source, hub),
    ):
        served.log.append(message("hello"))
        wait_until(lambda: hub.seqs(ID) == [1], "the first event")
        yield served, source, hub


def ask(source: RedisSource, hub: Hub, command: str, trusted: bool, **params: object) -> dict[str, Any]:
    """The reply to a command."""
    request_id = f"q{next(numbers)}"
    source.send({"command": command, "instance_id": ID, "request_id": request_id, **params}, trusted)
    wait_until(lambda: replies(hub, request_id), f"the reply to {command}")
    [frame] = replies(hub, request_id)
    check(frame)
    return frame


def replies(hub: Hub, request_id: str) -> list[dict[str, Any]]:
    return [frame for frame in list(hub.frames) if frame.get("request_id") == request_id]


def write(redis: RedisServer, command: bytes, request_id: str, at: str, signature: str) -> None:
    """A command as a hub writes it."""
    fields = ("h", "hub-1", "r", request_id, "t", at, "c", command, "s", signature)
    redis.call("XADD", keys.commands(ID), "*", *fields)


def test_what_every_reader_may_ask_needs_no_signature(redis: RedisServer) -> None:
    with fleet(redis) as (served, source, hub):
        served.instances = [info_of(ID)]
        served.screen = None
        assert ask(source, hub, "ping", trusted=False)["type"] == "pong"
        history = ask(source, hub, "get_history", trusted=False, limit=5)
        assert [event["seq"] for event in history["data"]["events"]] == [1]
        assert ask(source, hub, "get_status", trusted=False)["data"]["instance_info"]
        assert ask(source, hub, "get_screen", trusted=False)["data"]["code"] == "unavailable"
        wait_until(lambda: served.server.client_count == 0, "the end of the connection to our own server")


def test_what_acts_on_claude_must_be_signed(redis: RedisServer) -> None:
    with fleet(redis) as (served, source, hub):
        assert served.control is not None
        assert ask(source, hub, "send_input", trusted=False, text="rm -rf\r")["data"]["code"] == "forbidden"
        assert ask(source, hub, "get_sessions", trusted=False)["data"]["code"] == "forbidden"
        assert served.control.done == []
        assert ask(source, hub, "send_input", trusted=True, text="y")["type"] == "done"
        assert served.control.done == [("send_input", "y")]
        assert ask(source, hub, "subscribe", trusted=True, channels=["*"])["data"]["code"] == "unknown_command"
        assert ask(source, hub, "no_such", trusted=True)["data"]["code"] == "unknown_command"


@pytest.mark.parametrize(("token", "said"), [("f" * 32, "different tokens"), (None, "not signed")])
def test_a_hub_with_another_token_or_none_cannot_act(redis: RedisServer, token: str | None, said: str) -> None:
    with fleet(redis, token) as (served, source, hub):
        data = ask(source, hub, "stop", trusted=True)["data"]
        assert (data["code"], served.control and served.control.done) == ("forbidden", [])
        assert said in data["message"]


def test_a_command_that_was_recorded_is_not_executed_again_nor_elsewhere(redis: RedisServer) -> None:
    with fleet(redis) as (served, source, hub):
        assert served.control is not None
        ask(source, hub, "interrupt", trusted=True)
        [(_, flat), *_] = redis.call("XRANGE", keys.commands(ID), "-", "+")
        redis.call("XADD", keys.commands(ID), "*", *flat)
        stop = json_text.dumps({"command": "stop", "instance_id": "run-2"})
        write(redis, stop, "r", "1", sign(TOKEN, "hub-1", "r", "1", stop))
        write(redis, b"{", "r", "1", "")
        redis.call("XADD", keys.commands(ID), "*", "x", b"\xff")
        assert ask(source, hub, "ping", trusted=True)["type"] == "pong"  # those before it have been executed
        assert served.control.done == [("interrupt",)]
        texts = str(redis.call("XRANGE", keys.replies("hub-1"), "-", "+"))
        assert "executed before" in texts
        assert "wrong_instance" in texts


def test_the_token_is_nowhere_in_redis(redis: RedisServer) -> None:
    with fleet(redis) as (_, source, hub):
        ask(source, hub, "interrupt", trusted=True)
        for key in redis.call("KEYS", "*"):
            kind = redis.call("TYPE", key)
            read = {b"stream": ("XRANGE", key, "-", "+"), b"string": ("GET", key)}.get(kind, ("ZRANGE", key, 0, -1))
            assert TOKEN not in str(redis.call(*read))


def test_a_reply_that_nobody_asked_for_is_passed_over(redis: RedisServer) -> None:
    with fleet(redis) as (_, source, hub):
        for reply in (b"{", b"[]", json_text.dumps({"type": "done", "data": {}, "request_id": "mine"})):
            redis.call("XADD", keys.replies("hub-1"), "*", "i", ID, "e", reply)
        assert ask(source, hub, "ping", trusted=False)["type"] == "pong"
        assert replies(hub, "mine") == []


def test_an_instance_that_is_not_there_is_said_at_once(redis: RedisServer) -> None:
    with sourcing(redis.url) as (source, _), pytest.raises(ServerUnavailable):
        source.send({"command": "ping", "instance_id": ID, "request_id": "1"}, False)


# --- users with the rights that docs/fleet.md lists, and TLS ----------------------------------------


def rights_in_the_docs() -> list[list[str]]:
    """The lines `ACL SETUSER ...` of the document."""
    text = (Path(__file__).parent.parent / "docs" / "fleet.md").read_text(encoding="utf-8")
    return [line.split() for line in text.splitlines() if line.startswith("ACL SETUSER")]


def test_the_rights_that_the_docs_list_suffice_and_go_no_further(redis: RedisServer) -> None:
    lines = rights_in_the_docs()
    assert [line[2] for line in lines] == ["claude-publisher", "claude-hub"]
    for line in lines:
        redis.call(*line)
    publisher, hub_url = (redis.as_user(line[2], line[4].removeprefix(">")) for line in lines)
    with fleet(redis, publisher=publisher, hub=hub_url) as (served, source, hub):
        source.want({ID: frozenset({"claude.output"})})
        assert ask(source, hub, "interrupt", trusted=True)["type"] == "done"
        wait_until(lambda: redis.call("EXISTS", keys.want(ID)), "the wish")
        served.log.append(message("last"))
        wait_until(lambda: 3 in hub.seqs(ID), "the last event")
        assert hub.of_type("system.error") == []
        assert served.log.read(0, ["system.error"], 9) == []
    for line in lines:
        for command in (("KEYS", "*"), ("FLUSHALL",), ("GET", "other"), ("CONFIG", "GET", "*"), ("SET", "other", "x")):
            answer = redis.call("ACL", "DRYRUN", line[2], *command)
            assert b"no permissions" in answer, command
    assert b"no permissions" in redis.call("ACL", "DRYRUN", "claude-hub", "XADD", keys.events(0), "*", "a", "b")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_is_checked_against_the_authority_that_the_url_names(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    argv = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*argv.split(), *files], check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--tls-port", str(port), "--tls-key-file", str(key), "--tls-cert-file", str(cert)]
    with redis_server(tmp_path, *options, "--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no") as redis:
        good = redis.url._replace(port=port, tls=True, ca_certs=str(cert))
        with sourcing(good) as (_, hub):
            wait_until(lambda: hub.of_type("instances"), "the list")
        with sourcing(good._replace(ca_certs=None)) as (_, hub):
            error = wait_until(lambda: hub.of_type("system.error"), "the error")[0]["data"]
            assert "certificate is not trusted" in error["error"]
            assert "ssl_ca_certs" in error["hint"]
