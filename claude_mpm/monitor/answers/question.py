"""A question of Claude's that a client may answer, and the answer as Claude takes it. Pure; any thread.

The shapes are those of Claude Code's PermissionRequest hook, as 2.0.77 to 2.1.331 accept them (docs/claude-code.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claude_mpm.errors import ProtocolError
from claude_mpm.feed.event import Decision
from claude_mpm.system import json_text

MAX_INPUT = 256 * 1024  # bytes of JSON; a client must see the whole input of what it allows
MAX_NAME = 500  # characters of a tool's name or an agent's id
MAIN_WAIT = 24 * 3600.0  # seconds; the dialog is in the terminal as well, so nobody is kept waiting
AGENT_WAIT = 20.0  # seconds; 2.1 runs a background agent's hook before its dialog, and shows the user nothing meanwhile

ASK_USER, EXIT_PLAN = "AskUserQuestion", "ExitPlanMode"
NOT_UNDERSTOOD = "Claude asks in a form that is not known here"
TOO_LARGE = f"what it asks about has more than {MAX_INPUT // 1024} KiB and cannot be shown whole"
_DENIED = {EXIT_PLAN: "The user wants to keep planning."}
_DENIED_OTHERWISE = "The user refused this."
# Without it 2.0.77 stays in plan mode after an approved plan.
_LEAVE_PLAN_MODE = {"type": "setMode", "mode": "default", "destination": "session"}
_MODES = {"acceptEdits": "edits of files in this project, without asking"}


@dataclass(frozen=True)
class Question:
    """What Claude's hook was passed.

    Attributes:
        tool, input: the call that waits.
        agent_id: the subagent that asks; None in the main conversation.
        grants: the permission updates that `allow_session` would send, in Claude's form; empty when Claude suggests
            none that could end with the session.
        wait: seconds for which it may be answered.
    """

    tool: str
    input: Mapping[str, Any]
    agent_id: str | None
    grants: tuple[Mapping[str, Any], ...]

    @property
    def wait(self) -> float:
        return AGENT_WAIT if self.agent_id else MAIN_WAIT

    @property
    def decisions(self) -> list[Decision]:
        """What may be answered."""
        return ["allow", "allow_session", "deny"] if self.grants else ["allow", "deny"]

    def describe(self) -> dict[str, Any]:
        """The fields of `claude.question` that do not change."""
        data: dict[str, Any] = {
            "kind": "question" if self.tool == ASK_USER else "permission",
            "tool": self.tool,
            "input": dict(self.input),
            "decisions": self.decisions,
        }
        if self.grants:
            data["grants"] = [line for grant in self.grants for line in _lines(grant)]
        return data | ({"agent_id": self.agent_id} if self.agent_id else {})


def parse(payload: bytes) -> Question:
    """The question of a hook's payload.

    Raises:
        ValueError: it cannot be answered here; one sentence that says why.
    """
    try:
        entry = json_text.loads(payload)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or entry.get("hook_event_name") != "PermissionRequest":
        raise ValueError(NOT_UNDERSTOOD)
    tool, given, agent_id = entry.get("tool_name"), entry.get("tool_input"), entry.get("agent_id")
    if not isinstance(tool, str) or not 0 < len(tool) <= MAX_NAME or not isinstance(given, dict):
        raise ValueError(NOT_UNDERSTOOD)
    if agent_id is not None and (not isinstance(agent_id, str) or len(agent_id) > MAX_NAME):
        raise ValueError(NOT_UNDERSTOOD)
    if tool == ASK_USER and not _questions(given):
        raise ValueError(NOT_UNDERSTOOD)
    if len(json_text.dumps(given)) > MAX_INPUT:
        raise ValueError(TOO_LARGE)
    grants = () if tool in (ASK_USER, EXIT_PLAN) else _session_grants(entry.get("permission_suggestions"))
    return Question(tool, given, agent_id or None, grants)


def answer_line(question: Question, decision: str, message: str | None, answers: object) -> bytes:
    """What the hook has to print, one line of JSON without its end.

    Args:
        decision: `allow`, `allow_session` or `deny`; checked here.
        message: to Claude, with `deny`.
        answers: with `allow` of AskUserQuestion: {text of the question: label, list of labels, or any text}.

    Raises:
        ProtocolError: `invalid_params`: a decision that was not offered, or an answer is missing.
    """
    if decision not in question.decisions:
        raise ProtocolError("invalid_params", f"decision must be one of {', '.join(question.decisions)}")
    if answers is not None and (question.tool != ASK_USER or decision != "allow"):
        raise ProtocolError("invalid_params", "answers belong to an allowed AskUserQuestion")
    if message is not None and decision != "deny":
        raise ProtocolError("invalid_params", "a message belongs to deny")
    return json_text.dumps(
        {
            "hookSpecificOutput": {
                "hookEventName": "PermissionRequest",
                "decision": _decision(question, decision, message, answers),
            }
        }
    )


def _decision(question: Question, decision: str, message: str | None, answers: object) -> dict[str, Any]:
    if decision == "deny":
        return {"behavior": "deny", "message": message or _DENIED.get(question.tool, _DENIED_OTHERWISE)}
    allow: dict[str, Any] = {"behavior": "allow"}
    if question.tool == ASK_USER:
        return allow | {"updatedInput": {**question.input, "answers": _answers(question, answers)}}
    if question.tool == EXIT_PLAN:
        return allow | {"updatedInput": dict(question.input), "updatedPermissions": [_LEAVE_PLAN_MODE]}
    return allow | ({"updatedPermissions": list(question.grants)} if decision == "allow_session" else {})


def _questions(given: Mapping[str, Any]) -> dict[str, bool]:
    """{text of each question: whether several labels may be chosen}; empty if that is not the form of the input."""
    questions = given.get("questions")
    found: dict[str, bool] = {}
    for entry in questions if isinstance(questions, list) else []:
        text = entry.get("question") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text:
            return {}
        found[text] = entry.get("multiSelect") is True
    return found


def _answers(question: Question, given: object) -> dict[str, str]:
    """One text for each question, as Claude's own form makes it: several labels are joined with commas."""
    wanted = _questions(question.input)
    if not isinstance(given, dict) or set(given) != set(wanted):
        raise ProtocolError("invalid_params", "answers must have one entry for each question, named by its text")
    chosen: dict[str, str] = {}
    for text, is_multiple in wanted.items():
        value = given[text]
        labels = value if isinstance(value, list) and is_multiple else [value]
        if not labels or not all(isinstance(label, str) and label.strip() for label in labels):
            kind = "a text or a list of texts" if is_multiple else "a text"
            raise ProtocolError("invalid_params", f"the answer to {text[:80]!r} must be {kind}, not empty")
        chosen[text] = ", ".join(labels)
    return chosen


def _session_grants(suggestions: object) -> tuple[Mapping[str, Any], ...]:
    """Claude's own suggestions, to end with the session: as they come, most would write a settings file.

    All or none: a part of them would be something else than what Claude's dialog offers.
    """
    entries: Sequence[Any] = suggestions if isinstance(suggestions, list) else []
    grants = [{**entry, "destination": "session"} for entry in entries if isinstance(entry, dict)]
    return tuple(grants) if len(grants) == len(entries) and all(_lines(grant) for grant in grants) else ()


def _lines(grant: Mapping[str, Any]) -> list[str]:
    """What a permission update permits, one entry a line; empty if it does anything but permit, or is not known."""
    kind = grant.get("type")
    if kind == "setMode":
        return [_MODES[mode]] if isinstance(mode := grant.get("mode"), str) and mode in _MODES else []
    if kind == "addDirectories":
        directories = grant.get("directories")
        names = directories if isinstance(directories, list) else []
        return [f"files in {name}" for name in names] if all(isinstance(name, str) for name in names) else []
    if kind != "addRules" or grant.get("behavior") != "allow":
        return []
    rules = grant.get("rules")
    return [_rule(rule) for rule in rules] if isinstance(rules, list) and all(map(_is_rule, rules)) else []


def _is_rule(rule: object) -> bool:
    if not isinstance(rule, dict) or not isinstance(rule.get("toolName"), str):
        return False
    return isinstance(rule.get("ruleContent", ""), str)


def _rule(rule: Mapping[str, Any]) -> str:
    """As Claude's settings write it: `Bash(git push:*)`."""
    content = rule.get("ruleContent")
    return f"{rule['toolName']}({content})" if content else f"{rule['toolName']} (any use)"
