"""The version of a claude that is not run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claude_mpm.launch.command.version import installed_version


@pytest.mark.parametrize("place", ["cli.js", "bin/claude.exe"])
def test_npm_package_tells_its_version_through_the_link(tmp_path: Path, place: str) -> None:
    package = tmp_path / "node_modules/@anthropic-ai/claude-code"
    (package / place).parent.mkdir(parents=True)
    (package / place).write_text("")
    (package / "package.json").write_text(json.dumps({"name": "@anthropic-ai/claude-code", "version": "2.1.330"}))
    link = tmp_path / "claude"
    link.symlink_to(package / place)
    assert installed_version(link) == (2, 1, 330)


def test_native_installation_is_named_by_its_version(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions/2.1.330").write_text("")
    (tmp_path / "claude").symlink_to(tmp_path / "versions/2.1.330")
    assert installed_version(tmp_path / "claude") == (2, 1, 330)


def test_what_cannot_be_told_is_none(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "something-else", "version": "1.2.3"}')
    (tmp_path / "claude").write_text("#!/bin/sh")
    assert installed_version(tmp_path / "claude") is None
    (tmp_path / "package.json").write_text('{"name": "@anthropic-ai/claude-code", "version": 7}')
    assert installed_version(tmp_path / "claude") is None
    assert installed_version(tmp_path / "gone") is None
