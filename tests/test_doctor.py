from __future__ import annotations

from pathlib import Path

import pytest
from program import environment, run, script

from claude_mpm.cli import doctor


def found(findings: list[doctor.Finding]) -> dict[str, bool]:
    return {finding.name: finding.ok for finding in findings}


@pytest.mark.parametrize(
    ("version", "environ", "missing"),
    [
        ((1, 0, 128), {}, {"session file"}),
        ((2, 0, 77), {}, {"session file"}),
        ((2, 1, 330), {}, set()),
        ((2, 1, 330), {"CLAUDE_CODE_ENABLE_TODO_TOOLS": "0"}, {"todos"}),
    ],
)
def test_what_a_version_does_not_record_is_said(
    version: tuple[int, ...], environ: dict[str, str], missing: set[str]
) -> None:
    findings = doctor.sources(version, environ)
    assert {f.name for f in findings if not f.ok} == missing
    assert all(f.hint for f in findings if not f.ok), "each missing one says what to do"


def test_a_claude_is_asked_for_its_version_and_nothing_else(tmp_path: Path, home: Path) -> None:
    claude = script(tmp_path, f'echo "$@" >> {tmp_path}/asked; echo "2.1.330 (Claude Code)"')
    assert found(doctor.examine(str(claude), environment(home)))["claude"]
    assert (tmp_path / "asked").read_text() == "--version\n"


@pytest.mark.parametrize("text", ["exit 1", "echo nonsense", "printf '\\377'"])
def test_a_claude_that_is_none_is_said(text: str, tmp_path: Path, home: Path) -> None:
    assert not found(doctor.examine(str(script(tmp_path, text)), environment(home)))["claude"]


def test_the_command_tells_it_and_its_exit_code_too(tmp_path: Path, home: Path) -> None:
    good = script(tmp_path, 'echo "2.1.330 (Claude Code)"')
    done = run("doctor", "--claude", str(good), home=home, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert b"transcript" in done.stdout
    missing = run("doctor", "--claude", "/nowhere", home=home, cwd=tmp_path)
    assert missing.returncode == 1
    assert b"npm install" in missing.stdout
