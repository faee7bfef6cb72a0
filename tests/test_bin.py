"""bin/claude-mpm and bin/test in a fresh checkout: a small one, whose one requirement is a wheel made here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from support import ROOT, TIMEOUT

SETUP = """\
setup(
    install_requires=["needed=={version}"],
    extras_require={{"screen": ["no-such-picture"], "test": ["tested==1"]}},
)
"""
PROGRAM = """\
import os, sys
import needed
print(sys.argv[1:], os.getcwd(), needed.VERSION)
sys.exit(7)
"""
LIMIT = 6 * TIMEOUT  # making an environment takes seconds


def wheel(directory: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


class Checkout:
    def __init__(self, root: Path, wheels: Path) -> None:
        self.root, self.wheels = root, wheels
        self.venv = root / ".venv"
        shutil.copytree(ROOT / "bin", root / "bin")
        (root / "claude_mpm").mkdir()
        (root / "claude_mpm" / "__init__.py").touch()
        (root / "claude_mpm" / "__main__.py").write_text(PROGRAM)
        self.require("1")

    def require(self, version: str) -> None:
        (self.root / "setup.py").write_text(SETUP.format(version=version))

    def environment(self) -> dict[str, str]:
        """Nothing of the developer's; pip finds our wheels and nothing else."""
        path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
        kept = {"PATH": path, "HOME": os.environ["HOME"]}
        return kept | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}

    def start(
        self, *args: str, command: Path | None = None, cwd: Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [command or self.root / "bin" / "claude-mpm", *args],
            cwd=cwd, env=self.environment() | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(
        self, *args: str, command: Path | None = None, cwd: Path, env: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        process = self.start(*args, command=command, cwd=cwd, env=env)
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    for name, version in (("needed", "1"), ("needed", "2"), ("tested", "1")):
        wheel(directory, name, version)
    return directory


@pytest.fixture
def checkout(tmp_path: Path, wheels: Path) -> Checkout:
    return Checkout(tmp_path / "check out", wheels)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A project whose files have the names of modules: none of them may be imported."""
    directory = tmp_path / "a project"
    directory.mkdir()
    for name in ("claude_mpm.py", "needed.py", "os.py", "types.py"):
        (directory / name).write_text("raise SystemExit('the wrong module')\n")
    return directory


def test_two_first_runs_at_once_make_one_environment_and_later_ones_only_start_the_program(
    checkout: Checkout, elsewhere: Path, tmp_path: Path
) -> None:
    expected = f"['--x', 'a b', ''] {elsewhere} 1\n"
    both = [checkout.start("--x", "a b", "", cwd=elsewhere) for _ in range(2)]
    done = [process.communicate(timeout=LIMIT) for process in both]
    assert [process.returncode for process in both] == [7, 7]
    assert [out for out, _ in done] == [expected] * 2
    (making,) = (err for _, err in done if "first start: making" in err)
    assert "without the terminal picture" in making  # absent is fine

    code, out, err = checkout.run("--x", "a b", "", cwd=elsewhere)
    assert (code, out, err) == (7, expected, "")

    links = tmp_path / "links"
    links.mkdir()
    (links / "one").symlink_to(os.path.relpath(checkout.root / "bin" / "claude-mpm", links))
    (links / "two").symlink_to(links / "one")
    assert checkout.run("--x", "a b", "", command=links / "two", cwd=elsewhere) == (7, expected, "")

    hostile = {"PYTHONPATH": str(elsewhere), "PYTHONHOME": "/nowhere", "CDPATH": "/"}
    assert checkout.run("--x", "a b", "", cwd=elsewhere, env=hostile) == (7, expected, "")
    relative = Path("..") / "check out" / "bin" / "claude-mpm"
    assert checkout.run("--x", "a b", "", command=relative, cwd=elsewhere) == (7, expected, "")

    # another requirement: renewed, once
    checkout.require("2")
    code, out, err = checkout.run(cwd=elsewhere)
    assert (code, out) == (7, f"[] {elsewhere} 2\n")
    assert "renewing" in err
    assert checkout.run(cwd=elsewhere)[2] == ""

    # a requirement that cannot be had: said, and nothing is broken once it is taken back
    checkout.require("3")
    code, out, err = checkout.run(cwd=elsewhere)
    assert (code, out) == (1, "")
    assert "pip could not install what is needed" in err
    checkout.require("2")
    assert checkout.run(cwd=elsewhere)[:2] == (7, f"[] {elsewhere} 2\n")

    # interrupted halfway, or with its python gone: begun anew
    (checkout.venv / "unfinished").touch()
    (checkout.venv / "made-for-run").unlink()
    (checkout.venv / "bin" / "python").unlink()
    code, out, err = checkout.run(cwd=elsewhere)
    assert (code, out) == (7, f"[] {elsewhere} 2\n")
    assert "first start: making" in err

    # moved to another place
    shutil.move(checkout.root, tmp_path / "moved")
    command = tmp_path / "moved" / "bin" / "claude-mpm"
    assert checkout.run(command=command, cwd=elsewhere) == (7, f"[] {elsewhere} 2\n", "")


def test_killed_first_run_is_begun_anew(checkout: Checkout, elsewhere: Path) -> None:
    process = checkout.start(cwd=elsewhere)
    deadline = time.monotonic() + LIMIT
    while not (checkout.venv / "unfinished").exists():
        assert time.monotonic() < deadline
    process.kill()
    process.communicate(timeout=LIMIT)
    code, out, _ = checkout.run(cwd=elsewhere)
    assert (code, out) == (7, f"[] {elsewhere} 1\n")


def fake_python(directory: Path, script: str) -> str:
    """A PATH on which every python is `script`."""
    directory.mkdir()
    for name in ("python3", *(f"python3.{minor}" for minor in range(10, 15))):
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def test_old_python_is_said_in_one_line(checkout: Checkout, elsewhere: Path, tmp_path: Path) -> None:
    path = fake_python(tmp_path / "fake", 'case $1 in --version) echo "Python 3.7.3" ;; *) exit 1 ;; esac')
    code, out, err = checkout.run(cwd=elsewhere, env={"PATH": path})
    assert (code, out) == (1, "")
    assert err == "claude-mpm needs Python 3.10 or newer as python3; found: Python 3.7.3\n"


def test_missing_venv_module_is_said_with_the_command_that_helps(
    checkout: Checkout, elsewhere: Path, tmp_path: Path
) -> None:
    lacking = "import sys; sys.modules['ensurepip'] = None; import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    path = fake_python(
        tmp_path / "fake",
        f'case $2 in -c) exit 0 ;; esac\nshift\nexec "{sys.executable}" -I -c "{lacking}" "$@"',
    )
    code, out, err = checkout.run(cwd=elsewhere, env={"PATH": path})
    assert (code, out) == (1, "")
    assert "sudo apt install python3-venv" in err
    assert "Traceback" not in err
    assert not checkout.venv.exists()


def say_how_called(checkout: Checkout, failing: str = "") -> None:
    """Put modules in the checkout that print how they were called instead of checking anything."""
    for name in ("ruff", "mypy", "pytest"):
        code = f"import sys, tested\nprint({name!r}, *sys.argv[1:])\nsys.exit({int(name == failing)})\n"
        (checkout.root / f"{name}.py").write_text(code)


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (["tests/test_a.py"], ["ruff check tests/test_a.py", "ruff format --check tests/test_a.py"]),
        (["tests/test_a.py::test_x[1-2]", "-x"], ["ruff check tests/test_a.py", "ruff format --check tests/test_a.py"]),
        (["-k", "b", "tests"], ["ruff check tests", "ruff format --check tests"]),
        (["tests/a b.py"], ["ruff check tests/a b.py", "ruff format --check tests/a b.py"]),
        (["tests/notes.txt"], []),
        (["-k", "tests"], ["ruff check", "ruff format --check", "mypy"]),
        (["-x"], ["ruff check", "ruff format --check", "mypy"]),
    ],
)
def test_bin_test_checks_only_the_files_it_is_given(checkout: Checkout, arguments: list[str], calls: list[str]) -> None:
    (checkout.root / "tests").mkdir()
    for name in ("test_a.py", "a b.py", "notes.txt"):
        (checkout.root / "tests" / name).touch()
    say_how_called(checkout)
    environment = checkout.root / ".venv" / "bin"
    environment.mkdir(parents=True)
    # in place of the one bin/test would make: -I would not find our modules
    (environment / "python").write_text(
        f'#!/bin/sh\nshift 2\nmodule=$1\nshift\nexec "{sys.executable}" "$module.py" "$@"\n'
    )
    (environment / "python").chmod(0o755)
    (checkout.root / "tested.py").touch()
    shutil.copy(checkout.root / "setup.py", checkout.venv / "made-for-test")
    code, out, err = checkout.run(*arguments, command=checkout.root / "bin" / "test", cwd=checkout.root)
    assert code == 0, err
    assert out.splitlines() == [*calls, " ".join(["pytest", *arguments])]


def test_bin_test_installs_the_test_extra_runs_every_check_and_passes_arguments(
    checkout: Checkout, elsewhere: Path
) -> None:
    say_how_called(checkout, failing="mypy")
    code, out, _ = checkout.run("-k", "a b", command=checkout.root / "bin" / "test", cwd=elsewhere)
    assert out.splitlines() == ["ruff check", "ruff format --check", "mypy", "pytest -k a b"]
    assert code == 1
    assert checkout.run(cwd=elsewhere) == (7, f"[] {elsewhere} 1\n", "")  # nothing more to make for the program


def test_signals_ignored_at_the_start_are_not_ignored_by_what_tests_start() -> None:
    # `nohup bin/test &` would otherwise fail every test of how the program takes these signals
    numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT]

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    code = f"import conftest, signal; print([signal.getsignal(n) is signal.SIG_IGN for n in {[*map(int, numbers)]}])"
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, preexec_fn=ignore, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[False, False, False]\n", "")
