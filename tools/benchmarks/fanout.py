"""One event to many clients, flat out: our server beside node's `ws` and the broadcast() of Python's `websockets`.

Each server is a process of its own, and so are the readers. A burst must fit into the log's memory, because nothing
may be lost by design; its length depends on the number of clients.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import psutil
from checkout import ROOT

from benchmarks.program import HERE, line_from, piped, script, tell
from benchmarks.table import Row, median

DELIVERIES = 200_000  # in one burst
MOST_EVENTS = 8000  # in one burst: the log keeps 10,000
PAD = 160  # bytes of padding, for frames of 270 to 340 bytes with each server
RUNS, RUNS_OF_MANY = 5, 3  # of each server in turns, medians are shown; fewer with 1,000 clients, which take long
AIMS = {1: 1.0, 10: 4.0, 50: 8.0, 200: 6.0, 1000: 3.0}  # by the number of clients: times `ws`
MANY = 1000  # clients
CHECKED = 50  # clients up to which the order of the events is checked; above, they are only counted
INSTALL_TIME = 120.0  # seconds for npm
OURS, WS, WEBSOCKETS = "claude-mpm", "ws", "websockets"


class Run(NamedTuple):
    """Deliveries a second, and the cores that the server and the readers used meanwhile."""

    speed: float
    server: float
    readers: float


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    servers = _servers()
    _allow_descriptors()
    for clients in AIMS:
        runs: dict[str, list[Run]] = {name: [] for name in servers}
        for _ in range((RUNS if clients < MANY else RUNS_OF_MANY) * repeat):
            for name, argv in servers.items():
                runs[name].append(_burst(argv, clients))
        yield from _rows(clients, {name: Run(*map(median, zip(*found, strict=True))) for name, found in runs.items()})


def _servers() -> dict[str, list[str]]:
    """The command line of each server that can be run here."""
    servers = {OURS: [sys.executable, str(HERE / "our_broadcast.py"), str(PAD)]}
    if (node := shutil.which("node")) and (package := _ws_package()):
        servers[WS] = [node, str(HERE / "ws_broadcast.js"), str(package), str(PAD)]
    if importlib.util.find_spec("websockets"):
        servers[WEBSOCKETS] = [sys.executable, str(HERE / "websockets_broadcast.py"), str(PAD)]
    return servers


def _ws_package() -> Path | None:
    """The directory of the npm package `ws`, installed on first use; None if npm cannot."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "claude-mpm-bench"
    package, npm = cache / "node_modules" / "ws", shutil.which("npm")
    if package.is_dir():
        return package
    if npm is None:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    argv = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache), "ws@8"]
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=INSTALL_TIME)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench.py: npm cannot install ws: {error}", file=sys.stderr)
        return None
    return package


def _allow_descriptors() -> None:
    """The servers inherit this: 1,000 clients need more descriptors than the usual soft limit of 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _burst(argv: list[str], clients: int) -> Run:
    """Connect everybody, send one burst, and wait until everybody has all of it."""
    events = min(MOST_EVENTS, DELIVERIES // clients)
    with piped(argv, {**os.environ, "PYTHONPATH": str(ROOT)}) as server, _readers(server, clients, events) as readers:
        line_from(readers)
        process = psutil.Process(server.pid)
        used, start = sum(process.cpu_times()[:2]), time.monotonic()
        tell(server, str(events))
        seen = json.loads(line_from(readers))
        used = sum(process.cpu_times()[:2]) - used
    if seen["wrong"] or seen["frames"] != events * clients:
        name = Path(argv[1]).name
        raise OSError(f"{name} delivered {seen['frames']:,} of {events * clients:,}, {seen['wrong']} out of order")
    spent = seen["at"] - start
    return Run(events * clients / spent, used / spent, seen["cpu"] / spent)


def _readers(server: Popen[str], clients: int, events: int) -> AbstractContextManager[Popen[str]]:
    kind = "ordered" if clients <= CHECKED else "readers"
    return script("clients.py", kind, clients, line_from(server), events)


def _rows(clients: int, found: dict[str, Run]) -> Iterator[Row]:
    ours, aim = found[OURS], AIMS[clients]
    figure = f"{ours.speed:,.0f}/s (cores: server {ours.server:.2f}, readers {ours.readers:.2f})"
    what = f"fan-out flat out, {clients:,} client{'s' if clients > 1 else ''}"
    for name, required in ((WS, aim), (WEBSOCKETS, None)):
        text = f"≥ {required:g} ×" if required else ""
        if name not in found:
            yield Row(what, figure, f"{name} is not installed", "", text)
            continue
        beside = found[name]
        ratio = ours.speed / beside.speed
        shown = f"{name} {beside.speed:,.0f}/s ({beside.server:.2f}, {beside.readers:.2f})"
        yield Row(what, figure, shown, f"{ratio:.1f} ×", text, None if required is None else ratio >= required)
