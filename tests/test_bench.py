"""The tools that measure: what they print and refuse, that they leave nothing behind, and how they judge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from redis_server import needs_redis
from support import ROOT, TIMEOUT, wait_until

sys.path.append(str(ROOT / "tools"))

from benchmarks import fanout, fleet, program, soak_verdict
from benchmarks.charts import Chart, svg
from benchmarks.evidence import FAILED, PASSED, Evidence, Outcome, document, outcomes
from benchmarks.soak_run import Result, Sample
from benchmarks.table import Row, as_json, as_markdown, as_text, median, percentile
from benchmarks.targets import TARGETS, Target

BENCH, SOAK, RELIABILITY = (ROOT / "tools" / f"{name}.py" for name in ("bench", "soak", "reliability"))


def run(tool: Path, *args: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(tool), *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=6 * TIMEOUT, cwd="/", check=False)


# --- the command lines -----------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [BENCH, SOAK, RELIABILITY])
def test_help_says_what_there_is_and_the_exit_codes(tool: Path) -> None:
    done = run(tool, "--help")
    assert done.returncode == 0
    assert "exit code" in done.stdout


@pytest.mark.parametrize(
    ("tool", "args", "said"),
    [
        (BENCH, ["speed"], "there is no measurement 'speed'"),
        (BENCH, ["--repeat", "0"], "must be at least 1"),
        (BENCH, ["--write", "/nonexistent.md"], "has no lines"),
        (BENCH, ["--write", ROOT / "docs" / "performance.md", "hook"], "needs all measurements"),
        (SOAK, ["--minutes", "0"], "must be from 0.5"),
    ],
)
def test_a_usage_error_is_exit_code_2_and_says_what_is_wrong(tool: Path, args: list[object], said: str) -> None:
    done = run(tool, *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_report_is_one_line(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text("not XML")
    done = run(RELIABILITY, "--junit", report)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_is_exit_code_130_without_a_traceback_or_an_orphan() -> None:
    with subprocess.Popen(
        [sys.executable, str(BENCH), "memory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        start_new_session=True,
    ) as bench:
        process = psutil.Process(bench.pid)
        started = wait_until(lambda: process.children(recursive=True), "the program")
        os.killpg(bench.pid, signal.SIGINT)  # as a terminal sends it
        _, errors = bench.communicate(timeout=2 * TIMEOUT)
    assert bench.returncode == 130
    assert "Traceback" not in errors
    wait_until(lambda: not any(child.is_running() for child in started), "the end of what was started")


# --- measurements ----------------------------------------------------------------------------------


def test_the_bench_measures_and_every_line_arrives() -> None:
    done = run(BENCH, "--seconds", "1", "transcript")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("10/10") == 2


def test_the_bench_loses_nothing_on_the_way_to_ten_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "MOST_EVENTS", 500)
    server = [sys.executable, str(ROOT / "tools" / "benchmarks" / "our_broadcast.py"), str(fanout.PAD)]
    assert fanout._burst(server, 10).speed > 0  # OSError, if anything is lost or out of order


@needs_redis
def test_a_fleet_through_a_redis_and_a_hub_loses_nothing() -> None:
    row = fleet.fleet(20, 0.4)
    assert row.figure.startswith("40 of 40;")


def test_the_bench_goes_on_without_what_it_compares_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fanout.OURS in fanout._servers()
    assert fanout.WS not in fanout._servers()
    row = next(iter(fanout._rows(10, {fanout.OURS: fanout.Run(100.0, 0.5, 0.5)})))
    assert row.beside == "ws is not installed"
    assert row.met is None


FRONT = """
import os, signal, socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    signal.pause()
listening.close()
signal.pause()
"""


def test_the_monitor_is_whoever_listens_on_the_port() -> None:
    with subprocess.Popen([sys.executable, "-c", FRONT], stdout=subprocess.PIPE, text=True) as front:
        assert front.stdout is not None
        port, monitor = int(front.stdout.readline()), int(front.stdout.readline())
        try:
            assert program.monitor_of(front.pid, port) == monitor
            with pytest.raises(LookupError):
                program.monitor_of(front.pid, 1)
        finally:
            os.kill(monitor, signal.SIGKILL)
            front.kill()


# --- the table -------------------------------------------------------------------------------------

ROWS = [
    Row("start", "80 ms", "alone 3 ms", "+77 ms", "≤ +90 ms", True),
    Row("a|b", "1 ms", met=False),
    Row("plain", "5 ms"),
]


def test_a_table_is_aligned_text_markdown_or_objects() -> None:
    assert as_text(ROWS).splitlines()[1] == "start  80 ms       alone 3 ms  +77 ms    ≤ +90 ms  met"
    head, line, *rows = as_markdown(ROWS).splitlines()
    assert (head.count("|"), line) == (7, "| --- | --- | --- | --- | --- | --- |")
    assert rows[0] == "| start | 80 ms | alone 3 ms | +77 ms | ≤ +90 ms | met |"
    assert rows[1].startswith("| a\\|b |")
    assert [row["met"] for row in as_json("start", ROWS)] == [True, False, None]


def test_percentiles_of_few_and_of_no_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0, 2.0], 1.0) == 2.0
    assert percentile([], 0.99) != percentile([], 0.99)
    assert median([1.0, 2.0, 9.0]) == 2.0


def test_the_table_is_written_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    import bench

    path = tmp_path / "performance.md"
    path.write_text(f"before\n{bench.BEGIN}old\n{bench.END}after\n", encoding="utf-8")
    bench._write(path, "| new |")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{bench.BEGIN}")
    assert text.endswith(f"| new |\n\n{bench.END}after\n")
    assert "old" not in text


def test_the_document_has_the_markers() -> None:
    import bench

    assert bench._marked(ROOT / "docs" / "performance.md")


# --- the soak's verdict ----------------------------------------------------------------------------


def soaked(minutes: float, memory_slope: float = 0.0, fd_slope: float = 0.0, rest_threads: int = 10) -> Result:
    """A run with a sample each minute; slopes are per minute."""
    count = int(minutes) + 1
    samples = [Sample(m, 40 + memory_slope * m, 12.0, round(30 + fd_slope * m), 30) for m in range(count)]
    return Result(minutes, Sample(0, 40, 12, 20, 10), samples, Sample(minutes, 40, 12, 20, rest_threads))


def failing(result: Result) -> list[str]:
    return [check.what for check in soak_verdict.judge(result) if not check.holds]


@pytest.mark.parametrize("minutes", [2.0, 30.0])
def test_a_flat_run_holds(minutes: float) -> None:
    assert failing(soaked(minutes)) == []


def test_what_rises_or_is_not_given_back_does_not_hold() -> None:
    assert failing(soaked(30, memory_slope=0.2)) == ["rise of memory in the second half"]
    assert failing(soaked(30, memory_slope=1)) == [
        "memory of the monitor at the end",
        "rise of memory in the second half",
    ]
    assert failing(soaked(30, fd_slope=1)) == ["rise of descriptors in the second half"]
    assert failing(soaked(30, rest_threads=13)) == ["threads once all clients have left"]


def test_the_drawing_is_xml_with_a_chart_for_each_thing() -> None:
    root = ElementTree.fromstring(soak_verdict.draw(soaked(30)))
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == 4


def test_a_chart_of_nothing_but_zeros_is_drawn() -> None:
    ElementTree.fromstring(svg([0.0], [Chart("a < b", {"x": [0.0]})], "c & d"))


# --- docs/reliability.md ---------------------------------------------------------------------------

TARGET = Target(1, "situation", "must hold", tests=("test_a.py::test_x",))
MEASURED = Target(2, "situation", "must hold", bench="start")


@pytest.mark.parametrize(
    ("results", "said", "failed"),
    [
        ([PASSED], "shown: 1 test passed in 0.0 s", False),
        ([PASSED, PASSED], "shown: 2 tests passed, the slowest in 1.0 s", False),
        ([PASSED, FAILED], "FAILED: 1 of 2 tests", True),
        (["needs a browser"], "not shown: skipped, needs a browser", False),
        ([], "not shown: 1 of 1 tests did not run", False),
    ],
)
def test_a_row_says_what_its_tests_gave(results: Sequence[str], said: str, failed: bool) -> None:
    ran = [Outcome(result, float(number)) for number, result in enumerate(results)]
    found = Evidence({"test_a.py::test_x": ran} if ran else {}, [], None).of(TARGET)
    assert (found.result, found.failed) == (said, failed)
    assert found.again == "`bin/test tests/test_a.py::test_x`"


def test_a_row_without_evidence_is_not_shown_and_is_no_failure() -> None:
    found = Evidence({}, [], None).of(Target(7, "situation", "must hold", gap="no tool"))
    assert (found.result, found.failed) == ("not shown: no tool", False)
    assert Evidence({}, [], None).of(MEASURED).result == "not shown: not measured"


def test_what_a_target_leaves_open_is_said_beside_what_is_shown() -> None:
    target = TARGET._replace(gap="the rest")
    found = Evidence({"test_a.py::test_x": [Outcome(PASSED, 1.0)]}, [], None).of(target)
    assert found.result == "shown: 1 test passed in 1.0 s<br>not shown: the rest"


def test_a_figure_that_missed_its_aim_fails_its_row() -> None:
    met = {"measurement": "start", "what": "start", "figure": "80 ms", "compared": "+77 ms", "met": True}
    missed = {**met, "what": "end", "compared": "+30 ms", "met": False}
    assert Evidence({}, [met], None).of(MEASURED).result == "shown:<br>start: +77 ms"
    assert Evidence({}, [met, missed], None).of(MEASURED).result == "FAILED: 1 of 2 figures<br>end: +30 ms"


def test_the_soak_s_result_is_a_row() -> None:
    target = Target(14, "situation", "must hold", soak=True)
    good, bad, short = soaked(30), soaked(30, fd_slope=1), soaked(2)
    shown, failed, held = (
        Evidence({}, [], json.loads(json.dumps(soak_verdict.as_json(each, soak_verdict.judge(each))))).of(target)
        for each in (good, bad, short)
    )
    assert shown.result.startswith("shown in 30 minutes:")
    assert (held.result, held.failed) == ("not shown: it held, but for 2 minutes only", False)
    assert "(soak.svg)" in document([target], Evidence({}, [], soak_verdict.as_json(good, [])))
    assert "(soak.svg)" not in document([target], Evidence({}, [], None))
    assert failed.result == "FAILED in 30 minutes:<br>rise of descriptors in the second half: +15.0"


def test_outcomes_are_read_from_pytest_s_own_report(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', [0, 1])\ndef test_x(n):\n    assert n\n"
        "def test_y():\n    pytest.skip('no tool')\n"
    )
    report = tmp_path / "report.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", str(report), str(tmp_path)]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=6 * TIMEOUT, env=dict(os.environ))
    found = {test: [outcome.result for outcome in ran] for test, ran in outcomes(report).items()}
    assert found == {"test_a.py::test_x": [FAILED, PASSED], "test_a.py::test_y": ["no tool"]}


def test_every_target_has_a_row_and_every_test_it_names_exists() -> None:
    assert [target.number for target in TARGETS] == list(range(1, 33))
    text = document(TARGETS, Evidence({}, [], None))
    assert text.count("\n| ") == len(TARGETS) + 1
    missing = []
    for test in (test for target in TARGETS for test in target.tests):
        file, _, function = test.partition("::")
        path = ROOT / "tests" / file
        if not path.is_file() or f"def {function}(" not in path.read_text(encoding="utf-8"):
            missing.append(test)
    assert missing == []
