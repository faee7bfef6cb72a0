"""stream-json of three versions, line by line; and that no line can do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import as_line, kinds, patient, records
from support import DATA

from claude_mpm.sources.parse import stream_json
from claude_mpm.sources.parse.observations import (
    AgentEnded,
    AgentSeen,
    ApiFailed,
    ContextWindow,
    Cost,
    Observation,
    Said,
    TurnEnded,
)

FILES = sorted((DATA / "stream_json").glob("*.jsonl"))


def parsed(path: Path) -> list[Observation]:
    return [one for line in path.read_bytes().splitlines() for one in stream_json.parse(line)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_recorded_run_has_a_session_a_cost_and_an_end(path: Path) -> None:
    found = parsed(path)
    assert kinds(found)["SessionStarted"] >= 1 and kinds(found)["Cost"] >= 1
    assert isinstance(found[-1], TurnEnded)
    assert len({one.who.session_id for one in found if one.who.session_id}) == 1


def test_results_are_found_though_they_do_not_begin_with_their_type() -> None:
    found = [one for one in parsed(DATA / "stream_json/stream-json.v2.1.330-tasks-bg.jsonl") if isinstance(one, Cost)]
    assert [one.usd for one in found][-1] == 0.08256 and len(found) == 4


def test_an_agents_lines_say_whose_they_are() -> None:
    v1 = parsed(DATA / "stream_json/stream-json.v1.0.128.jsonl")
    assert {one.who.delegated_by for one in v1} > {None} and not any(one.who.agent_id for one in v1)
    v2 = parsed(DATA / "stream_json/stream-json.v2.1.330-tasks-bg.jsonl")
    assert any(isinstance(one, Said) and one.who.agent_id and one.who.delegated_by for one in v2)


def test_background_agents_start_and_end_with_numbers() -> None:
    found = parsed(DATA / "stream_json/stream-json.v2.1.330-tasks-bg.jsonl")
    started = [one for one in found if isinstance(one, AgentSeen) and one.background]
    ended = [one for one in found if isinstance(one, AgentEnded)]
    assert {one.tool_use_id for one in started} == {one.tool_use_id for one in ended} and len(ended) == 3
    assert all(one.ok and one.tokens == 1370 and one.tool_uses == 1 for one in ended)


def test_api_error_is_told_with_its_retry() -> None:
    found = [
        one for one in parsed(DATA / "stream_json/stream-json.v2.1.330-api529.jsonl") if isinstance(one, ApiFailed)
    ]
    assert [one.final for one in found] == [False, True]
    assert found[0].text == "overloaded 529, retry 1 of 1" and found[1].text.startswith("API Error: 529")


@given(records)
@patient
def test_no_record_is_an_exception(record: dict[str, Any]) -> None:
    stream_json.parse(as_line(record))


@given(st.binary(max_size=200))
@patient
def test_no_bytes_are_an_exception(data: bytes) -> None:
    stream_json.parse(data)


def test_plain_text_output_is_nothing() -> None:
    assert stream_json.parse(b"All done.") == [] and stream_json.parse(b"42") == [] and stream_json.parse(b'"x"') == []


def test_a_result_tells_how_much_the_context_of_each_model_holds() -> None:
    found = parsed(DATA / "stream_json/stream-json.v2.1.330-tasks-bg.jsonl")
    windows = {(one.model, one.tokens) for one in found if isinstance(one, ContextWindow)}
    assert windows == {("claude-opus-5-5", 1_000_000)}


@pytest.mark.parametrize("usage", [None, [], {"m": None}, {"m": {"contextWindow": "x"}}, {"": {"contextWindow": 5}}])
def test_a_context_window_of_another_shape_is_none(usage: object) -> None:
    line = json.dumps({"type": "result", "subtype": "success", "session_id": "s1", "modelUsage": usage})
    assert not [one for one in stream_json.parse(line.encode()) if isinstance(one, ContextWindow)]
