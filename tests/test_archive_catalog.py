"""Which sessions there are: found where Claude keeps them, and described by their first and last records."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from archived import PROJECT, answer, prompt, recorded_home, session_id, write_session
from hypothesis import given
from hypothesis import strategies as st
from sightings import SESSION, VERSIONS, as_line, records

from claude_mpm.archive import catalog, description
from claude_mpm.archive.description import describe
from claude_mpm.errors import UsageError
from claude_mpm.sources.files.transcripts import slug

ONE, TWO, THREE = (session_id(number) for number in (0xA1, 0xA2, 0xB3))


def ids(config_dir: Path, project: Path | None = None) -> list[str]:
    return [one.file.session_id for one in catalog.transcripts(config_dir, project)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_session_is_found_and_its_agents_are_none(tmp_path: Path, version: str) -> None:
    file = recorded_home(tmp_path, version)
    assert ids(tmp_path) == [SESSION]
    assert catalog.find("last", tmp_path) == catalog.find("2222", tmp_path) == catalog.by_id(SESSION, tmp_path) == file
    row = describe(file.path)
    assert row is not None and row["bytes"] == file.path.stat().st_size
    assert (row["title"], row["working_dir"]) == ("[[MAIN]] Do the work.", "/home/u/proj1")
    assert row["claude_version"] == version and row["started_at"] < row["ended_at"]


def test_claude_config_dir_decides_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalog.config_dir({}) == Path.home() / ".claude"
    assert catalog.config_dir({"CLAUDE_CONFIG_DIR": str(tmp_path)}) == tmp_path


def test_the_most_recently_written_comes_first(tmp_path: Path) -> None:
    write_session(tmp_path, ONE, prompt("a"), at=30)
    write_session(tmp_path, TWO, prompt("b"), at=10)
    write_session(tmp_path, THREE, prompt("c"), project="-x", at=20)
    assert ids(tmp_path) == [ONE, THREE, TWO]
    assert catalog.find("last", tmp_path).session_id == ONE


def test_a_project_is_its_directory_and_those_below(tmp_path: Path) -> None:
    for number, project in enumerate(("-w-p", "-w-p-sub", "-w-pq", "-w"), 1):
        write_session(tmp_path, session_id(number), prompt("a"), project=project, at=number)
    assert ids(tmp_path, Path("/w/p")) == [session_id(2), session_id(1)]
    assert len(ids(tmp_path, Path("/"))) == 4


def test_links_foreign_files_and_other_names_are_passed_over(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("a"), at=1)
    (path.parent / f"{TWO}.jsonl").symlink_to(path)
    (path.parent / "notes.jsonl").write_text("{}")
    (path.parent / f"{THREE}.jsonl").mkdir()
    os.mkfifo(path.parent / f"{session_id(9)}.jsonl")
    (tmp_path / "projects" / "-linked").symlink_to(path.parent)
    (tmp_path / "projects" / "file").write_text("")
    assert ids(tmp_path) == [ONE]
    assert catalog.by_id(TWO, tmp_path) is None and catalog.by_id("../x", tmp_path) is None
    for other in (TWO, THREE, session_id(9)):
        assert describe(path.parent / f"{other}.jsonl") is None
        with pytest.raises(UsageError, match="cannot be read"):
            catalog.identify(path.parent / f"{other}.jsonl")


def test_a_beginning_must_name_one_session(tmp_path: Path) -> None:
    write_session(tmp_path, ONE, prompt("a"), at=1)
    write_session(tmp_path, TWO, prompt("b"), at=2)
    assert catalog.find(ONE[:8].upper(), tmp_path).session_id == ONE
    with pytest.raises(UsageError, match="2 sessions begin with '000000a'"):
        catalog.find("000000a", tmp_path)
    for unknown in ("ff", "no id", ""):
        with pytest.raises(UsageError, match="no session"):
            catalog.find(unknown, tmp_path)
    with pytest.raises(UsageError, match="has kept no sessions"):
        catalog.find("last", tmp_path / "empty")


def test_a_session_that_went_on_in_another_directory_is_the_newer_file(tmp_path: Path) -> None:
    write_session(tmp_path, ONE, prompt("a"), at=1)
    newer = write_session(tmp_path, ONE, prompt("a"), project="-worktree", at=2)
    assert catalog.find(ONE, tmp_path).path == newer
    by_id = catalog.by_id(ONE, tmp_path)
    assert by_id is not None and by_id.path == newer


def test_a_path_is_judged_by_its_content(tmp_path: Path) -> None:
    def kind(content: bytes) -> str:
        path = tmp_path / "file.jsonl"
        path.write_bytes(content)
        return catalog.find(str(path), tmp_path).kind

    assert kind(as_line(prompt("a")) + b"\n") == "transcript"
    assert kind(as_line({"type": "summary", "summary": "s", "leafUuid": "u"})) == "transcript"
    assert kind(as_line(prompt("x" * 100_000))) == "transcript"
    assert kind(as_line({"type": "session.start", "seq": 1, "data": {}, "session_id": ONE})) == "recording"
    assert kind(b"<!DOCTYPE html><title>a session</title>") == "export"
    for content in (b"", b"root:x:0:0:\n", b"{}\n[]\n", b"\xff\x00"):
        with pytest.raises(UsageError, match="holds no session"):
            kind(content)
    with pytest.raises(UsageError, match="No such file"):
        catalog.find(str(tmp_path / "missing.jsonl"), tmp_path)


def test_a_copy_under_another_name_is_the_session_its_records_name(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    shutil.copyfile(recorded_home(tmp_path, "2.0.77").path, copy)
    assert catalog.identify(copy).session_id == SESSION
    fork = write_session(tmp_path, TWO, prompt("a", sessionId=ONE), at=1)
    assert catalog.identify(fork).session_id == TWO


# --- describing --------------------------------------------------------------------------------------


def row(config_dir: Path, *lines: object, end: bytes = b"") -> dict[str, object]:
    path = write_session(config_dir, ONE, *lines, at=1)  # type: ignore[arg-type]
    with open(path, "ab") as file:
        file.write(end)
    found = describe(path)
    assert found is not None
    return found


def test_a_title_that_claude_stored_is_better_than_the_first_prompt(tmp_path: Path) -> None:
    assert row(tmp_path, prompt("first\n  prompt"), prompt("second"))["title"] == "first prompt"
    generated = {"type": "ai-title", "aiTitle": "Generated", "sessionId": ONE}
    assert row(tmp_path, prompt("a"), generated)["title"] == "Generated"
    assert (
        row(tmp_path, prompt("a"), generated, answer("b", version="2"), answer("c", version="2"))["title"]
        == "Generated"
    )
    assert row(tmp_path, prompt("a"), {"type": "custom-title", "customTitle": "Mine"}, generated)["title"] == "Mine"
    assert row(tmp_path, {"type": "summary", "summary": "Sum"}, prompt("a"))["title"] == "Sum"
    assert row(tmp_path, answer("no prompt at all"))["title"] is None
    assert len(str(row(tmp_path, prompt("x" * 5_000))["title"])) == description.MAX_TITLE


def test_what_claude_code_puts_before_the_prompt_is_no_title(tmp_path: Path) -> None:
    meta = prompt("Caveat", isMeta=True)
    command = prompt("<command-name>/clear</command-name>")
    attachment = {"type": "attachment", "attachment": {"text": "x" * 100_000}, "timestamp": "2026-11-01T09:00:00.000Z"}
    found = row(tmp_path, meta, command, attachment, prompt("the prompt"))
    assert (found["title"], found["started_at"]) == ("the prompt", "2026-11-01T10:00:00.000Z")


def test_the_end_is_that_of_the_last_whole_record(tmp_path: Path) -> None:
    last = answer("x" * 60_000, at="2026-11-01T12:00:00.000Z", version="2.1.999", gitBranch="later")
    found = row(tmp_path, prompt("a"), last, {"type": "mode"}, end=b'{"type":"assistant","timestamp":"2026-11-0')
    assert (found["ended_at"], found["claude_version"]) == ("2026-11-01T12:00:00.000Z", "2.1.999")
    assert found["git_branch"] == "later" and found["working_dir"] == "/w"


def test_head_and_tail_are_read_and_nothing_more(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("a"), at=1)
    with open(path, "ab") as file:
        file.truncate(1 << 40)  # a hole of a terabyte
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + as_line(answer("end", at="2026-11-01T12:00:00.000Z")) + b"\n")
    found = describe(path)
    assert found is not None and found["ended_at"] == "2026-11-01T12:00:00.000Z"


@given(st.lists(records, max_size=5), st.binary(max_size=50))
def test_no_content_is_an_exception(
    tmp_path_factory: pytest.TempPathFactory, some: list[dict[str, object]], junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{ONE}.jsonl"
    path.write_bytes(b"\n".join(map(as_line, some)) + junk)
    assert describe(path) is not None
    try:
        catalog.identify(path)
    except UsageError:
        pass


def test_the_recorded_project_is_named_as_claude_names_it() -> None:
    assert slug("/home/u/proj1") == PROJECT
