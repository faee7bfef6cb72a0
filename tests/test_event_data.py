"""The typed shapes of events, docs/asyncapi.yaml and the tables of docs/protocol.md say the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from schemas import document
from support import ROOT

from claude_mpm.feed import event as ev
from claude_mpm.feed import event_data
from claude_mpm.feed.event_data import EVENT_DATA

SCHEMAS: Mapping[str, Any] = document()["components"]["schemas"]
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")


def schema_of(event_type: str) -> Mapping[str, Any]:
    properties = document()["components"]["messages"][event_type]["payload"]["allOf"][1]["properties"]
    schema: Mapping[str, Any] = SCHEMAS[properties["data"]["$ref"].rsplit("/", 1)[1]]
    return schema


def described(event_type: str) -> str:
    """The description of `data` in the table of events, or where the table sends its reader."""
    if event_type == ev.SYSTEM_STATUS:
        return PROTOCOL.split("`system.status`, enough to draw a dashboard", 1)[1].split("\n\n", 1)[0]
    (row,) = re.findall(rf"^\| `{re.escape(event_type)}` \|[^|]*\|(.*)\|$", PROTOCOL, re.MULTILINE)
    return str(row)


def assert_same(typed: Any, schema: Mapping[str, Any]) -> None:
    assert typed.__required_keys__ == frozenset(schema.get("required", ()))
    assert typed.__required_keys__ | typed.__optional_keys__ == frozenset(schema["properties"])


def test_every_event_type_has_a_shape() -> None:
    assert tuple(EVENT_DATA) == ev.EVENT_TYPES


@pytest.mark.parametrize("event_type", ev.EVENT_TYPES)
def test_a_shape_has_the_fields_of_the_document(event_type: str) -> None:
    assert_same(EVENT_DATA[event_type], schema_of(event_type))


@pytest.mark.parametrize("name", ["Tokens", "WaitingFor", "InstanceInfo", "Todo", "TodoStats"])
def test_a_part_has_the_fields_of_the_document(name: str) -> None:
    assert_same(getattr(event_data, name), SCHEMAS[name])


def test_agents_have_the_fields_of_the_document() -> None:
    properties = schema_of(ev.AGENT_STATUS)["properties"]
    assert_same(event_data.ActiveAgent, properties["active_agents"]["items"])
    assert_same(event_data.AgentCounts, properties["agent_stats"]["additionalProperties"])


@pytest.mark.parametrize("event_type", ev.EVENT_TYPES)
def test_the_table_of_events_names_the_same_fields(event_type: str) -> None:
    """Required fields are bold, and fields of parts stand in brackets or parentheses."""
    typed: Any = EVENT_DATA[event_type]
    words = described(event_type)
    assert frozenset(re.findall(r"\*\*`(\w+)`\*\*", words)) == typed.__required_keys__
    for _ in range(3):  # innermost first
        words = re.sub(r"\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}", "", words)
    fields = words.split(";")[0] if event_type == ev.AGENT_STATUS else words
    named = frozenset(re.findall(r"`(\w+)`", fields.split(": see", 1)[0]))
    assert named == typed.__required_keys__ | typed.__optional_keys__
