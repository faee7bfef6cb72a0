"""Sessions that are over: 2,000 of them, 2 GB, listed and searched; and one of 100 MB, opened at its end.

Beside them: reading the same bytes from the page cache, which no search can beat.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.table import Row

SESSIONS = 2_000
SESSION_BYTES = 1_000_000
LARGE_BYTES = 100_000_000
NEEDLE = "a text that is in one session only"
RUNS = 4  # the first of which brings the files into the page cache, and is not counted

# Runs in a process of its own, so that what it says of its memory is about this alone.
OPEN = """
import json, re, sys, time
from pathlib import Path
from claude_mpm.archive.past import Past

def peak():
    return int(re.search("VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) * 1024

past = Past(Path(sys.argv[1]), Path(sys.argv[1]) / "recordings", dict)
base = peak()
start, busy = time.perf_counter(), time.process_time()
events, more = past.events(sys.argv[2], since=None, before=None, limit=1000, max_bytes=4 << 20)
taken, busy = time.perf_counter() - start, time.process_time() - busy
assert more and b'"session.end"' in events[-1], "the end is missing"
print(json.dumps([taken, busy, peak() - base]))
"""
LIST = """
import json, sys, time
from pathlib import Path
from claude_mpm.archive import catalog
from claude_mpm.archive.merge import AgentPaths
from claude_mpm.archive.past import row_of
from claude_mpm.archive.search import Needle
needle = Needle(sys.argv[2]) if len(sys.argv) > 2 else None
start, busy, agents = time.perf_counter(), time.process_time(), AgentPaths()
rows = sum(row_of(one, None, needle, agents) is not None for one in catalog.transcripts(Path(sys.argv[1])))
print(json.dumps([time.perf_counter() - start, time.process_time() - busy, rows]))
"""
READ = """
import json, sys, time
from pathlib import Path
start, buffer = time.perf_counter(), bytearray(1 << 20)
for path in Path(sys.argv[1]).rglob("*.jsonl"):
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
print(json.dumps([time.perf_counter() - start]))
"""


def measure(repeat: int, seconds: float) -> Iterator[Row]:
    with _home() as home:
        _write_sessions(home)
        beside = f"reading all of it {_best(READ, repeat, home)[0]:.2f} s"
        listed = _best(LIST, repeat, home)
        yield Row("list 2,000 sessions of 2 GB", _wall(listed), beside, _busy(listed), "≤ 1 s", listed[0] <= 1)
        searched = _best(LIST, repeat, home, NEEDLE)
        assert searched[2] == 1, f"the search found {searched[2]} sessions"
        yield Row("search them; one has it", _wall(searched), beside, _busy(searched), "≤ 2 s", searched[0] <= 2)
    with _home() as home:
        opened = _best(OPEN, repeat, home, _write_large(home))
        grown = opened[2] / 2**20
        yield Row("open a session of 100 MB at its end", _wall(opened), "", _busy(opened), "≤ 1 s", opened[0] <= 1)
        yield Row("memory for that", f"{grown:.0f} MiB more", "", "", "≤ 64 MiB", grown <= 64)


def _best(script: str, repeat: int, *words: object) -> list[float]:
    """What the quickest run printed. What else the machine does can only make a run slower."""
    return min([_python(script, *words) for _ in range(RUNS * repeat)][1:])


def _wall(run: list[float]) -> str:
    return f"{run[0]:.2f} s"


def _busy(run: list[float]) -> str:
    return f"{run[1]:.2f} s of processor time"


@contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="claude-mpm-bench-") as home:
        (Path(home) / "projects").mkdir()
        yield Path(home)


def _write_sessions(home: Path) -> None:
    body = b"".join(_turn(number) for number in range(SESSION_BYTES // len(_turn(0)) + 1))
    for number in range(SESSIONS):
        project = home / "projects" / f"-work-project-{number % 40}"
        project.mkdir(exist_ok=True)
        needle = _prompt(NEEDLE) if number == SESSIONS // 2 else b""
        (project / f"{_session(number)}.jsonl").write_bytes(_prompt(f"Do task {number}") + body + needle + _turn(0))


def _write_large(home: Path) -> str:
    project = home / "projects" / "-work"
    project.mkdir()
    with open(project / f"{_session(0)}.jsonl", "wb") as file:
        file.write(_prompt("Do it all"))
        number = 0
        while file.tell() < LARGE_BYTES:
            turns = b"".join(_turn(number + more) for more in range(100))
            file.write(turns.replace(b'"sessionId":"s"', b'"sessionId":"%b"' % _session(0).encode()))
            number += 100
    return _session(0)


def _session(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def _prompt(words: str) -> bytes:
    return _line(type="user", message={"role": "user", "content": words})


def _turn(number: int) -> bytes:
    """One turn as 2.1 writes it: a tool call, its result, the API request's own records, and an answer."""
    call, at = f"toolu_{number:06}", _at(number)
    usage = {"input_tokens": 5, "cache_read_input_tokens": 20_000, "output_tokens": 300}
    used = {"id": f"msg_{number}", "role": "assistant", "model": "claude-opus-5-5", "usage": usage}
    tool = {"type": "tool_use", "id": call, "name": "Read", "input": {"file_path": f"/work/src/module_{number}.py"}}
    result = {"type": "tool_result", "tool_use_id": call, "content": _CODE * 4}
    said = {"type": "text", "text": f"Module {number} Reads The Configuration And Returns What It Found."}
    return b"".join(
        (
            _line(type="assistant", timestamp=at, message=used | {"content": [tool]}),
            _line(
                type="user",
                timestamp=at,
                message={"role": "user", "content": [result]},
                toolUseResult={"file": _CODE * 4},
            ),
            _line(type="api-request-blob", hash=f"{number:064}", body=_CODE * 40),
            _line(type="assistant", timestamp=at, message=used | {"content": [said], "stop_reason": "end_turn"}),
        )
    )


_CODE = "".join(
    f"    if Value[{n}] is None:  # A Comment\n        return self._state.get('key_{n}', [])\n" for n in range(12)
)


def _at(number: int) -> str:
    seconds = number % 86_400
    return f"2026-11-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z"


def _line(**fields: object) -> bytes:
    common = {"parentUuid": None, "isSidechain": False, "cwd": "/work", "sessionId": "s", "version": "2.1.330"}
    record = common | {"timestamp": "2026-11-01T00:00:00.000Z"} | fields | {"uuid": "0" * 36}
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _python(script: str, *words: object) -> list[float]:
    """What the script prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found
