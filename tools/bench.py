#!/usr/bin/env python3
"""How fast claude-mpm is, and what it costs. Every figure stands beside something plain that ran in the same minute."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from checkout import ROOT, use_checkout

if TYPE_CHECKING:
    from benchmarks.table import Row

EPILOG = """\
measurements (all of them if none is named):
  terminal    32 MiB shown by Claude, with 0 and 10 clients; beside `script` and `asciinema rec`
  keystroke   from a key to its echo, quiet and under load; beside the same without claude-mpm
  start       until Claude runs, and after its end; beside Claude alone
  fanout      one event to 1 ... 1,000 clients, flat out; beside node's `ws` and Python's `websockets`
  steady      200 events/s of 1 kB to 50 clients: nothing lost, the delay; and the same with 5 stalled clients
  memory      front, monitor and each idle client, and idle processor time; beside a Python that sleeps
  output      from a line Claude shows to its receipt by 10 clients, 500 lines a second
  transcript  from a line Claude writes to its receipt; beside `tail -f`
  archive     2,000 sessions that are over (2 GB) listed and searched; one of 100 MB opened at its end
  status      `claude-mpm status` beside 20 instances; beside `python -c pass`
  ssh         how much later an event comes through a hub's ssh source; needs sshd
  streams     events to a Redis and from it: the cost of each; beside plain redis-py
  fleet       200 and 2,000 sessions through a Redis and a hub to a client: nothing lost, the delay, the cores
  hook        one hook as Claude runs it; beside `sh -c 'cat >/dev/null'`

Ratios and differences mean something on any machine, the other figures only on yours. On a busy machine take
--repeat 3. `ws` is installed from the npm registry into a cache directory on first use.

exit code: 0 measured; 2 usage, or a measurement could not be made; 130 interrupted
"""
MEASUREMENTS = (
    "terminal",
    "keystroke",
    "start",
    "fanout",
    "steady",
    "memory",
    "output",
    "transcript",
    "archive",
    "status",
    "ssh",
    "streams",
    "fleet",
    "hook",
)
BEGIN, END = "<!-- begin: printed by tools/bench.py -->\n", "<!-- end: printed by tools/bench.py -->\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(argv)
    for name in chosen.names:
        if name not in MEASUREMENTS:
            parser.error(f"there is no measurement {name!r}; choose from {', '.join(MEASUREMENTS)}")
    if chosen.repeat < 1 or chosen.seconds < 1:
        parser.error("--repeat and --seconds must be at least 1")
    if chosen.write is not None and chosen.names:
        parser.error("--write needs all measurements, so name none")
    if chosen.write is not None and not _marked(chosen.write):
        parser.error(f"{chosen.write} has no lines {BEGIN.strip()!r} and {END.strip()!r} to write between")
    try:
        return _measure(chosen)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="N times as many runs (default 1)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="how long a steady load lasts (default 5)"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE, for reliability.py")
    return parser


def _measure(chosen: argparse.Namespace) -> int:
    import psutil
    from benchmarks.table import Row, as_json, as_markdown, as_text

    rows: list[Row] = []
    records, failures = [], 0
    for name in chosen.names or MEASUREMENTS:
        if sys.stderr.isatty():
            print(f"bench.py: measuring {name} ...", file=sys.stderr, flush=True)
        try:
            found = list(_measurement(name)(chosen.repeat, chosen.seconds))
        except (ImportError, OSError, EOFError, LookupError, subprocess.SubprocessError, psutil.Error) as error:
            print(f"bench.py: {name} could not be measured: {error}", file=sys.stderr)
            failures += 1
            rows.append(Row(name, f"not measured: {error}"))
            continue
        rows += found
        records += as_json(name, found)
    print(as_markdown(rows) if chosen.markdown else as_text(rows))
    if chosen.json:
        chosen.json.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if chosen.write:
        _write(chosen.write, as_markdown(rows))
    return 2 if failures else 0


def _measurement(name: str) -> Callable[[int, float], Iterator[Row]]:
    """The function of a measurement. Imported late, so that --help needs no library."""
    measure: Callable[[int, float], Iterator[Row]] = importlib.import_module(f"benchmarks.{name}").measure
    return measure


def _marked(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return False
    return 0 <= text.find(BEGIN) < text.find(END)


def _write(path: Path, table: str) -> None:
    """Replace what stands between the markers."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{machine()}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def machine() -> str:
    """One line about this machine and the day."""
    python, system = platform.python_version(), f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"Measured on {time.strftime('%Y-%m-%d')}: Python {python}, {system}, {os.cpu_count()} cores."


if __name__ == "__main__":
    use_checkout()
    sys.path.insert(1, str(ROOT / "tools"))
    sys.exit(main())
