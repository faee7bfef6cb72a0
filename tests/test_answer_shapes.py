"""What Claude is told, in the shapes that it takes (measured with 2.0.77 to 2.1.331)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sightings import patient, values
from support import DATA

from claude_mpm.errors import ProtocolError
from claude_mpm.monitor.answers.question import Question, answer_line, parse

COLOR, SIZES = "Which color do you want?", "Which sizes do you want?"


def recorded(name: str) -> Question:
    return parse((DATA / f"answering/2.1.331-PermissionRequest{name}.json").read_bytes())


def decision(question: Question, chosen: str, message: str | None = None, answers: object = None) -> dict[str, Any]:
    line = answer_line(question, chosen, message, answers)
    assert b"\n" not in line
    output = json.loads(line)["hookSpecificOutput"]
    assert output["hookEventName"] == "PermissionRequest"
    return dict(output["decision"])


def test_allow_and_deny() -> None:
    bash = recorded("")
    assert decision(bash, "allow") == {"behavior": "allow"}
    assert decision(bash, "deny", "use x\n\u2028") == {"behavior": "deny", "message": "use x\n\u2028"}
    assert decision(bash, "deny")["message"]


def test_allow_for_the_session_writes_no_file() -> None:
    (rule,) = decision(recorded(""), "allow_session")["updatedPermissions"]
    assert rule["destination"] == "session" and rule["behavior"] == "allow"
    assert decision(recorded("-Write"), "allow_session")["updatedPermissions"] == [
        {"type": "setMode", "mode": "acceptEdits", "destination": "session"}
    ]


@pytest.mark.parametrize(
    "suggestion",
    [
        {"type": "setMode", "mode": "bypassPermissions", "destination": "session"},
        {"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "deny", "destination": "session"},
        {"type": "addRules", "rules": [{"ruleContent": "x"}], "behavior": "allow", "destination": "session"},
        {"type": "removeRules", "rules": [{"toolName": "Bash"}], "behavior": "deny", "destination": "session"},
        {"type": "addDirectories", "directories": [1], "destination": "session"},
        {"type": "somethingNew"},
        "x",
    ],
)
def test_a_suggestion_that_does_more_than_permit_is_not_passed_on(suggestion: object) -> None:
    entry = json.loads((DATA / "answering/2.1.331-PermissionRequest.json").read_text())
    for suggestions in ([suggestion], [*entry["permission_suggestions"], suggestion]):
        question = parse(json.dumps(entry | {"permission_suggestions": suggestions}).encode())
        assert question.decisions == ["allow", "deny"]
        with pytest.raises(ProtocolError):
            answer_line(question, "allow_session", None, None)


def test_questions_are_answered_as_claudes_own_form_does() -> None:
    question = recorded("-AskUserQuestion")
    updated = decision(question, "allow", None, {COLOR: "Blue", SIZES: ["S", "M"]})["updatedInput"]
    assert updated == {**question.input, "answers": {COLOR: "Blue", SIZES: "S, M"}}


@pytest.mark.parametrize(
    "answers",
    [None, {}, [], "Blue", {COLOR: "Blue"}, {COLOR: "Blue", SIZES: []}, {COLOR: "", SIZES: "S"}, {COLOR: " ", SIZES: "S"},
     {COLOR: ["Blue"], SIZES: "S"}, {COLOR: 1, SIZES: "S"}, {COLOR: "Blue", SIZES: ["S", ""]},
     {COLOR: "Blue", SIZES: "S", "Another?": "x"}],
)  # fmt: skip
def test_a_question_without_every_answer_is_refused(answers: object) -> None:
    """2.0.77 would take empty answers."""
    with pytest.raises(ProtocolError) as refused:
        answer_line(recorded("-AskUserQuestion"), "allow", None, answers)
    assert refused.value.code == "invalid_params"


def test_an_approved_plan_leaves_plan_mode() -> None:
    plan = recorded("-ExitPlanMode")
    assert decision(plan, "allow") == {
        "behavior": "allow",
        "updatedInput": dict(plan.input),
        "updatedPermissions": [{"type": "setMode", "mode": "default", "destination": "session"}],
    }
    assert "planning" in decision(plan, "deny")["message"]


@pytest.mark.parametrize(
    ("chosen", "message", "answers"),
    [("", None, None), ("allow ", None, None), ("allow", "a word", None), ("allow", None, {}), ("deny", None, {})],
)
def test_what_does_not_belong_together_is_refused(chosen: str, message: str | None, answers: object) -> None:
    with pytest.raises(ProtocolError) as refused:
        answer_line(recorded(""), chosen, message, answers)
    assert refused.value.code == "invalid_params"


@given(st.sampled_from(["Bash", "AskUserQuestion", "ExitPlanMode"]), values, values, values)
@patient
def test_whatever_claude_and_clients_send_is_one_line_or_an_error(
    tool: str, given_input: Any, suggestions: Any, answers: Any
) -> None:
    payload = {"hook_event_name": "PermissionRequest", "tool_name": tool, "tool_input": given_input}
    try:
        question = parse(json.dumps(payload | {"permission_suggestions": suggestions}).encode())
    except ValueError:
        return
    question.describe()
    for chosen in ("allow", "allow_session", "deny"):
        try:
            assert b"\n" not in answer_line(question, chosen, None, answers)
        except ProtocolError:
            pass
