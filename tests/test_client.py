from __future__ import annotations

import ast
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
import simple_websocket
from scripted_server import ScriptedServer, close_wake_pipe, scripted
from support import ROOT, TIMEOUT, free_port, wait_until
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

from claude_mpm.client import client as client_module
from claude_mpm.client import connection as connection_module
from claude_mpm.client import frame_queue, transport
from claude_mpm.client.client import CONNECTED, LOST, Client
from claude_mpm.errors import ConnectionFailed, ProtocolError, ServerUnavailable

Frame = dict[str, Any]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.port, token="t", timeout=TIMEOUT) as client:
        yield client


class Reader:
    """Reads an iterator in a thread, as a program that follows does."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.frames: list[Frame] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read, args=(frames,), name="reader")
        self._thread.start()

    def _read(self, frames: Iterator[Frame]) -> None:
        try:
            for frame in frames:
                self.frames.append(frame)
        except Exception as error:
            self.error = error

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def numbers(self) -> list[int]:
        return [frame["seq"] for frame in self.frames if "seq" in frame]

    def join(self) -> None:
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()


@pytest.fixture
def follow() -> Iterator[Callable[..., Reader]]:
    readers: list[tuple[Client, Reader]] = []

    def start(client: Client, *args: Any, **kwargs: Any) -> Reader:
        readers.append((client, Reader(client.follow(*args, **kwargs))))
        return readers[-1][1]

    yield start
    for client, reader in readers:
        client.close()
        reader.join()


def answer_once(answer: bytes) -> tuple[int, threading.Thread]:
    """A listener that says `answer` to the first who connects, then closes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listening:
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

    thread = threading.Thread(target=run, name="answer-once")
    thread.start()
    return int(listening.getsockname()[1]), thread


# --- connecting ------------------------------------------------------------------------------------


def test_greeting_is_there_after_connect(client: Client) -> None:
    assert client.greeting["claude_status"] == "running"
    assert client.instance_id == "run-1"


def test_nobody_listens_is_said_with_what_to_do() -> None:
    port = free_port()
    with pytest.raises(ConnectionFailed, match=f"nothing listens on localhost:{port}; start one with"):
        Client(port, token="t").connect()


def test_refusal_comes_with_its_status_and_reason(server: ScriptedServer) -> None:
    server.refusal = HTTPStatus.FORBIDDEN, "a token is needed\nsecond line"
    with pytest.raises(ConnectionFailed, match=r"refused the connection: 403 a token is needed$"):
        Client(server.port, token="wrong").connect()


def test_refusal_reason_cannot_write_escapes_to_the_terminal(server: ScriptedServer) -> None:
    server.refusal = HTTPStatus.FORBIDDEN, "no \x1b[31m\x07way"
    with pytest.raises(ConnectionFailed) as caught:
        Client(server.port, token="t").connect()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "its answer was HTTP 200 hi"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "its answer was HTTP 404"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "not a claude-mpm"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "not a claude-mpm"),
        (b"HTTP/1.1 \xff\xff\r\n\r\n", "its answer was HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, "does not speak HTTP"),
    ],
)
def test_whatever_else_listens_is_told_from_a_claude_mpm(answer: bytes, words: str) -> None:
    port, thread = answer_once(answer)
    with pytest.raises(ConnectionFailed, match=words):
        Client(port, token="t", timeout=TIMEOUT).connect()
    thread.join()


def test_websocket_server_without_our_greeting_is_not_a_claude_mpm(server: ScriptedServer) -> None:
    server.greeting = server.frame("hello", {})
    with pytest.raises(ConnectionFailed, match="but not a claude-mpm"):
        Client(server.port, token="t").connect()


def test_listener_that_never_answers_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ConnectionFailed, match="takes connections but does not answer"),
    ):
        Client(silent.getsockname()[1], token="t", timeout=0.05).connect()


def test_listener_that_drips_its_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peers: list[socket.socket] = []
        stop = threading.Event()

        def drip() -> None:
            peer, _ = listening.accept()
            with peer:
                while not stop.wait(0.01):
                    peer.send(b"HTTP/1.1 101 x\r\n"[len(peers) :][:1] or b"x")
                    peers.append(peer)

        thread = threading.Thread(target=drip, name="drip")
        thread.start()
        with pytest.raises(ConnectionFailed, match="does not answer"):
            Client(listening.getsockname()[1], token="t", timeout=0.2).connect()
        stop.set()
        thread.join()


def greet_once(then: Callable[[socket.socket], object]) -> tuple[int, threading.Thread]:
    """A listener that sends its answer and the greeting in one packet, then does what it is told."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listening:
            peer, _ = listening.accept()
            with peer:
                protocol = ServerProtocol()
                protocol.receive_data(peer.recv(65536))
                (request,) = protocol.events_received()
                protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
                greeting = {"type": "system.status", "instance_id": "i", "data": {}}
                frame = WireFrame(Opcode.TEXT, json.dumps(greeting).encode()).serialize(mask=False)
                peer.sendall(b"".join(protocol.data_to_send()) + frame)
                then(peer)

    thread = threading.Thread(target=run, name="one-packet")
    thread.start()
    return int(listening.getsockname()[1]), thread


def test_frames_in_the_same_packet_as_the_answer_are_read() -> None:
    # simple-websocket looks at them only when the next packet comes; the greeting is often one of them
    port, thread = greet_once(lambda peer: peer.recv(65536))
    with Client(port, token="t", timeout=TIMEOUT) as client:
        assert client.instance_id == "i"
    thread.join()


def test_a_command_that_could_be_sent_only_in_part_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # what was sent next would be read as the rest of that frame
    monkeypatch.setattr(transport, "SEND_TIME", 0.1)
    done = threading.Event()
    port, thread = greet_once(lambda peer: done.wait(2 * TIMEOUT))
    with Client(port, token="t", timeout=TIMEOUT) as client:
        with pytest.raises(ConnectionFailed, match="the connection is lost"):
            client.request("ping", padding="x" * 16_000_000)
        with pytest.raises(EOFError):
            client.next_event(TIMEOUT)
        done.set()
    thread.join()


@pytest.mark.parametrize("port", [70_000, -1])
def test_impossible_port_is_one_sentence(port: int) -> None:
    with pytest.raises(ConnectionFailed):
        Client(port, token="t").connect()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_host_header_names_the_server_and_its_port(server: ScriptedServer, host: str) -> None:
    with Client(server.port, host, token="t"):
        assert server.headers[0]["host"] == f"{host}:{server.port}"


# --- what the connection relies on in simple-websocket --------------------------------------------


def test_only_documented_names_of_simple_websocket_are_used() -> None:
    names: set[str] = set()
    for path in (ROOT / "claude_mpm" / "client").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("simple_websocket"):
                names.update(f"{node.module}.{name.name}" for name in node.names)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names.update({node.attr} if node.value.id == "simple_websocket" else ())
    assert names == {"Client", "ConnectionClosed", "ConnectionError"}


def test_simple_websocket_uses_the_ssl_context_it_is_given_for_all_it_reads_and_writes() -> None:
    # If a new version of the library fails here, client/transport.py has to find another way to its socket.
    calls: list[tuple[str, Any]] = []

    class Done(Exception):
        pass

    class Recorder:
        def wrap_socket(self, sock: socket.socket, server_hostname: str) -> Recorder:
            sock.close()
            calls.append(("wrap_socket", server_hostname))
            return self

        def connect(self, address: Any) -> None:
            calls.append(("connect", None))

        def send(self, data: bytes) -> None:
            calls.append(("send", data))

        def recv(self, size: int) -> bytes:
            calls.append(("recv", size))
            raise Done

    with pytest.raises(Done):
        simple_websocket.Client(transport.URL, receive_bytes=77, ssl_context=Recorder())
    assert [name for name, _ in calls] == ["wrap_socket", "connect", "send", "recv"]
    assert transport.URL_HOST in calls[2][1]
    assert calls[3][1] == 77


def test_nothing_more_is_read_into_the_library_while_our_queue_is_full(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_queue, "QUEUE_CHARS", 1000)
    monkeypatch.setattr(connection_module, "RECEIVE_BYTES", 2000)
    with Client(server.port, token="t", timeout=TIMEOUT) as client:
        client.subscribe()
        for _ in range(300):
            server.emit("claude.output", {"content": "x" * 50})
        connection = client._connection
        assert connection is not None and connection._websocket is not None
        wait_until(lambda: connection.frames._chars >= 1000, "the queue is full")
        assert sum(map(len, connection._websocket.input_buffer)) <= 2000
        got = [client.next_event(TIMEOUT) for _ in range(300)]
    assert [event["seq"] for event in got if event] == list(range(1, 301))


def test_close_frame_of_the_server_is_answered_with_its_code() -> None:
    # RFC 6455 5.5.1; a server that waits for the answer would otherwise report an abnormal end
    answered: list[int | None] = []

    def handler(peer: ServerConnection) -> None:
        peer.send(json.dumps({"type": "system.status", "instance_id": "i", "data": {}}))
        peer.close(4321, "over")
        answered.append(peer.protocol.close_rcvd.code if peer.protocol.close_rcvd else None)

    with serve(handler, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, name="closing-server")
        thread.start()
        with Client(server.socket.getsockname()[1], token="t", timeout=TIMEOUT) as client:
            assert list(client) == []
            assert (client.close_code, client.close_reason) == (4321, "over")
        wait_until(lambda: answered, "the server's side is over")
        server.shutdown()
    thread.join()
    close_wake_pipe(server)
    assert answered == [4321]


# --- tokens ----------------------------------------------------------------------------------------


def test_given_token_is_sent_as_bearer(server: ScriptedServer) -> None:
    with Client(server.port, token="0123456789abcdef"):
        assert server.headers[0]["authorization"] == "Bearer 0123456789abcdef"


def test_token_that_would_break_the_header_is_refused_here(server: ScriptedServer) -> None:
    with pytest.raises(ConnectionFailed, match="the token"):
        Client(server.port, token="a\r\nX-Evil: 1").connect()
    assert server.headers == []


# --- asking ----------------------------------------------------------------------------------------


def test_every_command_returns_its_own_reply(server: ScriptedServer, client: Client) -> None:
    server.emit("todo.update", {"todos": []})
    assert client.get_status()["seq"] == 1
    assert [e["seq"] for e in client.get_history(["todo.*"], limit=5)["events"]] == [1]
    assert client.get_instances() == [{"port": server.port}]
    assert client.ping() >= 0
    assert client.subscribe(["todo.update"]) == {"channels": ["todo.update"], "seq": 1}
    assert client.unsubscribe(["todo.update"]) == {"channels": []}
    history = next(c for c in server.commands if c["command"] == "get_history")
    assert {k: v for k, v in history.items() if k != "request_id"} == {
        "command": "get_history", "event_types": ["todo.*"], "limit": 5,
    }  # fmt: skip


def test_replies_find_who_asked_with_several_threads_asking(client: Client) -> None:
    wrong: list[object] = []

    def ask(name: str, kind: str) -> None:
        wrong.extend(r for _ in range(50) if (r := client.request(name)["type"]) != kind)

    asked = [("ping", "pong"), ("get_status", "system.status"), ("get_history", "history")]
    threads = [threading.Thread(target=ask, args=a, name=a[0]) for a in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_error_reply_is_raised_with_the_servers_words(client: Client) -> None:
    with pytest.raises(ProtocolError, match="is no pattern") as caught:
        client.subscribe(["!"])
    assert caught.value.code == "invalid_params"
    assert client.ping() >= 0  # the connection stays


def test_missing_reply_is_given_up_and_never_taken_for_another(server: ScriptedServer) -> None:
    server.silent = {"ping"}
    with Client(server.port, token="t") as client:
        client._timeout = 0.05  # for this reply; connecting may take its time
        with pytest.raises(ConnectionFailed, match="no answer to ping"):
            client.ping()
        late = {"type": "pong", "data": {}, "request_id": server.commands[-1]["request_id"]}
        server.say(json.dumps(late))
        server.say(json.dumps(server.frame("system.error", {"error": "after"})))
        event = client.next_event(TIMEOUT)
        assert event is not None and event["data"] == {"error": "after"}


def test_asking_without_a_connection_is_one_sentence() -> None:
    with pytest.raises(ConnectionFailed, match="not connected"):
        Client().get_status()


def test_request_fails_at_once_when_the_connection_ends(server: ScriptedServer, client: Client) -> None:
    server.silent = {"ping"}
    ended = threading.Timer(0.02, server.drop)
    ended.start()
    with pytest.raises(ConnectionFailed, match="connection"):
        client.ping()
    ended.join()


def test_reply_behind_a_full_queue_is_still_found(server: ScriptedServer) -> None:
    with Client(server.port, token="t", queue_chars=2000) as client:
        client.subscribe()
        for _ in range(40):
            server.emit("claude.output", {"content": "x" * 50})
        assert client.get_status()["seq"] == 40


def test_unread_events_are_bounded(server: ScriptedServer) -> None:
    with Client(server.port, token="t", queue_chars=1000) as client:
        client.subscribe()
        for _ in range(100):
            server.emit("claude.output", {"content": "x" * 50})
        assert client._connection is not None
        queue = client._connection.frames
        wait_until(lambda: queue._chars >= 1000, "the queue is full")
        assert queue._chars < 1000 + 400  # nothing asked: no extra room
        got = [client.next_event(TIMEOUT) for _ in range(100)]
        assert [e["seq"] for e in got if e] == list(range(1, 101))  # what waited in the socket comes after


# --- commands whose replies come in the stream -----------------------------------------------------


def test_the_reply_to_a_posted_command_overtakes_the_events_that_wait(server: ScriptedServer) -> None:
    with Client(server.port, token="t", queue_chars=2000) as client:
        client.subscribe()
        for _ in range(40):
            server.emit("claude.output", {"content": "x" * 50})
        client.post({"command": "get_status", "request_id": "hub-7", "instance_id": "run-1"})
        wait_until(lambda: client._connection and client._connection.frames._passed_on, "the reply")
        first = client.next_event(TIMEOUT)
        assert first is not None and (first["request_id"], first["data"]["seq"]) == ("hub-7", 40)
        assert [e["seq"] for e in (client.next_event(TIMEOUT) for _ in range(40)) if e] == list(range(1, 41))
    assert server.commands[-1] == {"command": "get_status", "request_id": "hub-7", "instance_id": "run-1"}


def test_a_reply_in_the_stream_and_one_that_is_waited_for_do_not_mix(client: Client) -> None:
    client.post({"command": "ping", "request_id": "hub-1"})
    assert client.get_status()["claude_status"] == "running"
    reply = client.next_event(TIMEOUT)
    assert reply is not None and (reply["type"], reply["request_id"]) == ("pong", "hub-1")


def test_posted_commands_without_a_reply_are_bounded(
    server: ScriptedServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_queue, "MOST_PASSED", 2)
    server.silent = {"ping"}
    for number in range(2):
        client.post({"command": "ping", "request_id": f"hub-{number}"})
    with pytest.raises(ServerUnavailable, match="2 commands have not been answered"):
        client.post({"command": "ping", "request_id": "hub-2"})
    client.close()
    with pytest.raises(ServerUnavailable, match="not connected"):
        client.post({"command": "ping", "request_id": "hub-3"})


# --- listening -------------------------------------------------------------------------------------


def test_iteration_yields_events_and_ends_with_the_connection(server: ScriptedServer, client: Client) -> None:
    client.subscribe(["todo.*"])
    server.emit("todo.update", {"n": 1})
    server.emit("claude.status", {"n": 2})
    server.emit("todo.update", {"n": 3})
    server.drop(1001, "over")
    assert [frame["data"]["n"] for frame in client] == [1, 3]
    assert (client.close_code, client.close_reason) == (1001, "over")


def test_next_event_returns_none_when_time_is_up(client: Client) -> None:
    assert client.next_event(0.01) is None


@pytest.mark.parametrize(
    "noise", ["{", "[]", "{}", '"x"', '{"type": 1, "data": {}}', '{"type": "a"}', "[" * 5000, b"\x00"]
)
def test_messages_that_are_not_the_protocol_are_skipped(server: ScriptedServer, client: Client, noise: str) -> None:
    client.subscribe()
    server.say(noise)
    server.emit("todo.update")
    event = client.next_event(TIMEOUT)
    assert event is not None and event["type"] == "todo.update"


def test_large_and_wide_messages_arrive_whole(server: ScriptedServer, client: Client) -> None:
    client.subscribe()
    text = "häß€😀" * 100_000
    server.emit("claude.output", {"content": text})
    event = client.next_event(TIMEOUT)
    assert event is not None and event["data"]["content"] == text


def test_too_large_a_message_ends_the_connection(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MESSAGE_BYTES", 10_000)
    with Client(server.port, token="t") as client:
        server.say(json.dumps(server.frame("claude.output", {"content": "x" * 20_000})))
        assert list(client) == []


def test_close_ends_iteration_in_another_thread(client: Client) -> None:
    reader = Reader(iter(client))
    client.close()
    reader.join()
    assert reader.error is None


def test_close_twice_and_reconnect(server: ScriptedServer, client: Client) -> None:
    client.close()
    client.close()
    client.connect()
    assert client.ping() >= 0


def test_server_that_never_says_goodbye_does_not_hold_close_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIME", 0.05)
    server = ScriptedServer()
    client = Client(server.port, token="t").connect()
    (peer,) = server._clients
    peer.protocol.receive_data = lambda data: None  # type: ignore[method-assign]
    client.close()
    assert client._connection is None
    server.stop()


# --- following -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RETRY_FIRST", 0.01)


def test_follow_resumes_after_a_lost_connection_without_hole_or_duplicate(
    server: ScriptedServer, follow: Callable[..., Reader]
) -> None:
    reader = follow(Client(server.port, token="t"), ["todo.*"])
    wait_until(lambda: CONNECTED in reader.types())
    server.emit("todo.update")
    wait_until(lambda: reader.numbers() == [1])
    server.drop(1011, "trouble")
    server.emit("todo.update")
    wait_until(lambda: reader.numbers() == [1, 2])
    assert reader.types() == [CONNECTED, "todo.update", LOST, CONNECTED, "todo.update"]
    assert reader.frames[2]["data"] == {"code": 1011, "reason": "trouble"}
    assert reader.frames[3]["data"]["new_instance"] is False


def test_follow_that_saw_nothing_yet_resumes_where_it_began(
    server: ScriptedServer, follow: Callable[..., Reader]
) -> None:
    server.emit("todo.update")
    reader = follow(Client(server.port, token="t"))
    wait_until(lambda: CONNECTED in reader.types())
    server.drop()
    server.emit("todo.update")
    wait_until(lambda: reader.numbers() == [2])


def test_follow_passes_the_servers_gap_on(server: ScriptedServer, follow: Callable[..., Reader]) -> None:
    for _ in range(5):
        server.emit("todo.update")
    server.oldest = 4
    reader = follow(Client(server.port, token="t"), since=0)
    wait_until(lambda: reader.numbers() == [4, 5])
    assert reader.types() == [CONNECTED, "system.gap", "todo.update", "todo.update"]


def test_follow_waits_for_a_new_instance_and_reads_it_from_its_beginning(follow: Callable[..., Reader]) -> None:
    with scripted() as first:
        for _ in range(3):
            first.emit("todo.update")
        reader = follow(Client(first.port, token="t"), since=0)
        wait_until(lambda: reader.numbers() == [1, 2, 3])
    wait_until(lambda: LOST in reader.types())
    second = ScriptedServer(first.port, "run-2")
    second.emit("session.start")
    wait_until(lambda: reader.numbers() == [1, 2, 3, 1])
    connected = [frame["data"] for frame in reader.frames if frame["type"] == CONNECTED]
    assert [(c["instance_id"], c["new_instance"]) for c in connected] == [("run-1", False), ("run-2", True)]
    second.stop()


def test_follow_since_of_another_instance_starts_from_the_beginning(
    server: ScriptedServer, follow: Callable[..., Reader]
) -> None:
    server.emit("todo.update")
    reader = follow(Client(server.port, token="t"), since=500, instance_id="long-gone")
    wait_until(lambda: reader.numbers() == [1])


def test_follow_drops_what_came_already(server: ScriptedServer, follow: Callable[..., Reader]) -> None:
    reader = follow(Client(server.port, token="t"))
    wait_until(lambda: CONNECTED in reader.types())
    server.emit("todo.update")
    server.say(json.dumps(server.events[0]))
    server.emit("todo.update")
    wait_until(lambda: 2 in reader.numbers())
    assert reader.numbers() == [1, 2]


def test_follow_through_a_hub_that_restarts_repeats_no_event(follow: Callable[..., Reader]) -> None:
    def tell(hub: ScriptedServer, seq: int, instance_id: str, origin_seq: int) -> None:
        more = {"seq": seq, "instance_id": instance_id, "origin_seq": origin_seq}
        hub.events.append(hub.frame("todo.update", {}) | more)

    with scripted(instance_id="hub-1") as first:
        for seq, (instance_id, origin) in enumerate([("a", 7), ("b", 1), ("a", 8)], 1):
            tell(first, seq, instance_id, origin)
        reader = follow(Client(first.port, token="t"), since=0)
        wait_until(lambda: reader.numbers() == [1, 2, 3])
    wait_until(lambda: LOST in reader.types())
    second = ScriptedServer(first.port, "hub-2")
    for seq, (instance_id, origin) in enumerate([("a", 7), ("a", 8), ("b", 1), ("b", 2), ("a", 9)], 1):
        tell(second, seq, instance_id, origin)
    wait_until(lambda: reader.frames[-1].get("origin_seq") == 9)
    second.stop()
    seen = [(f["instance_id"], f["origin_seq"]) for f in reader.frames if "origin_seq" in f]
    assert seen == [("a", 7), ("b", 1), ("a", 8), ("b", 2), ("a", 9)]


def test_follow_fails_when_the_first_attempt_fails() -> None:
    with pytest.raises(ConnectionFailed, match="nothing listens"):
        next(Client(free_port(), token="t").follow())


def test_follow_ends_when_refused_later(server: ScriptedServer, follow: Callable[..., Reader]) -> None:
    reader = follow(Client(server.port, token="t"))
    wait_until(lambda: CONNECTED in reader.types())
    server.refusal = HTTPStatus.FORBIDDEN, "no"
    server.drop()
    reader.join()
    assert isinstance(reader.error, ConnectionFailed)


def test_follow_tries_again_when_the_server_is_full(server: ScriptedServer, follow: Callable[..., Reader]) -> None:
    reader = follow(Client(server.port, token="t"))
    wait_until(lambda: CONNECTED in reader.types())
    server.refusal = HTTPStatus.SERVICE_UNAVAILABLE, "256 clients"
    server.drop()
    wait_until(lambda: len(server.headers) >= 3)
    server.refusal = None
    wait_until(lambda: reader.types().count(CONNECTED) == 2)


def test_follow_is_told_of_channels_the_server_does_not_take(server: ScriptedServer) -> None:
    with Client(server.port, token="t") as client, pytest.raises(ProtocolError, match="no pattern"):
        next(client.follow(["!"]))


def test_close_ends_follow_while_it_waits_to_reconnect(
    follow: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RETRY_FIRST", 60.0)
    with scripted() as server:
        client = Client(server.port, token="t")
        reader = follow(client)
        wait_until(lambda: CONNECTED in reader.types())
    wait_until(lambda: LOST in reader.types())
    client.close()
    reader.join()
    assert reader.error is None
