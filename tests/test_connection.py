from __future__ import annotations

import json
import logging
import socket
import struct
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest
from serving import BytesMessage, Client, CloseConnection, Ping, Pong, Served, TextMessage, read_all, serving, upgrade
from support import TIMEOUT, wait_until
from test_frames import CONTINUATION, PING, TEXT, frame

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.feed.patterns import expand
from claude_mpm.server.websocket import fair_share
from claude_mpm.server.websocket.broadcaster import MAX_TAPES
from claude_mpm.system import json_text

NEVER = 10_000.0  # seconds


def errors(served: Served, count: int) -> None:
    for number in range(count):
        served.log.append(ev.system_error(str(number), "test"))


def output(served: Served, count: int, size: int = 16_384) -> None:
    for number in range(count):
        served.log.append(ev.claude_output("x" * size, number * size))


def everybody_left(served: Served) -> None:
    wait_until(lambda: served.server.client_count == 0, "all clients gone")


# --- what a client gets ------------------------------------------------------------------------------


def test_a_client_is_greeted_with_the_status() -> None:
    with serving() as served, served.client() as client:
        greeting = client.next()
        assert (greeting["type"], greeting["instance_id"]) == ("system.status", "run-1")
        assert greeting["data"]["claude_status"] == "starting"
        assert greeting["data"]["connected_clients"] == 1


def test_a_client_that_does_not_subscribe_gets_nothing_more() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        errors(served, 3)
        assert client.ask("ping")["type"] == "pong"


def test_commands_of_one_packet_behind_a_replay_are_answered_when_it_ends() -> None:
    subscribe = b'{"command":"subscribe","channels":["*"],"since":0}'
    with serving() as served:
        errors(served, 3)
        with served.client() as client:
            client.greeted()
            client.sock.sendall(frame(TEXT, subscribe) + frame(TEXT, b'{"command":"ping"}'))
            kinds = [client.next()["type"] for _ in range(5)]
            assert kinds == ["subscribed", *["system.error"] * 3, "pong"]


def test_a_subscriber_gets_what_happens_in_order_and_as_it_is() -> None:
    with serving() as served, served.client() as client:
        client.greeted().subscribe("*")
        served.log.append(ev.system_error("a", "test"))
        served.log.append(ev.claude_output("b\x1b[0mé", 0))
        assert [client.next(), client.next()] == [entry.message() for entry in served.log.read(0, ["*"], 9)]


def test_channels_filter() -> None:
    with serving() as served, served.client() as client:
        client.greeted().subscribe("claude.*")
        errors(served, 1)
        output(served, 1, 1)
        assert client.next()["seq"] == 2


def test_since_brings_the_reply_first_then_what_is_kept_then_what_comes() -> None:
    with serving() as served, served.client() as client:
        errors(served, 700)  # more than a batch
        assert client.greeted().subscribe("*", since=100)["data"]["seq"] == 700
        errors(served, 50)
        assert [client.next()["seq"] for _ in range(650)] == list(range(101, 751))


def test_commands_are_answered_in_order_and_after_what_is_kept() -> None:
    with serving() as served, served.client() as client:
        errors(served, 300)
        client.greeted()
        for message in (
            {"command": "subscribe", "channels": ["*"], "since": 0},
            {"command": "ping"},
            {"command": "nope"},
        ):
            client.send(message)
        kinds = [client.next()["type"] for _ in range(303)]
        assert kinds == ["subscribed", *["system.error"] * 300, "pong", "error"]


def test_what_memory_lost_is_told_before_what_follows() -> None:
    with serving(structured_events=2) as served, served.client() as client:
        errors(served, 5)
        client.greeted().subscribe("*", since=0)
        gap = client.next()
        assert (gap["type"], gap["instance_id"], gap["source"]) == ("system.gap", "run-1", "monitor")
        assert "seq" not in gap
        assert gap["data"] == {"from_seq": 1, "to_seq": 3, "counts": {"system.error": 3}, "reason": "expired"}
        assert [client.next()["seq"], client.next()["seq"]] == [4, 5]


def test_a_client_overtaken_while_it_did_not_read_is_told_exactly_what_it_missed() -> None:
    with (
        serving(output_bytes=256 * 1024, send_buffer_bytes=4096) as served,
        served.client(receive_buffer=4096) as client,
    ):
        client.greeted().subscribe("*")
        output(served, 200)
        seen, lost = 0, 0
        while seen + lost < 200:
            message = client.next()
            if message["type"] == "system.gap":
                data = message["data"]
                assert data["reason"] == "slow_client"
                assert data["from_seq"] == seen + lost + 1
                lost += data["counts"]["claude.output"]
                assert data["to_seq"] == seen + lost
            else:
                seen += 1
                assert message["seq"] == seen + lost
        assert lost > 0 and seen > 0


def test_an_event_is_encoded_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    dumps = json_text.dumps

    def counted(value: object) -> bytes:
        encoded.append(value)
        return dumps(value)

    with serving() as served, served.client() as one, served.client() as two:
        for client in (one, two):
            client.greeted().subscribe("*")
        event = ev.system_error("a", "test")
        monkeypatch.setattr(json_text, "dumps", counted)
        served.log.append(event)
        one.next()
        two.next()
        assert encoded.count(event.data) == 1


def test_many_clients_and_many_writers_see_one_order() -> None:
    with serving() as served:
        clients = [served.client().greeted() for _ in range(8)]
        for client in clients:
            client.subscribe("*")
        writers = [threading.Thread(target=errors, args=(served, 250)) for _ in range(4)]
        for writer in writers:
            writer.start()
        for client in clients:
            assert [client.next()["seq"] for _ in range(1000)] == list(range(1, 1001))
            client.sock.close()
        for writer in writers:
            writer.join()


def test_clients_with_more_sets_of_types_than_tapes_and_the_picture_are_served_alike() -> None:
    channels = [["*"], ["claude.screen"], ["claude.*", "claude.screen"]]
    channels += [["system.error", kind] for kind in sorted(ev.EVENT_TYPES)[: MAX_TAPES + 2]]
    with serving() as served, ExitStack() as stack:
        clients = [stack.enter_context(served.client()).greeted() for _ in channels]
        for client, wanted in zip(clients, channels, strict=True):
            client.subscribe(*wanted)
        for round_ in range(3):
            errors(served, 1)
            served.log.append(Event(ev.CLAUDE_SCREEN, {"lines": []}, "pty"))
            seq = served.log.seq
            for client, wanted in zip(clients, channels, strict=True):
                types = expand(wanted)
                if ev.SYSTEM_ERROR in types:
                    assert client.next()["seq"] == seq - 1, (round_, wanted)
                if ev.CLAUDE_SCREEN in types:
                    assert json.loads(client.event().data)["seq"] == seq, (round_, wanted)


def test_nothing_comes_after_unsubscribing_and_everything_after_subscribing_while_events_flow() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.0002):
                errors(served, 1)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(30):
                client.send({"command": "subscribe", "channels": ["*"]})
                start = client.next()["data"]["seq"]
                assert [client.next()["seq"] for _ in range(20)] == list(range(start + 1, start + 21))
                client.send({"command": "unsubscribe", "channels": ["*"]})
                while client.next()["type"] != "unsubscribed":
                    pass
                assert client.ask("ping")["type"] == "pong"
        finally:
            stop.set()
            writer.join()


def test_what_comes_behind_the_handshake_is_a_frame_already() -> None:
    with serving() as served:
        request = upgrade() + frame(TEXT, b'{"command":"ping"}')
        with served.client(request=request) as client:
            assert client.greeted().next()["type"] == "pong"


# --- control frames and closing ----------------------------------------------------------------------


def test_pings_are_answered_in_order() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        for number in range(10):
            client.send_event(Ping(payload=b"%d" % number))
        got = [client.event() for _ in range(10)]
        assert [bytes(pong.payload) for pong in got] == [b"%d" % number for number in range(10)]


def test_a_ping_between_fragments_is_answered_at_once() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        client.sock.sendall(frame(TEXT, b'{"command":', fin=False) + frame(PING, b"x"))
        assert isinstance(client.event(), Pong)
        client.sock.sendall(frame(CONTINUATION, b'"ping"}'))
        assert client.next()["type"] == "pong"


def test_bad_json_leaves_the_connection_open() -> None:
    with serving() as served, served.client() as client:
        client.greeted().send("{")
        assert client.next()["data"]["code"] == "invalid_json"
        assert client.ask("ping")["type"] == "pong"


@pytest.mark.parametrize("code", [1000, 1001, 4999])
def test_a_close_is_answered_with_its_code(code: int) -> None:
    with serving() as served, served.client() as client:
        client.greeted().send_event(CloseConnection(code=code, reason="bye"))
        assert client.closed() == code
        everybody_left(served)


def test_a_close_without_a_code_is_answered_without() -> None:
    with serving() as served, served.client() as client:
        client.greeted().sock.sendall(frame(8))
        assert read_all(client.sock) == b"\x88\x00"


def test_what_was_asked_before_a_close_is_answered_before_it() -> None:
    with serving() as served, served.client() as client:
        client.greeted().sock.sendall(frame(TEXT, b'{"command":"ping"}') + frame(PING, b"p") + frame(TEXT, b"\xff"))
        kinds = {type(client.event()) for _ in range(2)}
        assert kinds == {TextMessage, Pong}
        assert client.closed() == 1007


def test_replies_before_a_close_are_sent_as_they_are_made() -> None:
    """Joined, the replies to 256 requests for the whole history would take a gigabyte."""

    def broken() -> list[Any]:
        raise RuntimeError("a bug")

    with serving() as served, served.client() as client:
        client.greeted()
        object.__setattr__(served.backend, "instances", broken)
        served.proceed.clear()
        for command in ("get_status", "ping", "get_instances"):
            client.send({"command": command})
        client.send_event(CloseConnection(code=1000))
        wait_until(lambda: client_of(served)._state.closing, "the close has been read")
        served.proceed.set()
        assert [client.next()["type"], client.next()["type"]] == ["system.status", "pong"]
        assert client.closed() == 1011


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(2, b"binary"), 1003),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x" * 65537), 1009),
        (frame(TEXT, b"x", mask=None), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 1002),
    ],
)
def test_a_broken_rule_closes_with_its_code_and_harms_nobody_else(data: bytes, code: int) -> None:
    with serving() as served, served.client() as other, served.client() as client:
        other.greeted()
        client.greeted().sock.sendall(data)
        assert client.closed() == code
        assert other.ask("ping")["type"] == "pong"


def test_the_largest_command_is_served() -> None:
    with serving() as served, served.client() as client:
        empty = len(json.dumps({"command": "ping", "x": ""}))
        assert client.greeted().ask("ping", x="y" * (65536 - empty))["type"] == "pong"


def test_a_client_that_sends_on_after_a_broken_rule_still_reads_why() -> None:
    """Closing with unread bytes would reset the connection and lose the close frame."""
    with serving() as served, served.client() as client:
        client.greeted().send_event(BytesMessage(data=b"x" * 1000))
        client.sock.sendall(b"\x00" * 100_000)
        assert client.closed() == 1003


def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    with serving() as served:
        clients = [served.client().greeted() for _ in range(20)]
        for number, client in enumerate(clients):
            client.subscribe("*")
            if number % 2:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for client in clients:
            client.sock.close()
        errors(served, 10)
        everybody_left(served)
        wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("client-")], "no thread left")


def test_the_threads_of_a_client_carry_its_number() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        names = {thread.name for thread in threading.enumerate()}
        assert {"client-1-receiver", "client-1-sender"} <= names


# --- time --------------------------------------------------------------------------------------------


def test_pings_come_and_who_answers_them_stays() -> None:
    with serving(ping_interval=0.05, ping_time=TIMEOUT) as served, served.client() as client:
        client.greeted()
        for _ in range(5):
            ping = client.event()
            assert isinstance(ping, Ping)
            client.send_event(ping.response())
        assert served.server.client_count == 1


def test_a_client_that_gives_no_sign_of_life_is_reset() -> None:
    with serving(ping_interval=0.05, ping_time=0.05) as served, served.client() as client:
        client.greeted()
        everybody_left(served)
        read_all(client.sock)


def test_a_stopped_client_is_found_by_ping_also_when_its_buffers_are_full() -> None:
    limits: dict[str, Any] = {"ping_interval": 0.1, "ping_time": 0.1, "send_time": NEVER, "send_buffer_bytes": 4096}
    with serving(**limits) as served:
        output(served, 100)
        subscribe = frame(TEXT, b'{"command":"subscribe","channels":["*"],"since":0}')
        with served.client(request=upgrade() + subscribe, receive_buffer=4096):
            everybody_left(served)


def test_a_client_that_takes_nothing_is_reset_and_holds_up_nobody() -> None:
    limits: dict[str, Any] = {"ping_interval": NEVER, "send_time": 0.4, "send_buffer_bytes": 4096}
    with serving(**limits) as served, served.client(receive_buffer=4096) as stalled, served.client() as other:
        stalled.greeted().subscribe("*")
        other.greeted().subscribe("system.error")  # little enough to lie in its buffers while this test is held up
        output(served, 100)
        errors(served, 100)
        assert [other.next()["seq"] for _ in range(100)] == list(range(101, 201))
        wait_until(lambda: served.server.client_count == 1, "the stalled client gone")
        assert other.ask("ping")["type"] == "pong"


def test_a_slow_client_that_does_take_something_stays() -> None:
    """Its pong waits behind what it has not read yet; room in a full buffer proves it alive."""
    # A busy machine may hold this test up for a second; a client that gives no sign of life is given up after 2.
    limits: dict[str, Any] = {"ping_interval": 0.5, "ping_time": 1.5, "send_time": 4.0, "send_buffer_bytes": 4096}
    with serving(**limits) as served, served.client(receive_buffer=4096) as client:
        client.greeted().subscribe("*")
        output(served, 200)
        end = time.monotonic() + 3.0
        pause = threading.Event()
        while time.monotonic() < end:
            assert client.sock.recv(8192)
            pause.wait(0.02)
        assert served.server.client_count == 1


def test_a_clock_that_jumps_disturbs_neither_pings_nor_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    real, jumps = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + jumps[0])
    with serving(ping_interval=0.05, ping_time=TIMEOUT) as served, served.client() as client:
        client.greeted().subscribe("system.error")
        for number, jump in enumerate([3600.0, -3600.0, 0.0], start=1):
            jumps[0] = jump
            errors(served, 1)
            seen: list[object] = []
            while not (Ping in seen and number in seen):
                event = client.event()
                seen.append(Ping if isinstance(event, Ping) else json.loads(event.data)["seq"])


# --- bounds ------------------------------------------------------------------------------------------


def test_commands_sent_all_at_once_are_all_answered_in_order() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        commands = (json.dumps({"command": "ping", "request_id": number}).encode() for number in range(2000))
        client.sock.sendall(b"".join(frame(TEXT, command) for command in commands))
        replies = [client.next() for _ in range(2000)]
        assert [(reply["type"], reply["request_id"]) for reply in replies] == [("pong", n) for n in range(2000)]


@pytest.mark.parametrize(("size", "held"), [(10, 4), (30_000, 2)])
def test_a_client_is_not_read_while_its_commands_wait(size: int, held: int) -> None:
    with serving(commands_waiting=4, command_bytes_waiting=60_000) as served, served.client() as client:
        client.greeted()
        served.proceed.clear()
        client.send({"command": "get_status"})
        wait_until(lambda: served.asked.is_set() and not client_of(served)._state.commands, "one command is under way")
        pings = frame(TEXT, json.dumps({"command": "ping", "x": "y" * size}).encode()) * 500
        sender = threading.Thread(target=client.sock.sendall, args=(pings,))
        sender.start()
        wait_until(lambda: client_of(served)._state.commands.full, "the queue is full")
        assert len(client_of(served)._state.commands) == held
        served.proceed.set()
        assert [client.next()["type"] for _ in range(501)] == ["system.status", *["pong"] * 500]
        sender.join()


def test_a_client_whose_commands_cost_too_much_waits_and_still_gets_pongs_and_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_share, "ALLOWANCE", 0.0)
    monkeypatch.setattr(fair_share, "MAX_DEBT", NEVER)
    monkeypatch.setattr(fair_share, "SHARE", 1e-9)  # one command costs hours of rest
    with serving() as served, served.client() as client:
        client.greeted().subscribe("system.error")
        client.send({"command": "ping"})
        client.send_event(Ping(b"now"))
        assert client.event() == Pong(b"now")
        errors(served, 2)
        assert [client.next()["seq"], client.next()["seq"]] == [1, 2]
        client.send_event(CloseConnection(code=1000))
        assert client.next()["type"] == "pong"
        assert client.closed() == 1000


def test_the_end_does_not_wait_for_a_client_that_owes_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "ALLOWANCE", 0.0)
    monkeypatch.setattr(fair_share, "MAX_DEBT", NEVER)
    monkeypatch.setattr(fair_share, "SHARE", 1e-9)
    with serving() as served, served.client() as client:
        assert client.greeted().ask("ping")["type"] == "pong"
        client.send({"command": "ping"})
        wait_until(lambda: client_of(served)._state.commands, "a command waits")
        served.server.stop()
        assert client.next()["type"] == "pong"
        assert client.closed() == 1001


def test_a_client_that_floods_and_never_reads_is_reset_though_no_pong_is_read() -> None:
    limits: dict[str, Any] = {"send_time": 0.4, "send_buffer_bytes": 4096, "ping_interval": 0.05, "ping_time": 0.05}
    with serving(commands_waiting=4, **limits) as served, served.client(receive_buffer=4096) as client:
        with pytest.raises(OSError):  # a reset, once nothing was taken for send_time
            while True:
                client.sock.sendall(frame(TEXT, b'{"command":"get_status"}'))
        everybody_left(served)


def test_a_flood_does_not_hold_up_the_end() -> None:
    with serving(commands_waiting=4) as served, served.client() as client:
        client.greeted()

        def flood() -> None:
            try:
                while True:
                    client.sock.sendall(frame(TEXT, b'{"command":"ping"}'))
            except OSError:
                pass

        flooding = threading.Thread(target=flood)
        flooding.start()
        assert client.next()["type"] == "pong"
        served.server.stop()
        assert client.closed() == 1001
        assert served.server.join(TIMEOUT)
        flooding.join()


def client_of(served: Served) -> Any:
    (connection,) = served.server._admission._clients.values()
    return connection


def test_a_fault_of_ours_closes_with_1011_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "claude_mpm")
    with serving() as served, served.client() as client:
        client.greeted()
        served.failure = RuntimeError("a bug")
        client.send({"command": "get_status"})
        assert client.closed() == 1011
        everybody_left(served)
    assert [record.message for record in caplog.records] == ["client-1: RuntimeError: a bug"]
    assert "Traceback" not in caplog.text


# --- stopping ----------------------------------------------------------------------------------------


def test_at_the_end_every_client_gets_what_is_in_the_log_and_then_1001() -> None:
    with serving() as served:
        clients = [served.client().greeted() for _ in range(3)]
        for client in clients[:2]:
            client.subscribe("*")
        errors(served, 500)
        served.log.append(ev.session_end(None, 1.0, 1.0, exit_code=0, signal=None, reason="exit"))
        served.server.stop()
        for client in clients[:2]:
            kinds = [client.next()["type"] for _ in range(501)]
            assert kinds == ["system.error"] * 500 + ["session.end"]
        for client in clients:
            assert client.closed() == 1001
            client.sock.close()
        assert served.server.join(TIMEOUT)


def test_a_command_that_came_before_the_end_is_answered() -> None:
    with serving() as served, served.client() as client:
        client.greeted()
        served.proceed.clear()
        client.send({"command": "get_status"})
        client.send({"command": "ping"})
        wait_until(
            lambda: served.asked.is_set() and len(client_of(served)._state.commands) == 1, "one is under way, one waits"
        )
        served.server.stop()
        served.proceed.set()
        assert [client.next()["type"], client.next()["type"]] == ["system.status", "pong"]
        assert client.closed() == 1001


def test_stalled_clients_do_not_hold_up_the_end() -> None:
    limits: dict[str, Any] = {"send_buffer_bytes": 4096, "close_time": 0.1}
    with serving(**limits) as served:
        clients = [served.client(receive_buffer=4096).greeted() for _ in range(5)]
        for client in clients:
            client.subscribe("*")
        output(served, 100)
        served.server.stop()
        assert served.server.join(TIMEOUT)
        for client in clients:
            client.sock.close()


def test_clients_that_never_answer_the_close_do_not_hold_up_the_end() -> None:
    with serving(close_time=0.1) as served:
        clients: list[Client] = [served.client().greeted() for _ in range(5)]
        served.server.stop()
        assert served.server.join(TIMEOUT)
        for client in clients:
            assert client.closed() == 1001
            client.sock.close()
