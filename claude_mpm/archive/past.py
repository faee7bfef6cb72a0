"""What a server asks of the sessions that are over (server.session_view.Past): lists of them, and their events in pages."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claude_mpm.archive import catalog, reader
from claude_mpm.archive.catalog import Listed, SessionFile
from claude_mpm.archive.description import describe
from claude_mpm.archive.merge import AgentPaths
from claude_mpm.archive.search import Needle, search
from claude_mpm.errors import ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.system import json_text

SEARCH_TIME = 3.0  # seconds of one reply's search; a client goes on from there
TURN_TIME = 20.0  # seconds a client waits while another one is served
READINGS = 4  # sessions that are being read page by page; each holds a tracker and an open file or two
UNENCODED = 1_000  # events of a page that wait to be encoded; each has 16 KiB of text at most
_LARGE = frozenset({ev.AGENT_STATUS, ev.TODO_UPDATE, ev.CLAUDE_SCREEN, ev.SYSTEM_STATUS})
MAX_TIME = 253_402_300_799.0  # seconds; the end of the year 9999, where timestamps end


@dataclass(eq=False, slots=True)
class _Reading:
    """A session read up to the event `seq`."""

    version: tuple[int, int]  # size and time of the transcript: one that has grown is read again
    messages: Generator[tuple[int, bytes], None, None]
    ahead: tuple[int, bytes] | None = None  # read, but it did not fit into the last page
    seq: int = 0


class Past:
    """The sessions below one of Claude's directories. Any thread may call any method.

    One thread reads at a time, because decoding transcripts is the interpreter's work and live events must not wait for
    more than one of those; the others wait for their turn.

    Args:
        recordings: the directory of recordings, named after their session.
        running: the instances that watch a session now, session id → instance id.
    """

    def __init__(self, config_dir: Path, recordings: Path, running: Callable[[], Mapping[str, str]]) -> None:
        self._config_dir = config_dir
        self._recordings = recordings
        self._running = running
        self._turn = threading.Lock()  # held while reading; guards `_readings`
        self._readings: OrderedDict[SessionFile, _Reading] = OrderedDict()

    def sessions(
        self,
        *,
        text: str | None,
        project: str | None,
        since: float | None,
        before: str | None,
        limit: int,
        max_bytes: int,
    ) -> dict[str, Any]:
        """The data of `sessions`: {`sessions`: rows, the most recent first, `more`, `next`}.

        Blocks for SEARCH_TIME at most, and before that for its turn.

        Args:
            text: only sessions in which it occurs; a row then has `match` {`role`, `line`}.
            project: only sessions started in this directory or below.
            since: only sessions written to at this time or later, seconds since the epoch.
            before: only sessions older than the one with this id, the `next` of an earlier reply.
            limit, max_bytes: of the reply.

        Raises:
            ProtocolError: other clients are being served for too long.
        """
        with self._my_turn():
            rows: list[dict[str, Any]] = []
            size, deadline, passed = 2, time.monotonic() + SEARCH_TIME, before
            for listed, row in self._rows(project, since, before, Needle(text) if text else None):
                if row is not None:
                    size += len(json_text.dumps(row)) + 1
                    if len(rows) == limit or (rows and size > max_bytes):
                        return {"sessions": rows, "more": True, "next": passed}
                    rows.append(row)
                passed = listed.file.session_id
                if time.monotonic() > deadline:
                    return {"sessions": rows, "more": True, "next": passed}
            return {"sessions": rows, "more": False, "next": None}

    def _rows(
        self, project: str | None, since: float | None, before: str | None, needle: Needle | None
    ) -> Iterator[tuple[Listed, dict[str, Any] | None]]:
        """Every transcript that may be meant, with its row if it is."""
        running, recorded, agents = dict(self._running()), recorded_sessions(self._recordings), AgentPaths()
        directory = Path(project) if project else None
        for listed in _after(catalog.transcripts(self._config_dir, directory), before):
            if since is not None and listed.mtime < since:
                return
            row = row_of(listed, directory, needle, agents)
            if row is not None:
                session_id = listed.file.session_id
                row["recorded"] = session_id in recorded
                row |= {"instance_id": running[session_id]} if session_id in running else {}
            yield listed, row

    def events(
        self, session_id: str, *, since: int | None, before: int | None, limit: int, max_bytes: int
    ) -> tuple[list[bytes], bool] | None:
        """Events of a session as JSON, oldest first, and whether there are more; None if there is no such session.

        With `since`, the first ones after that seq; without, the last ones, or the last before the seq `before`. A reply
        has `limit` events and `max_bytes` of JSON at most, except for a single event that is larger.

        Blocks while the session is read: about a second for 100 MB.

        Raises:
            ProtocolError: other clients are being served for too long.
        """
        file = catalog.by_id(session_id, self._config_dir)
        if file is None:
            return None
        with self._my_turn():
            if since is None:
                return _last(file, before, limit, max_bytes)
            try:
                reading = self._reading(file, since)
            except OSError:
                return None  # it has just been removed
            page, more = _next_page(reading, since, limit, max_bytes)
            if more:
                self._readings[file] = reading
                while len(self._readings) > READINGS:
                    self._readings.popitem(last=False)[1].messages.close()
            else:
                reading.messages.close()
            return page, more

    def close(self) -> None:
        """Close the files that pages are read from. Waits for the page that is being read."""
        with self._turn:
            for reading in self._readings.values():
                reading.messages.close()
            self._readings.clear()

    def _reading(self, file: SessionFile, since: int) -> _Reading:
        """A reading that has come no further than `since`: the one that the last page ended with, if it fits."""
        status = file.path.stat()
        version = (status.st_size, status.st_mtime_ns)
        known = self._readings.pop(file, None)
        if known is not None and known.version == version and known.seq <= since:
            return known
        if known is not None:
            known.messages.close()
        return _Reading(version, messages(file))

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_TIME):
            raise ProtocolError("unavailable", "earlier sessions are being read for other clients; try again")
        try:
            yield
        finally:
            self._turn.release()


def row_of(listed: Listed, project: Path | None, needle: Needle | None, agents: AgentPaths) -> dict[str, Any] | None:
    """The row of a session, with `match` if a text is searched for; None if it is not one of those that are wanted."""
    match = search(listed.file.path, needle, agents) if needle is not None else None
    if needle is not None and match is None:
        return None
    row = describe(listed.file.path)
    if row is None or (project is not None and not _is_below(row["working_dir"], project)):
        return None
    return row | {"match": {"role": match.role, "line": match.line}} if match is not None else row


def recorded_sessions(recordings: Path) -> frozenset[str]:
    """The ids of the sessions that have a recording, whose files' names end with them."""
    try:
        return frozenset(path.stem[-36:] for path in recordings.iterdir())
    except OSError:
        return frozenset()


def messages(file: SessionFile) -> Generator[tuple[int, bytes], None, None]:
    """The events of a session as (seq, JSON), in the form of the protocol; `instance_id` is the session's id."""
    seq = 0
    events = reader.events(file)
    try:
        for event in events:
            seq += 1
            yield seq, _message(event, seq, file.session_id)
    finally:
        events.close()


def _message(event: Event, seq: int, session_id: str) -> bytes:
    at = event.time if event.time is not None and 0 <= event.time <= MAX_TIME else 0.0
    return json_text.dumps(
        {
            "type": event.type,
            "timestamp": ev.rfc3339(at),
            "seq": seq,
            "instance_id": session_id,
            "session_id": event.session_id or session_id,
            "source": event.source,
            "data": event.data,
        }
    )


def _last(file: SessionFile, before: int | None, limit: int, max_bytes: int) -> tuple[list[bytes], bool]:
    """The last events of a session, or the last before the seq `before`, and whether there are earlier ones."""
    tail = _Tail(file.session_id, limit, max_bytes)
    with closing(reader.events(file)) as found:
        for seq, event in enumerate(found, 1):
            if before is not None and seq >= before:
                break
            tail.add(seq, event)
    return tail.page()


class _Tail:
    """The newest of many events, within bounds; only those that may be told at last are encoded."""

    def __init__(self, session_id: str, limit: int, max_bytes: int) -> None:
        self._session_id = session_id
        self._limit = limit
        self._max_bytes = max_bytes
        self._events: deque[tuple[int, Event]] = deque()  # not encoded yet, newer than all of `_encoded`
        self._encoded: deque[bytes] = deque()
        self._size = 0  # bytes of `_encoded`
        self._more = False

    def add(self, seq: int, event: Event) -> None:
        self._events.append((seq, event))
        if len(self._events) > self._limit:
            self._events.popleft()
            self._more = True
        # Whole lists may have 256 KiB each, so they must not add up here.
        if len(self._events) > UNENCODED or event.type in _LARGE:
            self._encode()

    def page(self) -> tuple[list[bytes], bool]:
        self._encode()
        return list(self._encoded), self._more

    def _encode(self) -> None:
        while self._events:
            message = _message(self._events[0][1], self._events[0][0], self._session_id)
            self._events.popleft()
            self._encoded.append(message)
            self._size += len(message)
        while len(self._encoded) > self._limit or (self._size > self._max_bytes and len(self._encoded) > 1):
            self._size -= len(self._encoded.popleft())
            self._more = True


def _next_page(reading: _Reading, since: int, limit: int, max_bytes: int) -> tuple[list[bytes], bool]:
    page: list[bytes] = []
    size = 0
    while True:
        item = reading.ahead or next(reading.messages, None)
        reading.ahead = None
        if item is None:
            return page, False
        seq, message = item
        if seq > since:
            size += len(message)
            if len(page) == limit or (page and size > max_bytes):
                reading.ahead = item
                return page, True
            page.append(message)
        reading.seq = seq


def _after(listed: list[Listed], session_id: str | None) -> Iterator[Listed]:
    """The sessions behind the one with this id; all if it is None, and none if it is not there any more."""
    found = iter(listed)
    if session_id is not None:
        for one in found:
            if one.file.session_id == session_id:
                break
    return found


def _is_below(working_dir: str | None, project: Path) -> bool:
    if working_dir is None:
        return False
    wanted = Path(project).resolve()
    return wanted == Path(working_dir) or wanted in Path(working_dir).parents
