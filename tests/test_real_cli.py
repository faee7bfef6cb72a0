"""The real claude, alone and through claude-mpm: real_cli_cases.py and real_cli_beside_cases.py, each case in a network
namespace of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import real_cli_answer_cases
import real_cli_beside_cases
import real_cli_cases
from real_cli import OLD, environment_for_cases, in_namespace, install, runs_with, versions
from support import ROOT
from watching import SLOW

CASES = [
    pytest.param(module.__name__, name, version, id=f"{name}-{version}")
    for module in (real_cli_cases, real_cli_beside_cases, real_cli_answer_cases)
    for name, case in vars(module).items()
    if name.startswith("test_")
    for version in (*versions(), OLD)
    if runs_with(case, version)
]


@pytest.mark.real_cli
@pytest.mark.parametrize(("module", "case", "version"), CASES)
def test_real(module: str, case: str, version: str) -> None:
    install(version)
    node = f"{ROOT}/tests/{module}.py::{case}[{version}]"
    ran = subprocess.run(
        [*in_namespace(), sys.executable, "-m", "pytest", "-q", "-rs", "--no-header", "-p", "no:cacheprovider", node],
        env=environment_for_cases(os.environ) | {"CLAUDE_MPM_TEST_VERSIONS": version},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=5 * SLOW,
    )
    if ran.returncode:
        pytest.fail(f"{case}[{version}]:\n{ran.stdout[-20_000:]}", pytrace=False)
    if re.search(r"^1 skipped", ran.stdout.splitlines()[-1]):
        pytest.skip(ran.stdout)
