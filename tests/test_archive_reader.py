"""A session read from its files: whatever state they were left in, as a stream, and closed at its end."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from archived import answer, calls, prompt, recorded_home, session_id, write_session
from hypothesis import given
from hypothesis import strategies as st
from schemas import check
from sightings import SESSION, VERSIONS, as_line, records

from claude_mpm.archive import merge, reader
from claude_mpm.archive.catalog import SessionFile
from claude_mpm.archive.past import messages
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.feed.log import Log
from claude_mpm.sources.files.tail import Tail

ONE, TWO = session_id(1), session_id(2)


def read(path: Path) -> list[Event]:
    return list(reader.events(SessionFile(path, path.stem)))


def texts(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.type == ev.CLAUDE_MESSAGE]


def of(kind: str, events: list[Event]) -> list[Any]:
    return [event.data for event in events if event.type == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_start_and_end_are_those_of_the_file(tmp_path: Path, version: str) -> None:
    first, *_, last = read(recorded_home(tmp_path, version).path)
    assert (first.type, last.type) == (ev.SESSION_START, ev.SESSION_END)
    assert first.time is not None and last.time is not None and 3 < last.time - first.time < 60
    assert first.data["instance_info"]["working_dir"] == "/home/u/proj1"
    assert first.data["instance_info"]["claude_version"] == version
    assert (last.data["reason"], last.data["exit_code"]) == ("transcript_ends", None)
    assert last.data["duration_seconds"] == pytest.approx(last.time - first.time, abs=0.002)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_messages_are_those_of_the_protocol_and_numbered_from_one(tmp_path: Path, version: str) -> None:
    found = list(messages(recorded_home(tmp_path, version)))
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    log = Log(SESSION)
    for (_, message), event in zip(found, read(recorded_home(tmp_path / "again", version).path), strict=True):
        assert json.loads(message) == log.append(event).message()
        check(json.loads(message))


def test_what_is_open_at_the_end_is_closed_as_failed(tmp_path: Path) -> None:
    work = {"description": "Look", "prompt": "p", "subagent_type": "Explore"}
    path = write_session(tmp_path, ONE, prompt("go"), calls("Bash", {"command": "ls"}), calls("Task", work), at=1)
    events = read(path)
    assert [(end["tool"], end["ok"], end["summary"]) for end in of(ev.TOOL_END, events)] == [
        ("Bash", False, "transcript_ends"),
        ("Task", False, "transcript_ends"),
    ]
    assert [(one["status"], one.get("reason")) for one in of(ev.AGENT_DELEGATION, events)] == [
        ("started", None),
        ("failed", "transcript_ends"),
    ]
    assert of(ev.AGENT_STATUS, events)[-1]["active_agents"] == []


def test_a_line_that_was_cut_is_passed_over_and_so_are_records_of_a_later_version(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("one"), {"type": "hologram", "user": "user"}, answer("two"), at=1)
    whole = as_line(answer("three", at="2026-11-01T10:00:09.000Z"))
    for junk in (b"not json\n", b"[]\n", b'"user"\n', b"\xff\xfe\n"):
        with open(path, "ab") as file:
            file.write(junk)
    with open(path, "ab") as file:
        file.write(whole[:-20])
    assert texts(read(path)) == ["one", "two"]
    with open(path, "ab") as file:
        file.write(whole[-20:] + b"\n")  # it still goes on
    assert texts(read(path)) == ["one", "two", "three"]


def test_a_resumed_session_shows_as_one(tmp_path: Path) -> None:
    """1.x and forks copy the records of the session before, with its id or their own."""
    old = [prompt("one", sessionId=TWO), answer("two", sessionId=TWO)]
    new = [prompt("three", at="2026-11-02T10:00:00.000Z", sessionId=ONE), answer("four", at="2026-11-02T10:00:01.000Z")]
    events = read(write_session(tmp_path, ONE, *old, *new, at=1))
    assert texts(events) == ["one", "two", "three", "four"]
    assert {event.session_id for event in events} <= {ONE, None}
    assert len(of(ev.SESSION_START, events)) == len(of(ev.SESSION_END, events)) == 1


def test_a_compacted_session_goes_on(tmp_path: Path) -> None:
    boundary = {"type": "system", "subtype": "compact_boundary", "content": "Conversation compacted", "sessionId": ONE}
    summary = prompt("This session is being continued", at="2026-11-01T11:00:00.000Z", isCompactSummary=True)
    after = prompt("after", at="2026-11-01T11:00:01.000Z")
    assert texts(read(write_session(tmp_path, ONE, prompt("before"), boundary, summary, after, at=1))) == [
        "before",
        "after",
    ]


def test_agents_of_other_sessions_beside_it_are_not_its_own(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("one"), at=1)
    for name, session, text in (("agent-aaa", ONE, "ours"), ("agent-bbb", TWO, "theirs")):
        line = as_line(answer(text, agentId=name[6:], isSidechain=True, sessionId=session)) + b"\n"
        (path.parent / f"{name}.jsonl").write_bytes(line)
    (path.parent / "agent-ccc.jsonl").write_bytes(b"cut")
    assert texts(read(path)) == ["one", "ours"]


def test_files_are_merged_in_the_order_of_time(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("0"), answer("3", at="2026-11-01T10:00:30.000Z"), at=1)
    below = path.parent / ONE / "subagents"
    below.mkdir(parents=True)
    for agent, times in (("a", (20, 40)), ("b", (10, 50))):
        lines = [answer(str(at // 10), at=f"2026-11-01T10:00:{at}.000Z", agentId=agent) for at in times]
        (below / f"agent-{agent}.jsonl").write_bytes(b"".join(as_line(line) + b"\n" for line in lines))
    assert texts(read(path)) == ["0", "1", "2", "3", "4", "5"]


def test_only_agents_that_are_at_work_have_an_open_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_session(tmp_path, ONE, prompt("go"), answer("end", at="2026-11-01T11:00:00.000Z"), at=1)
    below = path.parent / ONE / "subagents"
    below.mkdir(parents=True)
    for number in range(60):
        at = f"2026-11-01T10:{number:02}:00.000Z"
        (below / f"agent-{number}.jsonl").write_bytes(as_line(answer(str(number), at=at, agentId=str(number))) + b"\n")
    opened: list[int] = []
    real = Tail.read

    def counting(tail: Tail) -> Any:
        opened.append(1)
        try:
            yield from real(tail)
        finally:
            opened.append(-1)

    monkeypatch.setattr(Tail, "read", counting)
    assert len(texts(read(path))) == 62
    assert max(sum(opened[: end + 1]) for end in range(len(opened))) <= 4


@pytest.mark.parametrize("stop_after", [0, 1, 5])
def test_a_reading_that_is_given_up_leaves_nothing_open(tmp_path: Path, stop_after: int) -> None:
    file = recorded_home(tmp_path, "2.1.330")
    with closing(reader.events(file)) as events:
        for _ in range(stop_after):
            next(events)


def test_nothing_is_written_into_claudes_directory(tmp_path: Path) -> None:
    def digest() -> list[tuple[str, str, int]]:
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        return [(str(p), hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in files]

    file = recorded_home(tmp_path, "2.1.330")
    before = digest()
    read(file.path)
    assert digest() == before


def test_the_file_is_never_held_in_memory(tmp_path: Path) -> None:
    path = write_session(tmp_path, ONE, prompt("go"), at=1)
    line = as_line(answer("x" * 15_000, message={"content": [{"type": "text", "text": "x" * 15_000}]})) + b"\n"
    with open(path, "ab") as file:
        for _ in range(1_500):
            file.write(line)
    tracemalloc.start()
    try:
        count = sum(1 for _ in reader.events(SessionFile(path, ONE)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count > 1_500 and path.stat().st_size > 20_000_000 and peak < 6_000_000


def test_a_recording_is_read_as_it_was_written_but_for_a_torn_line(tmp_path: Path) -> None:
    log = Log("run-1")
    events = read(recorded_home(tmp_path / "home", "2.0.77").path)
    lines = [log.append(event).json for event in events]
    path = tmp_path / f"{ONE}.jsonl"
    path.write_bytes(b"\n".join(lines[:-1]) + b'\n{"type":"unknown","seq":1,"data":{}}\n' + lines[-1][:50])
    again = Log("run-1")
    read_back = [again.append(event).json for event in reader.events(SessionFile(path, ONE, "recording"))]
    assert read_back == lines[:-1]
    assert reader.about(SessionFile(path, ONE, "recording"))["working_dir"] == "/home/u/proj1"


def test_an_exported_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="open it in a browser"):
        reader.events(SessionFile(tmp_path / "x.html", ONE, "export"))


@given(st.lists(records, max_size=8))
def test_no_record_is_an_exception(tmp_path_factory: pytest.TempPathFactory, some: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any" / f"{ONE}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(as_line(record) + b"\n" for record in some))
    assert list(messages(SessionFile(path, ONE)))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (prompt("a"), 1793527200.0),
        (prompt('"timestamp":"2030-01-01T00:00:00Z"'), 1793527200.0),
        (prompt("a", toolUseResult={"timestamp": "2030-01-01T00:00:00.000Z"}), 1793527200.0),
        ({"type": "mode"}, None),
        ({"timestamp": "yesterday"}, None),
    ],
)
def test_a_lines_time_is_its_own(line: dict[str, Any], wanted: float | None) -> None:
    assert merge.time_of(as_line(line)) == wanted
