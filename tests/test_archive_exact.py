"""A finished transcript reads as the session that was watched, but for what only hooks and the process told."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from archived import comparable, recorded_home
from sightings import SESSION, VERSIONS
from support import DATA, TIMEOUT

from claude_mpm.archive import reader
from claude_mpm.archive.catalog import SessionFile
from claude_mpm.archive.merge import agent_files, merged
from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.files.claude import ClaudeSources
from claude_mpm.sources.files.transcripts import slug
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.sources.parse import hooks, stream_json, transcript
from claude_mpm.sources.parse import observations as obs
from claude_mpm.sources.track.tracker import Tracker

BEFORE = 1_795_000_000.0  # seconds since the epoch; before everything in the recorded sessions
LINE_BYTES = Limits().line_bytes


def without_process(events: Sequence[Event]) -> list[Event]:
    """Without the three events with which a reader stands in for the process: its start, its last status, its end."""
    first, *rest, status, last = events
    assert (first.type, status.type, last.type) == (ev.SESSION_START, ev.CLAUDE_STATUS, ev.SESSION_END)
    assert status.data["status"] == "stopped"
    return rest


class RecordedTime(Watcher):
    """A file-reader whose delays pass in the time of the recording, not in the few milliseconds a test takes."""

    def __init__(self) -> None:
        super().__init__(lambda sentence: None, poll_interval=0.1)
        self.now = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []

    def post_after(self, seconds: float, work: Callable[[], None]) -> bool:
        self._later.append((self.now + seconds, work))
        return True

    def pass_until(self, at: float) -> None:
        due = [work for when, work in self._later if when <= at]
        self._later = [one for one in self._later if one[0] > at]
        self.now = at
        for work in due:
            self.post(work)


def watched(home: Path, finished: SessionFile) -> list[Event]:
    """What the sources tell while the files of a finished session are written again, line by line, as Claude wrote them."""
    events: list[Event] = []
    config_dir, cwd = home / ".claude", home / "project"
    cwd.mkdir(parents=True)
    watcher = RecordedTime()
    sources = ClaudeSources(watcher, config_dir, cwd, events.append, None, Limits())
    project = config_dir / "projects" / slug(str(cwd.resolve()))
    sources.start(SESSION, None, BEFORE)
    watcher.start()
    try:
        for line in merged(finished.path, agent_files(finished.path, LINE_BYTES), LINE_BYTES):
            watcher.pass_until(line.at)
            source = line.agent.path if line.agent else finished.path
            copy = project / source.relative_to(finished.path.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if line.data is not None:
                with open(copy, "ab") as file:
                    file.write(line.data + b"\n")
            elif line.agent is not None and line.agent.meta:
                meta = json.loads(line.agent.meta) | {"finished": line.is_end}
                half_made = copy.with_suffix(".new")
                half_made.write_text(json.dumps(meta))
                os.utime(half_made, (line.at, line.at))
                half_made.rename(copy.with_name(f"agent-{line.agent.agent_id}.meta.json"))
            assert sources.drain(TIMEOUT)
        sources.process_ended(0, None)
        assert sources.drain(TIMEOUT)
    finally:
        sources.stop()
        watcher.stop()
        watcher.join(TIMEOUT)
    return events


def told(event: Event) -> str:
    """An event as a text. The record of a session's cost has no time of its own: it is that of whoever reads it."""
    is_cost = event.type == ev.CLAUDE_USAGE and not any(event.data["tokens"].values())
    return comparable(replace(event, time=None) if is_cost else event)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_finished_transcript_is_what_was_seen_while_it_was_written(tmp_path: Path, version: str) -> None:
    finished = recorded_home(tmp_path / "finished", version)
    live = Counter(map(told, watched(tmp_path / "live", finished)))
    past = Counter(map(told, without_process(list(reader.events(finished)))))
    assert past == live


# --- the same session, also seen by its hooks and on its stdout --------------------------------------


def all_sources(version: str) -> list[Event]:
    """What was told of a recorded run by all its sources together."""
    tracker, events = Tracker(), list[Event]()
    sightings = [json.loads(line) for line in (DATA / f"sessions/{version}.jsonl").read_text().splitlines()]
    seen, now = [], 0.0
    for name, at, text in sightings:
        for one, source in parsed(name, text.encode(), at):
            now = one.at or at or now
            seen.append((one, source, now))
    for one, source, at in sorted(seen, key=lambda sighting: sighting[2]):
        events += tracker.observe(one, source, at)
    for name in tracker.take_unsettled():
        events += tracker.settle(name)
    return events + tracker.observe(obs.ProcessEnded(obs.Who(), None, 0, None), "process", 2e9)


def parsed(name: str, text: bytes, at: float) -> list[tuple[obs.Observation, Source]]:
    kind, _, file = name.partition(":")
    if kind == "hook":
        return [(one, "hook") for one in hooks.parse(text, at)]
    if kind == "stream_json":
        return [(one, "stream_json") for one in stream_json.parse(text)]
    if kind == "meta":
        return [(one, "transcript") for one in transcript.parse_meta(text, "", file[6:-10], at)]
    return [(one, "transcript") for one in transcript.parse(text)]


def written(project: Path, version: str) -> SessionFile:
    """The transcripts of a recorded run, as Claude left them."""
    for line in (DATA / f"sessions/{version}.jsonl").read_text().splitlines():
        name, _, text = json.loads(line)
        kind, _, file = name.partition(":")
        if kind not in ("transcript", "meta"):
            continue
        if not file.startswith("agent-"):
            main = project / file
        path = (
            project / main.stem / "subagents" / file
            if version > "2.1" and file.startswith("agent-")
            else project / file
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as out:
            out.write(text if kind == "meta" else f"{text}\n")
    return SessionFile(main, main.stem)


def fact(event: Event) -> str:
    """What an event says, without who saw it and when."""
    data = event.data
    if event.type == ev.CLAUDE_MESSAGE:
        return f"{event.type} {data['role']} {data['text']}"
    if event.type in (ev.TOOL_START, ev.TOOL_END):
        return f"{event.type} {data['tool']} {data['tool_use_id']} {data.get('ok')}"
    if event.type == ev.AGENT_DELEGATION:
        return f"{event.type} {data['task']} {data['status']}"
    if event.type == ev.TODO_UPDATE:
        return f"{event.type} {[todo['status'] for todo in data['todos']]}"
    if event.type == ev.CLAUDE_STATUS:
        return f"{event.type} {data['activity']}"
    if event.type == ev.CLAUDE_USAGE:
        return f"{event.type} {'of an answer' if any(data['tokens'].values()) else 'cost'}"
    return event.type


# What nothing but the hooks and stdout told of these runs of `claude -p`, whose transcripts hold no cost.
MISSING = {
    "1.0.128": {"claude.status idle": 2, "claude.usage cost": 1},  # before the prompt, and after the last answer
    "2.0.77": {"claude.status idle": 2, "claude.usage cost": 1},
    "2.1.330": {
        "claude.status idle": 3,  # also after a turn that leaves agents at work
        "claude.status working": 1,
        "claude.usage cost": 1,
        "agent.status": 3,  # stdout names an agent before its files do: one change more for each
    },
}


@pytest.mark.parametrize("version", VERSIONS)
def test_only_what_hooks_and_stdout_told_is_missing(tmp_path: Path, version: str) -> None:
    live = Counter(map(fact, all_sources(version)))
    past = Counter(map(fact, without_process(list(reader.events(written(tmp_path, version))))))
    assert (dict(live - past), dict(past - live)) == (MISSING[version], {})
