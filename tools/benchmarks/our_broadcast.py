"""Our own server and log without the rest of the program: our_broadcast.py BYTES

It prints its port; a line `EVENTS RATE` on its input starts the events, RATE a second or, without it, as fast as it
can; it ends with its input. This is the one measurement
that uses the inside of claude_mpm: the whole program joins the output Claude shows, and cannot be told to send 300
bytes at a time as fast as it can.
"""

from __future__ import annotations

import sys
import time

from claude_mpm.config import Config, Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.server.bind import bind
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.listener import Server
from claude_mpm.system.heap import tune_heap

CLIENTS = 2000
JOIN_TIME = 30.0  # seconds


def main() -> None:
    tune_heap()
    pad, log = "x" * int(sys.argv[1]), Log("bench")
    backend = SessionView(status=log.snapshot, instances=list, screen=lambda: None, demand=lambda selection: None)
    sockets = bind(None, 0)
    server = Server(sockets, log, Config(limits=Limits(clients=CLIENTS, handshakes=CLIENTS)), backend)
    server.start()
    try:
        print(sockets[0].getsockname()[1], flush=True)
        for line in sys.stdin:
            _send(log, pad, *map(int, line.split()))
    finally:
        server.stop()
        server.join(JOIN_TIME)


def _send(log: Log, pad: str, events: int, rate: int = 0) -> None:
    start = time.monotonic()
    for number in range(events):
        if rate:
            time.sleep(max(start + number / rate - time.monotonic(), 0))
        stamp = f"T={time.monotonic_ns():020d}" if rate else ""
        log.append(ev.claude_output(f"{stamp}N={number:08d}{pad}", 0))


if __name__ == "__main__":
    main()
