"""WebSocket clients in a process of their own: clients.py KIND COUNT PORT [EVENTS].

It prints `ready` when every client is connected, and a JSON object of what they saw when its input ends or, with
EVENTS, as soon as each has received that many. Only the standard library is used: a reader must cost less than what
it measures. Kinds:

  readers       subscribe to everything; frames are counted, not parsed
  ordered       the same, and the N= numbers in the frames are checked for gaps and disorder
  delays        the same with T= stamps, whose age is noted in milliseconds; they must not go back
  fleet         subscribe to messages of a hub; T= stamps as with delays, N= numbers as with ordered for each instance
  stalled       subscribe to everything, then never read again
  history       ask for the whole history again and again, without pause; COUNT 1
  coming        subscribe to everything and the screen, stay for two to ten seconds, leave or just vanish, come again
  reconnecting  connect, read the greeting and leave, again and again, without pause; COUNT 1
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

CHUNK = 1 << 18  # bytes a reader takes at once; big, so that the kernel is asked seldom
SILENCE = 10.0  # seconds without a byte after which a reader with EVENTS gives up
PONG_INTERVAL = 10.0  # seconds; RFC 6455 5.5.3 allows unasked pongs, so that nobody has to look for pings
STALLED_BUFFER = 4096  # bytes; the kernel doubles it
TEXT_HEAD = b"\x81"  # FIN and text: not ASCII, so in frames of ASCII text of 130 to 384 bytes it occurs once each
UNMASKED = bytes(4)
STAY = (2.0, 10.0)  # seconds that a coming client stays
_STAMP, _NUMBER = re.compile(rb"T=(\d{20})"), re.compile(rb"N=(\d{8})")
_EVENT = re.compile(rb'"instance_id":"(.{36})".*?T=(\d{20})N=(\d{8})', re.DOTALL)


def connect(port: int, buffer: int = 0) -> tuple[socket.socket, bytes]:
    """A connection past its handshake, and what came after the head. `buffer` is SO_RCVBUF in bytes, 0 for the usual."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % port
    )
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := sock.recv(4096)):
            raise ConnectionError("closed during the handshake")
        head += data
    if b" 101 " not in head[:20]:
        raise ConnectionError(head.split(b"\r\n", 1)[0].decode())
    return sock, head.partition(b"\r\n\r\n")[2]


def command(name: str, **params: Any) -> bytes:
    """A command in a frame whose mask is zero, which RFC 6455 5.3 does not forbid."""
    payload = json.dumps({"command": name, **params}).encode()
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload))) + UNMASKED + payload


SUBSCRIBE = command("subscribe", channels=["*"])
SUBSCRIBE_MESSAGES = command("subscribe", channels=["claude.message"])
SUBSCRIBE_SCREEN = command("subscribe", channels=["*", "claude.screen"])
HISTORY = command("get_history", limit=5000)
PONG = bytes((0x8A, 0x80)) + UNMASKED


class Frames:
    """Cuts the stream of one connection into frames; blocks."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self._sock, self._data = sock, bytearray(data)

    def next(self) -> bytes:
        """The payload of the next frame. ConnectionError at the end of the stream."""
        head = self._need(2)
        size, start = head[1], 2
        if size == 126:
            size, start = struct.unpack_from("!H", self._need(4), 2)[0], 4
        elif size == 127:
            size, start = struct.unpack_from("!Q", self._need(10), 2)[0], 10
        payload = bytes(self._need(start + size)[start : start + size])
        del self._data[: start + size]
        return payload

    def _need(self, count: int) -> bytearray:
        while len(self._data) < count:
            if not (data := self._sock.recv(CHUNK)):
                raise ConnectionError("closed by the server")
            self._data += data
        return self._data


class Reader:
    """One subscribed client, reduced to what the kind of measurement needs."""

    def __init__(self, kind: str, port: int) -> None:
        self.sock, self._rest = connect(port)
        self.sock.sendall(SUBSCRIBE_MESSAGES if kind == "fleet" else SUBSCRIBE)
        self.kind, self.frames, self.wrong, self._last = kind, 0, 0, -1
        self.delays: list[float] = []
        self._newest: dict[bytes, int] = {}  # of each instance

    def wait_subscribed(self) -> None:
        """Block until the server has confirmed the subscription: whatever happens from now on is received."""
        data = b""
        while b'"subscribed"' not in data:
            if not (more := self.sock.recv(CHUNK)):
                raise ConnectionError("closed before it was subscribed")
            data += more

    def read(self) -> int:
        """Take what there is; returns its length, 0 at the end of the stream."""
        data = self.sock.recv(CHUNK)
        if self.kind == "readers":
            self.frames += data.count(TEXT_HEAD)
            return len(data)
        if self.kind == "fleet":
            self._read_fleet(self._rest + data)
            return len(data)
        text, pattern, size = self._rest + data, *((_NUMBER, 10) if self.kind == "ordered" else (_STAMP, 22))
        now, end = time.monotonic_ns(), 0
        for match in pattern.finditer(text):
            end = match.end()
            self._note(int(match[1]), now)
        self._rest = text[max(end, len(text) - size + 1) :]  # a mark may be cut in two
        return len(data)

    def _read_fleet(self, text: bytes) -> None:
        now, end = time.monotonic_ns(), 0
        for match in _EVENT.finditer(text):
            end = match.end()
            self.frames += 1
            self.delays.append((now - int(match[2])) / 1e6)
            number = int(match[3])
            self.wrong += number != self._newest.get(match[1], 0) + 1
            self._newest[match[1]] = number
        self._rest = text[end:]

    def _note(self, number: int, now: int) -> None:
        self.frames += 1
        if self.kind == "delays":
            self.delays.append((now - number) / 1e6)
            self.wrong += number < self._last
        else:
            self.wrong += number != self._last + 1
        self._last = number


def read(kind: str, count: int, port: int, events: int) -> dict[str, Any]:
    """Read with `count` clients until standard input ends, or until each has `events`. Blocks."""
    readers = {reader.sock.fileno(): reader for reader in (Reader(kind, port) for _ in range(count))}
    poll = select.epoll()
    for number in (0, *readers):
        poll.register(number, select.EPOLLIN)
    if events:
        _drain(poll, readers)  # greetings are not events, and other people's servers answer nothing
    else:
        for each in readers.values():
            each.wait_subscribed()
    print("ready", flush=True)
    begun, received, last = time.process_time(), 0, time.monotonic()
    next_pong, lost = last + PONG_INTERVAL, 0
    while not events or sum(each.frames for each in readers.values()) < events * count:
        if events and received and time.monotonic() - last > SILENCE:
            break
        ready = [number for number, _ in poll.poll(0.5)]
        if 0 in ready and not os.read(0, 4096):
            break
        for number in ready:
            if number and (size := readers[number].read()):
                received, last = received + size, time.monotonic()
            elif number:
                poll.unregister(number)
                lost += 1
        if time.monotonic() >= next_pong:
            next_pong += PONG_INTERVAL
            _send_pongs(readers)
    return {
        "frames": sum(each.frames for each in readers.values()),
        "bytes": received,
        "wrong": sum(each.wrong for each in readers.values()),
        "lost_connections": lost,
        "at": last,
        "cpu": time.process_time() - begun,
        "delays": sorted(delay for each in readers.values() for delay in each.delays),
    }


def _drain(poll: select.epoll, readers: dict[int, Reader]) -> None:
    """Read until nothing has come for half a second, and forget it."""
    while ready := [number for number, _ in poll.poll(0.5) if number]:
        for number in ready:
            readers[number].read()
    for each in readers.values():
        each.frames = each.wrong = 0


def _send_pongs(readers: dict[int, Reader]) -> None:
    for each in readers.values():
        with suppress(OSError):  # its end is noticed when it is read
            each.sock.sendall(PONG)


def come_and_go(count: int, port: int) -> dict[str, Any]:
    """Keep `count` clients connected, each for a while. Half of them say nothing when they leave: they are reset."""
    poll, staying = select.epoll(), dict[int, tuple[socket.socket, float]]()
    poll.register(0, select.EPOLLIN)
    print("ready", flush=True)
    seen = {"connections": 0, "refused": 0, "lost_connections": 0, "bytes": 0}
    while True:
        while len(staying) < count:
            try:
                sock, _ = connect(port)
                sock.sendall(SUBSCRIBE_SCREEN)
            except OSError:
                seen["refused"] += 1
                break
            staying[sock.fileno()] = sock, time.monotonic() + random.uniform(*STAY)
            poll.register(sock, select.EPOLLIN)
            seen["connections"] += 1
        for number, _ in poll.poll(0.2):
            if number == 0 and not os.read(0, 4096):
                return seen
            if number in staying:
                received = _received(staying[number][0])
                seen["bytes"] += received
                if not received:
                    staying.pop(number)[0].close()
                    seen["lost_connections"] += 1
        for number in [number for number, (_, until) in staying.items() if time.monotonic() > until]:
            _leave(staying.pop(number)[0])


def _received(sock: socket.socket) -> int:
    try:
        return len(sock.recv(CHUNK))
    except OSError:
        return 0


def _leave(sock: socket.socket) -> None:
    if random.random() < 0.5:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def stall(count: int, port: int) -> dict[str, Any]:
    held = [connect(port, STALLED_BUFFER)[0] for _ in range(count)]
    for sock in held:
        sock.sendall(SUBSCRIBE)
    print("ready", flush=True)
    while os.read(0, 4096):
        pass
    return {"stalled": len(held)}


def ask_for_history(port: int) -> dict[str, Any]:
    sock, rest = connect(port)
    frames, replies, received = Frames(sock, rest), 0, 0
    frames.next()
    print("ready", flush=True)
    while not _input_ended():
        sock.sendall(HISTORY)
        while b'"history"' not in (payload := frames.next())[:200] + payload[-200:]:
            sock.sendall(PONG)
        replies, received = replies + 1, received + len(payload)
    return {"replies": replies, "bytes": received}


def reconnect(port: int) -> dict[str, Any]:
    print("ready", flush=True)
    connections = refused = 0
    while not _input_ended():
        try:
            sock, rest = connect(port)
            Frames(sock, rest).next()
            sock.close()
            connections += 1
        except OSError:
            refused += 1
    return {"connections": connections, "refused": refused}


def _input_ended() -> bool:
    return bool(select.select([0], [], [], 0)[0]) and not os.read(0, 4096)


def main() -> None:
    kind, (count, port, events) = sys.argv[1], map(int, [*sys.argv[2:], "0"][:3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "coming": lambda: come_and_go(count, port),
        "stalled": lambda: stall(count, port),
        "history": lambda: ask_for_history(port),
        "reconnecting": lambda: reconnect(port),
    }
    print(json.dumps(runs.get(kind, lambda: read(kind, count, port, events))()), flush=True)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stderr.write(f"clients.py {' '.join(sys.argv[1:])}: {error}\n")
        sys.exit(1)
