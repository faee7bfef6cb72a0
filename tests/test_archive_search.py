"""A text is found in what was said and done, whatever its case, and nowhere else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from archived import answer, calls, prompt, recorded_home, session_id, write_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sightings import VERSIONS, as_line

from claude_mpm.archive import search as searching
from claude_mpm.archive.merge import AgentPaths
from claude_mpm.archive.search import Match, Needle, search

ONE = session_id(1)


def found(path: Path, text: str) -> Match | None:
    return search(path, Needle(text), AgentPaths())


def raw(record: dict[str, Any]) -> bytes:
    """A record as Claude Code's JSON.stringify writes it."""
    from claude_mpm.system.json_text import dumps

    return dumps(record) + b"\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_prompts_answers_tools_and_agents_are_searched(tmp_path: Path, version: str) -> None:
    path = recorded_home(tmp_path, version).path
    assert found(path, "do the WORK") == Match("user", "[[MAIN]] Do the work.")
    assert found(path, "i will plan") == Match("assistant", "Hello, I will plan the work first.")
    assert found(path, "ECHO sub-beta") == Match("tool", "Bash: echo sub-beta; sleep 1")  # a call of a subagent's
    assert found(path, "toolu_fake") is None and found(path, "sessionId") is None and found(path, version) is None


def test_what_a_tool_returned_is_not_searched(tmp_path: Path) -> None:
    result = [{"type": "tool_result", "tool_use_id": "t", "content": "needle"}]
    path = write_session(tmp_path, ONE, prompt("a"), prompt("", message={"content": result}), at=1)
    assert found(path, "needle") is None
    with open(path, "ab") as file:
        file.write(raw(calls("Edit", {"edits": [{"old": 1, "new": ["a Needle here"]}]})))
    assert found(path, "needle") == Match("tool", "Edit: a Needle here")


@pytest.mark.parametrize(
    "text", ['say "hi"', "back\\slash", "two\nlines", "naïve Ünïcode ☃", "tab\tand\x1b[0m", "İstanbul"]
)
def test_a_text_is_found_however_json_writes_it(tmp_path: Path, text: str) -> None:
    path = write_session(tmp_path, ONE, at=1)
    path.write_bytes(raw(prompt(f"before {text} after")))
    match = found(path, text)
    assert match is not None and match.role == "user"


def test_a_match_shows_the_text_around_it_on_one_line(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("a " * 500 + "here is\n  the needle" + " b" * 500), at=1)
    match = found(path, "needle")
    assert match is not None and re.fullmatch(r"…[a ]+here is the needle[ b]+…", match.line)
    assert len(match.line) < 250


def test_a_line_cut_at_the_end_and_a_line_too_long_have_no_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_LINE", 1_000)
    path = write_session(tmp_path, ONE, prompt("needle " + "x" * 2_000), at=1)
    with open(path, "ab") as file:
        file.write(as_line(answer("needle"))[:-10])
    assert found(path, "needle") is None
    with open(path, "ab") as file:
        file.write(b"\n" + as_line(answer("the needle")) + b"\n")
    assert found(path, "needle") == Match("assistant", "the needle")


@given(offset=st.integers(-40, 40), text=st.text('abC"é', min_size=1, max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_match_across_the_pieces_that_are_compared_is_found(tmp_path: Path, offset: int, text: str) -> None:
    path = write_session(tmp_path, ONE, at=1)
    filler = b"x" * (searching.PIECE + offset - 60) + b"\n"
    path.write_bytes(filler + raw(prompt(f"ZZ{text}ZZ")))
    match = found(path, f"zz{text}zz")
    assert match is not None and match.line == " ".join(f"ZZ{text}ZZ".split())


def test_what_cannot_be_mapped_has_no_match(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, at=1)  # empty
    assert found(path, "a") is None
    path.unlink()
    assert found(path, "a") is None
    os.mkfifo(path)
    assert found(path, "a") is None
