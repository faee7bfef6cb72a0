"""sessions/<pid>.json: what Claude says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import as_line, patient, records

from claude_mpm.sources.parse import session_file
from claude_mpm.sources.parse.observations import Busy, SessionStarted


@pytest.mark.parametrize("status", ["busy", "idle", "waiting"])
def test_tells_the_session_and_what_it_does(status: str) -> None:
    content = as_line({"pid": 5, "sessionId": "s1", "cwd": "/p", "status": status, "statusUpdatedAt": 1795454063540})
    started, busy = session_file.parse(content)
    assert isinstance(started, SessionStarted) and started.who.session_id == "s1"
    assert isinstance(busy, Busy) and busy.status == status


def test_a_status_of_a_later_version_is_none() -> None:
    (only,) = session_file.parse(b'{"sessionId": "s1", "status": "dreaming"}')
    assert isinstance(only, SessionStarted)


def test_half_a_file_is_nothing() -> None:
    whole = b'{"sessionId": "s1", "status": "busy"}'
    assert all(session_file.parse(whole[:size]) == [] for size in range(len(whole)))


@given(records, st.binary(max_size=50))
@patient
def test_nothing_is_an_exception(record: dict[str, Any], data: bytes) -> None:
    session_file.parse(as_line(record))
    session_file.parse(data)
