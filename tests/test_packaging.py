"""What `pip install .` puts on a machine: a wheel built from a copy of the checkout, installed without its dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import ROOT, TIMEOUT

from claude_mpm import __version__

SERVED = {"asyncapi.yaml": "docs/asyncapi.yaml"}
LIMIT = 6 * TIMEOUT


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel and an sdist, built with the setuptools of the tests and without asking an index."""
    source = tmp_path_factory.mktemp("source")
    for name in ("claude_mpm", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "CHANGELOG.md", "README.md", "monitor.html"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    code = "import setuptools.build_meta as b; print(b.build_sdist('out')); print(b.build_wheel('out'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return source / "out"


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps", "-q"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, timeout=LIMIT)
    return target


def test_wheel_has_the_page_and_the_api_description(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        for name, origin in SERVED.items():
            assert file.read(f"claude_mpm/data/{name}") == (ROOT / origin).read_bytes()
        for path in (ROOT / "claude_mpm" / "page").rglob("*.*"):
            assert file.read(path.relative_to(ROOT).as_posix()) == path.read_bytes()


def test_wheel_has_every_module_and_no_tests(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if name.endswith(".py")}
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "claude_mpm").rglob("*.py")}
    assert names == here


def test_sdist_can_build_the_wheel_again(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    assert inside >= {"setup.py", "pyproject.toml", "LICENSE", "CHANGELOG.md", "monitor.html", *SERVED.values()}


def test_installed_program_runs(installed: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-m", "claude_mpm", "--version"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"claude-mpm {__version__}\n")


def test_console_script_is_the_program(installed: Path) -> None:
    assert (installed / "bin" / "claude-mpm").is_file()
    (metadata,) = installed.glob("claude_mpm-*.dist-info/entry_points.txt")
    assert "claude-mpm = claude_mpm.__main__:run" in metadata.read_text()


def test_installed_server_finds_what_it_serves(installed: Path, tmp_path: Path) -> None:
    code = (
        "from claude_mpm.server.http import pages; import claude_mpm; print(claude_mpm.__file__);"
        "print(len(pages._find('docs/asyncapi.yaml', 'asyncapi.yaml').read_bytes()),"
        "len(pages._page_files(pages._PACKAGE / 'page')['index.html'].read_bytes()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    where, sizes = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed)
    expected = [ROOT / "docs/asyncapi.yaml", ROOT / "claude_mpm/page/index.html"]
    assert sizes.split() == [str(path.stat().st_size) for path in expected]
