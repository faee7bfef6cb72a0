from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.system import json_text


def strictly(text: bytes) -> Any:
    """Decode as RFC 8259 demands, which Python's json does not unless it is told to."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1E+400", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_read_as_null(text: str) -> None:
    assert json_text.loads(text) is None
    assert json_text.loads(f'{{"a":[{text},1.5,2]}}') == {"a": [None, 1.5, 2]}


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_not_finite_is_written_as_null_and_the_rest_stays(number: float) -> None:
    value = {"a": [number, 1.5, "é"], "b": ({"c": number, "d": True},), "e": None}
    assert json_text.dumps(value) == '{"a":[null,1.5,"é"],"b":[{"c":null,"d":true}],"e":null}'.encode()


def test_finite_numbers_are_read_as_they_are() -> None:
    assert json_text.loads("[1.5,-0.0,1e-999,1e308,12345678901234567890]") == [
        1.5,
        -0.0,
        0.0,
        1e308,
        12345678901234567890,
    ]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, b"\xff", "nan", "[1e]"])
def test_what_is_not_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        json_text.loads(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_values)
def test_whatever_is_written_is_json_and_is_read_back_the_same(value: Any) -> None:
    text = json_text.dumps(value)
    assert strictly(text) == json_text.loads(text)
    assert json_text.dumps(json_text.loads(text)) == text


def test_what_has_no_json_is_refused() -> None:
    circle: list[object] = [float("nan")]
    circle.append(circle)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep, 10**5000):
        with pytest.raises(ValueError):
            json_text.dumps(value)
    with pytest.raises(TypeError):
        json_text.dumps({"a": object()})


def test_an_event_with_an_infinite_number_is_json_in_the_log() -> None:
    event = ev.tool_start("t", "Bash", {"timeout": float("inf"), "command": "ls"}, origin=Origin("hook"))
    assert strictly(Log("i").append(event).json)["data"]["input"] == {"timeout": None, "command": "ls"}
