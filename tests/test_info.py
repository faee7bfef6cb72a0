from __future__ import annotations

import os
from pathlib import Path

from claude_mpm.monitor.info import git_branch


def repository(path: Path, head: str) -> Path:
    (path / ".git").mkdir(parents=True)
    (path / ".git" / "HEAD").write_text(head)
    return path


def test_the_branch_is_found_from_a_directory_below(tmp_path: Path) -> None:
    below = repository(tmp_path / "r", "ref: refs/heads/feature/x\n") / "a" / "b"
    below.mkdir(parents=True)
    assert git_branch(below) == "feature/x"


def test_a_detached_head_is_its_commit(tmp_path: Path) -> None:
    assert git_branch(repository(tmp_path / "r", "0123456789abcdef0123456789abcdef01234567\n")) == "0123456789ab"


def test_a_worktree_points_at_its_own_head(tmp_path: Path) -> None:
    real = repository(tmp_path / "r", "ref: refs/heads/main\n") / ".git" / "worktrees" / "w"
    real.mkdir(parents=True)
    (real / "HEAD").write_text("ref: refs/heads/w\n")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {real}\n")
    assert git_branch(tmp_path / "w") == "w"


def test_no_repository_and_a_broken_one_have_no_branch(tmp_path: Path) -> None:
    (tmp_path / "broken" / ".git").mkdir(parents=True)
    (tmp_path / "broken" / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert git_branch(tmp_path / "broken") is None
    assert git_branch(tmp_path) is None


def test_a_head_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "r" / ".git").mkdir(parents=True)
    os.mkfifo(tmp_path / "r" / ".git" / "HEAD")
    assert git_branch(tmp_path / "r") is None
