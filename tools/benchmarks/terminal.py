"""32 MiB shown by Claude: how long until the last byte is on the user's terminal, beside the recorders people use."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from benchmarks.program import SUBPROCESS, Terminal, World, line_from, on_terminal, port_in, script, world
from benchmarks.stand_ins import SHOW_FILE
from benchmarks.table import Row, median

SIZE = 32 * 1024 * 1024  # bytes
RUNS = 5  # of each way; the median is shown
SCRIPT_AIM, ASCIINEMA_AIM = 1.15, 0.6
CLIENTS = 10
LINE = "\x1b[32m" + "claude shows a line of text, 日本 and ┌─┐ " * 2 + "\x1b[0m\n"


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    """One row for each way; the ways take turns, so that all of them see the same machine."""
    with world(SHOW_FILE) as where:
        line = LINE.encode()
        (where.home / "big").write_bytes(line * (SIZE // len(line)))
        ways = _ways(where)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(RUNS * repeat + 1):
            for way, (argv, clients) in ways.items():
                spent = _show(where, argv, clients)
                if turn:  # the first turn warms the page cache and the byte code
                    times[way].append(spent)
    yield from _rows({way: median(found) for way, found in times.items()})


def _ways(where: World) -> dict[str, tuple[list[str], int]]:
    """The command line of each way, and how many clients watch it."""
    claude, ours = str(where.claude), where.program(*SUBPROCESS)
    ways = {"bare": ([claude], 0), "0 clients": (ours, 0), f"{CLIENTS} clients": (ours, CLIENTS)}
    if path := shutil.which("script"):
        ways["script"] = ([path, "-qc", claude, str(where.home / "typescript")], 0)
    if path := shutil.which("asciinema"):
        recording = str(where.home / "recording.cast")
        ways["asciinema"] = ([path, "rec", "-q", "--overwrite", "-c", claude, recording], 0)
    return ways


def _show(where: World, argv: list[str], clients: int) -> float:
    """Seconds from Enter to the last byte on the terminal."""
    with on_terminal(argv, where.env, where.home) as terminal:
        seen, _ = terminal.read_until(b"READY")
        if not clients:
            return _timed(terminal)
        with script("clients.py", "readers", clients, port_in(seen)) as readers:
            line_from(readers)
            return _timed(terminal)


def _timed(terminal: Terminal) -> float:
    start = time.monotonic()
    terminal.write(b"\n")
    terminal.read_until(b"THE_END")
    return time.monotonic() - start


def _rows(times: dict[str, float]) -> Iterator[Row]:
    yield Row("32 MiB shown, no wrapper", "", f"bare terminal {times['bare']:.2f} s")
    for beside, aim in (("script", SCRIPT_AIM), ("asciinema", ASCIINEMA_AIM)):
        for way in ("0 clients", f"{CLIENTS} clients"):
            what, figure = f"32 MiB shown, {way}", f"{times[way]:.2f} s"
            if beside not in times:
                yield Row(what, figure, f"{beside} is not installed", "", f"≤ {aim:g} ×")
                continue
            ratio = times[way] / times[beside]
            yield Row(what, figure, f"{beside} {times[beside]:.2f} s", f"{ratio:.2f} ×", f"≤ {aim:g} ×", ratio <= aim)
