"""The page's pure modules under node's own test runner."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import ROOT, TIMEOUT

FILES = sorted((ROOT / "tests/page").glob("*.test.mjs"))
OLDEST_NODE = 20  # the first release whose test runner is stable


@pytest.fixture(scope="session")
def node() -> str:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not on PATH: apt-get install nodejs")
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
    version = re.match(r"v(\d+)\.", answer)
    if version is None or int(version[1]) < OLDEST_NODE:
        pytest.skip(f"node {OLDEST_NODE} or newer is needed, this is {answer.strip()}")
    return path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_module(node: str, file: Path) -> None:
    done = subprocess.run([node, "--test", str(file)], capture_output=True, text=True, timeout=TIMEOUT * 4)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("file", sorted((ROOT / "claude_mpm/page").rglob("*.js")), ids=lambda file: file.name)
def test_no_module_makes_markup_or_code_of_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\b", text)
