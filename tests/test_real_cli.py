"""The real claude, alone and through claude-mpm: tests/real_cli_cases.py, each case in a network namespace of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import real_cli_cases
from real_cli import environment_for_cases, in_namespace, install, versions
from support import ROOT
from watching import SLOW

CASES = [name for name in vars(real_cli_cases) if name.startswith("test_")]


@pytest.mark.real_cli
@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("case", CASES)
def test_real(case: str, version: str) -> None:
    install(version)
    node = f"{ROOT}/tests/real_cli_cases.py::{case}[{version}]"
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
