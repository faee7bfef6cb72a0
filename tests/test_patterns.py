from __future__ import annotations

import pytest

from claude_mpm.feed import event as ev
from claude_mpm.feed.patterns import any_matches, expand, is_pattern, matches


@pytest.mark.parametrize("good", ["*", "agent.*", "todo.update", "claude.screen", "later.thing", "a", "a.b.c", "a.b.*"])
def test_a_name_a_prefix_and_the_star_are_patterns(good: str) -> None:
    assert is_pattern(good)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "**",
        "*.update",
        "agent*",
        "agent.",
        ".agent",
        "Agent.*",
        "agent .*",
        "a\n",
        "é",
        "a" * 65,
        None,
        1,
        ["*"],
        True,
    ],
)
def test_anything_else_is_not(bad: object) -> None:
    assert not is_pattern(bad)


def test_the_star_matches_every_type_but_the_screen() -> None:
    assert expand(["*"]) == frozenset(ev.EVENT_TYPES) - {ev.CLAUDE_SCREEN}


def test_the_screen_is_asked_for_by_name() -> None:
    assert not matches("claude.*", ev.CLAUDE_SCREEN)
    assert matches("claude.screen", ev.CLAUDE_SCREEN)
    assert expand(["*", "claude.screen"]) == frozenset(ev.EVENT_TYPES)


def test_a_prefix_matches_whole_words() -> None:
    assert expand(["agent.*"]) == {ev.AGENT_DELEGATION, ev.AGENT_STATUS}
    assert not matches("agent.*", "agents.x")
    assert not matches("agent.*", "agent")


def test_a_name_matches_itself_alone() -> None:
    assert expand(["todo.update"]) == {ev.TODO_UPDATE}
    assert expand(["later.thing"]) == frozenset()
    assert any_matches(["x", "todo.update"], ev.TODO_UPDATE)
    assert not any_matches([], ev.TODO_UPDATE)
