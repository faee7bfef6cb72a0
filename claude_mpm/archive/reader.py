"""A session that is over, as the events a client would have seen: a stream, whatever the size of its files.

A transcript goes through the parsers and the tracker that also read it while Claude runs, so the same records make the
same events. What only hooks and the process tell is not in a transcript: permission dialogs, output, the exit code. A
recording holds the events themselves.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from claude_mpm.archive import recording
from claude_mpm.archive.catalog import SessionFile
from claude_mpm.archive.description import describe
from claude_mpm.archive.merge import Line, agent_files, merged
from claude_mpm.config import Limits
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.sources.files.claude import GRACE
from claude_mpm.sources.parse import transcript
from claude_mpm.sources.parse.json_values import mapping, seconds, text
from claude_mpm.sources.parse.observations import AgentEnded, Observation
from claude_mpm.sources.track.tracker import Tracker

log = logging.getLogger(__name__)

ENDED = "transcript_ends"  # the reason of everything that was still open at a transcript's end
PAST_INFO: Mapping[str, Any] = {"port": 0, "host": "localhost"}  # `instance_info` of a session that nobody serves


def events(file: SessionFile, info: Mapping[str, Any] | None = None) -> Generator[Event, None, None]:
    """The events of a session, each with its own time, in the order a client would have received them.

    Blocks on the disk; for one thread. Close the iterator (`contextlib.closing`) if it is not exhausted. Records that
    cannot be read are passed over, and so is a last line that was cut.

    Args:
        info: `instance_info` for `session.start`, where a transcript is read; by default what the transcript says.

    Raises:
        UsageError: a page exported from a session cannot be read again.
    """
    if file.kind == "recording":
        return recording.events(file.path)
    if file.kind == "transcript":
        return _Transcript(file, info).events()
    raise UsageError(f"{file.path} is an exported page; open it in a browser")


class _Transcript:
    """One reading of a transcript."""

    def __init__(self, file: SessionFile, info: Mapping[str, Any] | None) -> None:
        self._file = file
        self._row = describe(file.path) or {}
        self._info = info or instance_info(file.path, self._row)
        self._tracker = Tracker(file.session_id)
        self._now = 0.0  # the time the reading has come to, seconds since the epoch
        self._unsettled: deque[tuple[float, str]] = deque()  # (when to settle it, name of a delegation's call)

    def events(self) -> Generator[Event, None, None]:
        started = seconds(self._row.get("started_at")) or self._mtime()
        session_id, max_line = self._file.session_id, Limits().line_bytes
        # How Claude was launched is not in a transcript, and the protocol has a word for neither of the two it knows.
        yield ev.session_start(session_id, self._info, "unknown", started, source="transcript")
        self._now = started
        with closing(merged(self._file.path, agent_files(self._file.path, max_line), max_line)) as lines:
            for line in lines:
                yield from self._settle(until=line.at)
                self._now = max(self._now, line.at)
                yield from self._read(line)
        yield from self._settle()
        yield from self._end(started)

    def _end(self, started: float) -> Iterator[Event]:
        self._now = max(self._now, seconds(self._row.get("ended_at")) or 0.0)  # the last record may be of another kind
        origin = Origin("transcript", self._now, self._file.session_id)
        yield from self._tracker.finish(ENDED, origin)
        yield ev.claude_status("stopped", origin=origin, message="The transcript ends here.")
        yield ev.session_end(
            self._file.session_id,
            self._now,
            self._now - started,
            exit_code=None,
            signal=None,
            reason=ENDED,
            source="transcript",
        )

    def _read(self, line: Line) -> list[Event]:
        """The events that follow from a line. Whatever is wrong with it costs this line alone."""
        try:
            return self._observe(self._observations(line))
        except Exception as error:  # a defect of ours that this record has brought to light: the next ones are fine
            log.warning("a record of %s was skipped: %s: %s", self._file.path, type(error).__name__, error)
            return []

    def _observations(self, line: Line) -> Iterable[Observation]:
        if line.data is not None:
            return transcript.parse(line.data)
        if line.agent is None or not line.agent.meta:
            return ()
        # Claude writes the meta file when the agent starts, and again when it has finished. The first time says which
        # delegation this is, the second that it has ended; only the second is left.
        said = transcript.parse_meta(line.agent.meta, self._file.session_id, line.agent.agent_id, line.at)
        return [one for one in said if isinstance(one, AgentEnded) == line.is_end]

    def _observe(self, observations: Iterable[Observation]) -> list[Event]:
        found: list[Event] = []
        for one in observations:
            found += self._tracker.observe(self._of_this_session(one), "transcript", self._now)
        self._unsettled.extend((self._now + GRACE, name) for name in self._tracker.take_unsettled())
        return found

    def _of_this_session(self, one: Observation) -> Observation:
        """The records of a fork, and of a resumed 1.x, may bear the id of the session they were copied from."""
        if one.who.session_id in (None, self._file.session_id):
            return one
        return replace(one, who=replace(one.who, session_id=self._file.session_id))

    def _settle(self, until: float = float("inf")) -> Iterator[Event]:
        while self._unsettled and self._unsettled[0][0] <= until:
            yield from self._tracker.settle(self._unsettled.popleft()[1])

    def _mtime(self) -> float:
        try:
            return self._file.path.stat().st_mtime
        except OSError:
            return 0.0


def about(file: SessionFile) -> dict[str, Any]:
    """`working_dir`, `git_branch` and `claude_version` of a session, as far as its file says. Blocks on the disk."""
    said: Mapping[str, Any] = {}
    if file.kind == "transcript":
        said = describe(file.path) or {}
    elif file.kind == "recording":
        with closing(recording.events(file.path)) as recorded:
            first = next(recorded, None)
        said = mapping(first.data.get("instance_info")) if first is not None else {}
    return {key: said[key] for key in ("working_dir", "git_branch", "claude_version") if text(said.get(key))}


def instance_info(path: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """`instance_info` from what a transcript says of itself (describe())."""
    info = {**PAST_INFO, "working_dir": row.get("working_dir") or str(path.parent)}
    return info | {key: row[key] for key in ("git_branch", "claude_version") if row.get(key)}
