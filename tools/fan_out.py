"""One writer, many clients: what claude_mpm's server delivers, beside a server of `websockets` with threads."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import queue
import select
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

PAD = "x" * 790  # makes an event of 1 kB on the wire
CLIENTS = (1, 10, 50)
RATE = 200  # events a second
FLAT_OUT = 100_000  # deliveries; each client's part fits into the log's memory, so nothing is lost by design
PATIENCE = 30.0  # seconds; a measurement that hangs ends
SUBSCRIBE = b'{"command":"subscribe","channels":["*"]}'
_spawn = multiprocessing.get_context("spawn")
Row = tuple[str, ...]


class Timed(NamedTuple):
    """What the clients of one run saw; delays in ms."""

    got: int
    wrong: int  # numbers that did not follow the one before
    seconds: float
    p50: float
    p99: float


# --- fanout: the writers, each in a process of its own ---


def _ours(pipe: Any, rate: float, events: int) -> None:
    from claude_mpm.config import Config
    from claude_mpm.feed import event as ev
    from claude_mpm.feed.log import Log
    from claude_mpm.server.bind import bind
    from claude_mpm.server.listener import Server
    from claude_mpm.server.session_view import SessionView

    log = Log("bench")
    backend = SessionView(status=log.snapshot, instances=list, screen=lambda: None, demand=lambda types: None)
    sockets = bind(None, 0)
    server = Server(sockets, log, Config(), backend)
    server.start()
    _write(pipe, sockets[0].getsockname()[1], lambda text: log.append(ev.claude_output(text, 0)), rate, events)
    server.stop()
    server.join(PATIENCE)


def _theirs(pipe: Any, rate: float, events: int) -> None:
    """The usual way with threads: a queue for each client, and its thread sends what comes."""
    from websockets.sync.server import serve

    queues: list[queue.SimpleQueue[str | None]] = []

    def serve_one(connection: Any) -> None:
        mine: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        queues.append(mine)
        while (text := mine.get()) is not None:
            connection.send(text)

    def send(content: str) -> None:
        text = json.dumps({"type": "claude.output", "timestamp": "2026-01-02T03:04:05.678Z", "data": {"c": content}})
        for each in queues:
            each.put(text)

    with serve(serve_one, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        _write(pipe, server.socket.getsockname()[1], send, rate, events)
        for each in queues:
            each.put(None)
        server.shutdown()
        thread.join()


def _write(pipe: Any, port: int, send: Callable[[str], object], rate: float, events: int) -> None:
    pipe.send(port)
    pipe.recv()  # the clients are there
    start, cpu = time.monotonic(), time.process_time()
    for number in range(events):
        send(f"T={time.monotonic_ns():020d}N={number:08d}{PAD}")
        if rate:
            time.sleep(max(start + (number + 1) / rate - time.monotonic(), 0))
    pipe.recv()  # they have everything
    pipe.send(time.process_time() - cpu)


# --- fanout: the readers ---


class Reader:
    """One client, reduced to what counts: it reads frames and looks at their numbers."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(4096)
        self.data = head.partition(b"\r\n\r\n")[2]
        self.sock.sendall(bytes((0x81, 0x80 | len(SUBSCRIBE))) + bytes(4) + SUBSCRIBE)
        self.last, self.wrong = -1, 0

    def read(self, delays: list[int]) -> None:
        data, now, at = self.data + self.sock.recv(1 << 18), time.monotonic_ns(), 0
        while len(data) >= at + 10:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = struct.unpack_from("!H", data, start)[0], start + 2
            elif size == 127:
                size, start = struct.unpack_from("!Q", data, start)[0], start + 8
            if len(data) < start + size:
                break
            found = data.find(b'"T=', start, start + size)
            if found >= 0:
                delays.append(now - int(data[found + 3 : found + 23]))
                number = int(data[found + 25 : found + 33])
                self.wrong += number != self.last + 1
                self.last = number
            at = start + size
        self.data = data[at:]


def _read(pipe: Any, port: int, clients: int, events: int) -> None:
    readers = {reader.sock.fileno(): reader for reader in (Reader(port) for _ in range(clients))}
    poll = select.epoll()
    for number in readers:
        poll.register(number, select.EPOLLIN)
    pipe.send(None)
    delays: list[int] = []
    first, deadline = 0.0, time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(reader.last < events - 1 for reader in readers.values()):
        for number, _ in poll.poll(1.0):
            readers[number].read(delays)
        first = first or (time.monotonic() if delays else 0.0)
    seconds, wrong = time.monotonic() - first, sum(reader.wrong for reader in readers.values())
    delays.sort()
    p50, p99 = (delays[int(len(delays) * part)] / 1e6 if delays else 0.0 for part in (0.5, 0.99))
    pipe.send(Timed(len(delays), wrong, seconds, p50, p99))
    for reader in readers.values():
        reader.sock.close()


def _fan_out(writer: Callable[..., None], clients: int, rate: float, events: int) -> tuple[Timed, float]:
    """What the clients saw, and the cores the writer's process used."""
    to_writer, its = _spawn.Pipe()
    to_readers, theirs = _spawn.Pipe()
    writing = _spawn.Process(target=writer, args=(its, rate, events), daemon=True)
    writing.start()
    reading = _spawn.Process(target=_read, args=(theirs, _take(to_writer), clients, events), daemon=True)
    reading.start()
    try:
        _take(to_readers)
        time.sleep(0.5)  # the last subscription arrives
        to_writer.send(None)
        timed: Timed = _take(to_readers)
        to_writer.send(None)
        return timed, _take(to_writer) / timed.seconds
    finally:
        for process in (reading, writing):
            process.join(1.0)
            process.kill()
            process.join()


def _take(pipe: Any) -> Any:
    if not pipe.poll(2 * PATIENCE):
        raise OSError("a process of the measurement hangs")
    return pipe.recv()


def fanout(repeat: int, seconds: float) -> Iterator[Row]:
    yield "clients", "events/s", "server", "deliveries/s", "p50 ms", "p99 ms", "cores", "lost", "disorder"
    for rate in (RATE, 0):
        for clients in CLIENTS:
            events = int(rate * seconds) if rate else min(8000, FLAT_OUT // clients)
            for name, writer in (("claude-mpm", _ours), ("websockets", _theirs)):
                runs = [_fan_out(writer, clients, rate, events) for _ in range(repeat)]
                speed = statistics.median(timed.got / timed.seconds for timed, _ in runs)
                delays = [f"{statistics.median(getattr(timed, p) for timed, _ in runs):.1f}" for p in ("p50", "p99")]
                cores = statistics.median(cores for _, cores in runs)
                lost = sum(clients * events - timed.got for timed, _ in runs)
                shown = delays if rate else ["", ""]  # flat out they tell only how long the queue was
                wrong = sum(timed.wrong for timed, _ in runs)
                yield (
                    str(clients),
                    str(rate or "max"),
                    name,
                    f"{speed:,.0f}",
                    *shown,
                    f"{cores:.2f}",
                    f"{lost}",
                    f"{wrong}",
                )
