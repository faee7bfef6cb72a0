from __future__ import annotations

import logging
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest
from serving import TOKEN, Client, FakeControl, Served, ask, get, read_all, serving, upgrade
from support import TIMEOUT, open_fds, wait_until
from test_frames import TEXT, frame

from claude_mpm.config import Config, Limits
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.feed.selection import Selection
from claude_mpm.server import accept_pace
from claude_mpm.server.bind import bind
from claude_mpm.server.listener import Server
from claude_mpm.server.process_limits import Capacity, capacity

NEVER = 10_000.0  # seconds


@contextmanager
def connected(served: Served, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """Raw connections that have said `data`."""
    sockets = [socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT) for _ in range(count)]
    try:
        for sock in sockets:
            sock.sendall(data)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def unfinished(served: Served) -> int:
    """Connections that are neither closed nor a WebSocket."""
    return len(served.server._admission._handshakes) + len(served.server._admission._responses)


def subscribers(served: Served) -> int:
    return sum(
        client is not None and bool(client.selection.types)
        for client in list(served.server._admission._clients.values())
    )


def threads() -> int:
    """Threads that serve a connection."""
    return sum(thread.name.startswith("client-") for thread in threading.enumerate())


def status_of(data: bytes) -> int:
    return int(data.split()[1]) if data else 0


# --- who is served -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_families_are_served(host: str) -> None:
    with serving() as served, served.client(host=host) as client:
        assert client.greeted().ask("ping")["type"] == "pong"


def test_the_listeners_carry_their_family() -> None:
    with serving():
        assert {"listener-ipv4", "listener-ipv6"} <= {thread.name for thread in threading.enumerate()}


def test_a_refused_upgrade_gets_a_status_one_line_and_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "claude_mpm")
    with serving(Config(token=TOKEN)) as served:
        for request, status in [
            (upgrade(Host="evil.example"), 403),
            (upgrade(Origin="http://evil.example"), 403),
            (upgrade(Origin="null"), 403),
            (upgrade("/?token=wrong-but-secret"), 401),
            (upgrade(f"/?token={TOKEN}", Sec_WebSocket_Version="7"), 426),
            (b"\x16\x03\x01\x00", 400),
            (get("/", "POST"), 405),
        ]:
            caplog.clear()
            answer = ask(served.port, request)
            assert answer.status == status
            assert answer.body.count(b"\n") == 1 and answer.body.endswith(b"\n")
            (record,) = caplog.records
            assert f"refused, {status}" in record.message
            assert TOKEN not in record.message and "wrong-but-secret" not in record.message
        assert served.server.client_count == 0


def test_hostile_headers_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "claude_mpm")
    with serving() as served:
        assert ask(served.port, upgrade(Origin="http://evil\x1b[2J\x85é".encode().decode("latin-1"))).status in (
            400,
            403,
        )
        assert ask(served.port, upgrade(Host="evil\x85é")).status == 403
        assert all(record.message.isascii() and record.message.isprintable() for record in caplog.records)


def test_with_a_token_the_client_that_has_it_is_served_and_may_control() -> None:
    control = FakeControl()
    with serving(Config(token=TOKEN, control=True), control) as served:
        with served.client(request=upgrade(f"/?token={TOKEN}", Origin="null")) as client:
            assert client.greeted().ask("interrupt")["type"] == "done"
        with served.client(request=upgrade(Authorization=f"Bearer {TOKEN}")) as client:
            assert client.greeted().ask("stop")["type"] == "done"
    assert control.done == [("interrupt",), ("stop",)]


def test_control_needs_a_token_even_when_it_is_switched_on_without_one() -> None:
    control = FakeControl()
    with serving(Config(control=True), control) as served, served.client() as client:
        assert client.greeted().ask("interrupt")["data"]["code"] == "forbidden"
    assert control.done == []


def test_what_other_machines_can_reach_is_not_served_without_a_token() -> None:
    served = Served(Config())
    sockets = bind("0.0.0.0", 0)
    with pytest.raises(UsageError):
        Server(sockets, served.log, Config(), served.backend)
    for sock in sockets:
        sock.close()
    served.server.stop()


# --- bounds ------------------------------------------------------------------------------------------


def test_more_clients_than_allowed_get_503_until_one_leaves() -> None:
    with serving(clients=2) as served, served.client() as one, served.client() as two:
        one.greeted(), two.greeted()
        assert ask(served.port, upgrade()).status == 503
        assert ask(served.port, get("/healthz")).status == 200
        one.sock.close()
        wait_until(lambda: served.server.client_count == 1)
        with served.client() as three:
            three.greeted()


def test_most_of_few_descriptors_stay_free_for_watching() -> None:
    assert capacity(Limits(), 64) == Capacity(clients=8, handshakes=2, responses=2)
    assert capacity(Limits(), 0) == Capacity(clients=1, handshakes=1, responses=1)


def test_with_enough_descriptors_all_clients_asked_for_are_served() -> None:
    assert capacity(Limits(), 1024) == Capacity(clients=256, handshakes=64, responses=32)
    assert capacity(Limits(clients=5000), 20_000) == Capacity(clients=5000, handshakes=64, responses=32)


def test_the_limit_of_open_files_is_raised_when_more_clients_are_asked_for_than_fit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with serving(clients=1000) as served:
            assert served.server._admission.capacity.clients == (1000 if hard > 2300 else hard)
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_that_suffices_is_left_alone() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(clients=1):
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_slow_readers_silent_connections_and_clients_never_hold_more_threads_than_allowed() -> None:
    most = 0
    with serving(clients=2, handshakes=4, responses=3) as served:
        for number in range(200):
            served.log.append(ev.claude_output("x" * 50_000, number))
        with ExitStack() as stack:
            for _ in range(10):
                stack.enter_context(connected(served, 3, get("/events")))
                stack.enter_context(connected(served, 3, b"GET /"))
                stack.enter_context(connected(served, 3, upgrade()))
                most = max(most, threads())
            wait_until(
                lambda: len(served.server._admission._responses) == 3 and served.server.client_count == 2,
                "all places taken",
            )
            assert ask(served.port, get("/healthz")).status == 503
            most = max(most, threads())
        assert most <= 2 * 2 + 4 + 3


def test_a_thousand_clients_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept_pace, "INTERVAL", 0.0)  # test_accept_pace.py is about the pace
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        pytest.skip("the hard limit of open files is too low for both ends of 1,000 connections")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4096), limits[1]))
    subscribe = frame(TEXT, b'{"command":"subscribe","channels":["*"]}')
    try:
        with serving(clients=1000) as served, ExitStack() as stack:
            sockets = []
            for _ in range(1000):
                (sock,) = stack.enter_context(connected(served, 1, upgrade() + subscribe))
                sockets.append(sock)
            wait_until(lambda: subscribers(served) == 1000, "all have subscribed", timeout=3 * TIMEOUT)
            served.log.append(ev.system_error("told to all", "test"))
            for sock in sockets:
                data = b""
                while b"told to all" not in data:
                    data += sock.recv(65536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_silent_connection_is_dropped_with_408() -> None:
    with serving(handshake_time=0.1, close_time=0.1) as served, connected(served, 1) as (sock,):
        assert status_of(read_all(sock)) == 408


def test_a_connection_that_never_said_anything_costs_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "claude_mpm")
    with serving(handshake_time=0.1, close_time=0.1) as served, connected(served, 1) as (sock,):
        read_all(sock)
        wait_until(lambda: unfinished(served) == 0)
        assert caplog.messages == []
        with connected(served, 1, b"GET") as (sock,):
            assert status_of(read_all(sock)) == 408
        assert len(caplog.messages) == 1


def test_a_handshake_that_drips_is_dropped_at_the_same_time() -> None:
    with serving(handshake_time=0.3, close_time=0.1) as served, connected(served, 1, b"GET / HTTP/1.1\r\n") as (sock,):
        pause = threading.Event()
        try:
            for _ in range(1000):
                sock.sendall(b"X: y\r\n")
                pause.wait(0.02)
        except OSError:
            pass
        assert wait_until(lambda: unfinished(served) == 0)


def test_idle_connections_do_not_keep_others_out() -> None:
    with serving(handshakes=8) as served, connected(served, 100):
        with served.client() as client:
            assert client.greeted().ask("ping")["type"] == "pong"
        assert ask(served.port, get("/healthz")).status == 200
        assert unfinished(served) <= 8


def test_the_oldest_unfinished_handshake_has_to_go_with_503() -> None:
    with serving(handshakes=2) as served, connected(served, 1, b"GET /") as (oldest,):
        wait_until(lambda: unfinished(served) == 1)
        with connected(served, 2):
            assert status_of(read_all(oldest)) == 503


def test_a_visitor_that_leaves_in_the_middle_is_forgotten() -> None:
    with serving() as served:
        with connected(served, 5, b"GET / HT"):
            wait_until(lambda: unfinished(served) == 5)
        wait_until(lambda: unfinished(served) == 0)


def test_a_page_that_nobody_takes_is_given_up() -> None:
    with serving(handshake_time=0.2, close_time=0.1, send_buffer_bytes=4096) as served:
        for number in range(200):
            served.log.append(ev.claude_output("x" * 50_000, number))
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", served.port))
            sock.settimeout(TIMEOUT)
            sock.sendall(get("/events"))
            assert sock.recv(1) == b"H", "the page is on its way"
            wait_until(lambda: unfinished(served) == 0)
            assert len(read_all(sock)) < 200 * 50_000, "and ends in the middle"


def test_without_descriptors_it_waits_says_so_once_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served, served.client() as before:
        before.greeted()
        waiting = [socket.socket() for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_fds()) + 1, hard))
        try:
            filler = fill_descriptors()
            for sock in waiting:
                sock.settimeout(TIMEOUT)
                sock.connect(("127.0.0.1", served.port))
                sock.sendall(get("/healthz"))
            wait_until(lambda: "no new clients for now" in caplog.text, "it says so")
            assert before.ask("ping")["type"] == "pong"
            for number in filler:
                os.close(number)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in waiting:
            assert status_of(read_all(sock)) == 200
            sock.close()
    assert caplog.text.count("no new clients for now") <= 2  # one for each family


def fill_descriptors() -> list[int]:
    """Open what is left of the limit."""
    numbers = []
    try:
        while True:
            numbers.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return numbers


def test_a_lost_listener_is_told_and_the_other_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served, served.client() as client:
        client.greeted().subscribe("system.error")
        served.server._sockets[0].shutdown(socket.SHUT_RDWR)
        told = client.next()["data"]
        assert told["component"] == "server" and "listener-ipv4" in told["error"] and told["hint"]
        with served.client(host="::1") as other:
            other.greeted()
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 5000,
        b"\xff\xfe",
        b"GET " + b"a" * 20_000,
        b"\r\n" * 9000,
        os.urandom(3000),
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200,
    ],
)
def test_garbage_is_refused_and_harms_nobody(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        assert 400 <= ask(served.port, garbage).status < 500
        assert client.ask("ping")["type"] == "pong"
    assert "Traceback" not in caplog.text


# --- what the session is told ------------------------------------------------------------------------


def test_the_session_is_told_what_is_wanted_only_when_that_changes() -> None:
    status, screen = ev.SYSTEM_STATUS, ev.CLAUDE_SCREEN
    with serving() as served, served.client() as one, served.client() as two:
        one.greeted().subscribe("todo.*")
        one.subscribe("*")
        two.greeted().subscribe("system.status", "claude.screen")
        one.subscribe("claude.screen")
        two.ask("unsubscribe", channels=["system.status", "claude.screen"])
        one.ask("unsubscribe", channels=["*"])
        one.sock.close()
        wait_until(lambda: len(served.demands) == 4)
        assert served.demands == [{status}, {status, screen}, {screen}, set()]


def test_the_session_is_told_by_one_thread_at_a_time_and_last_the_newest() -> None:
    inside, most = 0, 0
    lock = threading.Lock()
    with serving() as served:
        told = served.demands

        def demand(selection: Selection) -> None:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            told.append(selection.types)
            with lock:
                inside -= 1

        object.__setattr__(served.backend, "demand", demand)
        clients = [served.client().greeted() for _ in range(8)]

        def churn(client: Client) -> None:
            for _ in range(30):
                client.subscribe("claude.screen")
                client.ask("unsubscribe", channels=["claude.screen"])

        threads = [threading.Thread(target=churn, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
        assert told[-1] == frozenset()
        assert all(one != other for one, other in pairwise(told))
        for client in clients:
            client.sock.close()


def test_a_session_that_fails_to_hear_it_costs_one_line_and_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    def broken(types: frozenset[str]) -> None:
        raise RuntimeError("a bug")

    with serving() as served, served.client() as client:
        client.greeted().subscribe("claude.screen")
        object.__setattr__(served.backend, "demand", broken)
        client.sock.close()
        wait_until(lambda: not served.server._threads)
    assert [record.message for record in caplog.records] == ["client-1: RuntimeError: a bug"]


def test_the_count_of_clients_is_told() -> None:
    with serving() as served, served.client() as one, served.client() as two:
        one.greeted(), two.greeted()
        assert served.server.client_count == 2
        assert served.server.status()["connected_clients"] == 2
        two.sock.close()
        wait_until(lambda: one.ask("get_status")["data"]["connected_clients"] == 1)


# --- start and stop ----------------------------------------------------------------------------------


def test_a_server_that_never_started_stops_and_frees_its_port() -> None:
    served = Served(Config())
    served.server.stop()
    served.server.stop()
    assert served.server.join(0)
    for sock in bind(None, served.port):
        sock.close()


def test_the_port_is_free_while_clients_still_get_what_is_left() -> None:
    with serving() as served, served.client() as client:
        client.greeted().subscribe("*")
        for _ in range(2):
            served.server.close_listeners()
            for sock in bind(None, served.port):
                sock.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT)
        served.log.append(ev.system_error("the last one", "test"))
        served.server.stop()
        assert client.next()["data"]["error"] == "the last one"
        assert client.closed() == 1001


def test_listeners_close_before_the_start_after_the_stop_and_from_several_threads() -> None:
    served = Served(Config())
    served.server.close_listeners()
    for sock in bind(None, served.port):
        sock.close()
    served.server.stop()
    with serving() as served:
        closing = [threading.Thread(target=served.server.close_listeners) for _ in range(4)]
        for thread in closing:
            thread.start()
        served.server.stop()
        for thread in closing:
            thread.join()


def test_stop_may_come_twice_and_frees_the_port() -> None:
    with serving() as served:
        served.server.stop()
        served.server.stop()
        assert served.server.join(TIMEOUT)
        for sock in bind(None, served.port):
            sock.close()


def test_join_tells_when_time_ran_out() -> None:
    with serving() as served:
        assert not served.server.join(0.01)


def test_unfinished_handshakes_and_slow_pages_do_not_hold_up_the_end() -> None:
    with serving(handshake_time=NEVER, send_time=NEVER) as served:
        for number in range(200):
            served.log.append(ev.claude_output("x" * 50_000, number))
        with connected(served, 3), connected(served, 3, get("/events")):
            wait_until(lambda: unfinished(served) == 6)
            served.server.stop()
            assert served.server.join(TIMEOUT)


def test_a_hundred_clients_that_come_and_vanish_leave_nothing() -> None:
    with serving() as served:
        fds = len(open_fds())
        for _ in range(4):
            clients = [served.client().greeted() for _ in range(25)]
            for client in clients:
                client.sock.close()
        wait_until(lambda: served.server.client_count == 0 and len(open_fds()) == fds)
        wait_until(lambda: not served.server._threads)


def test_a_client_says_whether_somebody_is_there_to_answer() -> None:
    with serving(Config(token=TOKEN), FakeControl()) as served:
        server = served.server
        with served.client(request=upgrade(f"/?token={TOKEN}&attending=0")) as client:
            client.greeted().ask("ping")
            assert not server.is_attended()
            assert client.ask("interrupt")["type"] == "done"  # it keeps its rights
            assert client.ask("attend", present=True)["data"] == {"command": "attend"}
            assert server.is_attended()
            assert client.ask("attend", present="yes")["data"]["code"] == "invalid_params"
            client.ask("attend", present=False)
            assert not server.is_attended()
        with served.client(request=upgrade(f"/?token={TOKEN}")) as client:
            client.greeted().ask("ping")
            assert server.is_attended()
        wait_until(lambda: not server.is_attended(), "the client has gone")
    with serving() as served, served.client() as client:
        client.greeted().ask("attend", present=True)
        assert not served.server.is_attended()  # it may not answer
