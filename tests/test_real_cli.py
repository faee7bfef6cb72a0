"""The real claude, alone and through claude-mpm: real_cli_cases.py, real_cli_beside_cases.py and real_cli_answer_cases.py,
each case in a network namespace of its own, some at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import real_cli_answer_cases
import real_cli_beside_cases
import real_cli_cases
from real_cli import OLD, environment_for_cases, in_namespace, runs_with, trouble_installing, versions
from support import ROOT
from watching import SLOW

AT_ONCE = 3  # cases; each waits for claude, for its words and for silence, most of its time
Case = tuple[str, str, str]  # module, name, version
Ran = subprocess.CompletedProcess[str]

CASES = [
    pytest.param(module.__name__, name, version, id=f"{name}-{version}")
    for module in (real_cli_cases, real_cli_beside_cases, real_cli_answer_cases)
    for name, case in vars(module).items()
    if name.startswith("test_")
    for version in (*versions(), OLD)
    if runs_with(case, version)
]


def run_case(module: str, case: str, version: str) -> Ran:
    """Run one case to its end. Called in a thread of the pool."""
    node = f"{ROOT}/tests/{module}.py::{case}[{version}]"
    return subprocess.run(
        [*in_namespace(), sys.executable, "-m", "pytest", "-q", "-rs", "--no-header", "-p", "no:cacheprovider", node],
        env=environment_for_cases(os.environ) | {"CLAUDE_MPM_TEST_VERSIONS": version},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=5 * SLOW,
    )


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Each case is looked at in the process that it runs in; the children of this one are the cases that run beside."""


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[dict[Case, Future[Ran]]]:
    """The cases that were selected, AT_ONCE of them under way at a time, in the order of the tests."""
    in_namespace()
    chosen: list[Case] = [
        (str(given["module"]), str(given["case"]), str(given["version"]))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_real.__name__
        for given in [item.callspec.params]
    ]
    with ThreadPoolExecutor(AT_ONCE, "real-claude") as pool:
        yield {case: pool.submit(run_case, *case) for case in chosen if trouble_installing(case[2]) is None}
        pool.shutdown(cancel_futures=True)


@pytest.mark.real_cli
@pytest.mark.parametrize(("module", "case", "version"), CASES)
def test_real(module: str, case: str, version: str, running: dict[Case, Future[Ran]]) -> None:
    if trouble := trouble_installing(version):
        pytest.skip(trouble)
    ran = running[module, case, version].result()
    if ran.returncode:
        pytest.fail(f"{case}[{version}]:\n{ran.stdout[-20_000:]}", pytrace=False)
    if re.search(r"^1 skipped", ran.stdout.splitlines()[-1]):
        pytest.skip(ran.stdout)
