"""Questions that clients may answer: joined to their tool calls, and told to the end."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse import observations as obs
from claude_mpm.sources.parse.observations import Observation, Who
from claude_mpm.sources.track.activity import NO_HOOK_ASKED
from claude_mpm.sources.track.questions import IN_TERMINAL
from claude_mpm.sources.track.tracker import Tracker

SESSION = "11111111-1111-4111-8111-111111111111"
MAIN = Who(SESSION)
COMMAND = {"command": "python3 x"}


class Told:
    """A tracker and what it told; each observation is a second later than the one before."""

    def __init__(self, unanswerable: str | None = None) -> None:
        self.tracker = Tracker(SESSION, None, unanswerable, unanswerable is None)
        self.events: list[Event] = []
        self.now = 100.0

    def see(self, observation: Observation, source: Source = "hook") -> list[Event]:
        self.now += 1
        events = self.tracker.observe(observation, source, self.now)
        self.events += events
        return events

    def starts(self, tool_use_id: str = "t1", tool: str = "Bash", given: Any = None, who: Who = MAIN) -> None:
        self.see(obs.ToolStarted(who, self.now, tool_use_id, tool, given or COMMAND))

    def ends(self, tool_use_id: str = "t1", ok: bool = True, summary: str | None = None) -> None:
        self.see(obs.ToolEnded(MAIN, self.now, tool_use_id, None, None, ok, summary, {}))

    def dialog(self, who: Who = MAIN) -> None:
        message = "Claude needs your permission to use Bash"
        self.see(obs.Notified(who, self.now, "permission", message, True))

    def asked(self, request_id: str = "q-1", agent_id: str | None = None, **given: Any) -> None:
        question = {"kind": "permission", "tool": "Bash", "input": COMMAND, "decisions": ["allow", "deny"], **given}
        question |= {"agent_id": agent_id} if agent_id else {}
        self.see(obs.Asked(Who(None, agent_id), self.now, request_id, question))

    def delivered(self, decision: ev.Decision = "allow", request_id: str = "q-1") -> None:
        self.see(obs.AnswerDelivered(Who(), self.now, request_id, decision, "client-1"))

    def busy(self, status: Any = "busy") -> None:
        self.see(obs.Busy(MAIN, self.now, status), "session_file")

    def states(self, request_id: str = "q-1") -> list[str]:
        found = [event.data for event in self.events if event.type == ev.CLAUDE_QUESTION]
        return [data["state"] for data in found if data["request_id"] == request_id]

    @property
    def last(self) -> dict[str, Any]:
        """The last question event."""
        return dict([event.data for event in self.events if event.type == ev.CLAUDE_QUESTION][-1])

    @property
    def status(self) -> dict[str, Any]:
        return dict([event.data for event in self.events if event.type == ev.CLAUDE_STATUS][-1])

    @property
    def waiting_for(self) -> dict[str, Any]:
        assert self.status["activity"] == "waiting", self.status
        return dict(self.status["waiting_for"])


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_dialog_becomes_answerable_when_its_hook_waits(told: Told) -> None:
    told.starts()
    told.dialog()
    assert "answerable" not in told.waiting_for, "not known yet"
    told.asked()
    assert told.waiting_for["answerable"] is True and told.waiting_for["request_id"] == "q-1"
    assert (told.last["state"], told.last["tool_use_id"]) == ("asked", "t1")


@pytest.mark.parametrize("order", ["hook first", "call last"])
def test_the_order_of_the_records_does_not_matter(told: Told, order: str) -> None:
    told.asked()
    if order == "hook first":
        told.starts()
        told.dialog()
    else:
        told.dialog()
        told.starts()
    assert told.waiting_for["request_id"] == "q-1"
    told.delivered()
    told.ends()
    assert told.states() == ["asked", "delivered", "applied"] and told.last["tool_use_id"] == "t1"
    assert told.status["activity"] == "working"


def test_the_whole_input_is_told(told: Told) -> None:
    content = "x" * 200_000
    told.starts(tool="Write", given={"content": content})
    told.asked(tool="Write", input={"content": content})
    assert told.waiting_for["input"] == {"content": content} and told.last["tool_use_id"] == "t1"


def test_an_allowed_call_is_applied_when_claude_is_busy_again(told: Told) -> None:
    told.starts()
    told.asked()
    told.busy("waiting")
    told.delivered()
    assert told.states() == ["asked", "delivered"]
    told.busy()
    assert told.states() == ["asked", "delivered", "applied"]
    assert (told.last["decision"], told.last["client"]) == ("allow", "client-1")
    told.ends()
    assert told.states() == ["asked", "delivered", "applied"]


def test_an_allowed_call_that_fails_was_allowed_all_the_same(told: Told) -> None:
    told.starts()
    told.asked()
    told.delivered()
    told.ends(ok=False, summary="exit code 1")
    assert told.states()[-1] == "applied"


def test_a_denied_call_is_applied_when_its_refusal_is_recorded(told: Told) -> None:
    told.starts()
    told.asked()
    told.delivered("deny")
    told.busy()
    assert told.states() == ["asked", "delivered"], "busy proves nothing about a refusal"
    told.ends(ok=False, summary="use the test database")
    assert told.states()[-1] == "applied" and told.status["activity"] == "working"


@pytest.mark.parametrize(
    ("decision", "ok", "summary"),
    [
        ("deny", True, None),  # the user said Yes a moment before
        ("allow", False, "The user doesn't want to proceed with this tool use. The tool use was rejected"),
    ],
)
def test_an_answer_that_claudes_record_contradicts_was_not_applied(
    told: Told, decision: ev.Decision, ok: bool, summary: str | None
) -> None:
    told.starts()
    told.asked()
    told.delivered(decision)
    told.ends(ok=ok, summary=summary)
    assert told.states()[-1] == "withdrawn" and told.last["reason"] == IN_TERMINAL


@pytest.mark.parametrize("sign", ["end", "busy", "idle", "interrupted"])
def test_the_users_own_answer_withdraws_the_question(told: Told, sign: str) -> None:
    told.starts()
    told.asked()
    if sign == "end":
        told.ends()
    elif sign == "interrupted":
        told.see(obs.Interrupted(MAIN, told.now))
    else:
        told.busy(sign)
    assert told.states() == ["asked", "withdrawn"] and told.last["reason"] == IN_TERMINAL
    assert told.status["activity"] in ("working", "idle")


def test_a_hook_that_ends_leaves_the_dialog_to_the_terminal(told: Told) -> None:
    told.starts()
    told.asked()
    told.see(obs.HookEnded(Who(), told.now, "q-1", "out of time"))
    assert told.states() == ["asked", "withdrawn"]
    waiting_for = told.waiting_for
    assert (waiting_for["answerable"], waiting_for["reason"]) == (False, "out of time")
    assert "request_id" not in waiting_for and waiting_for["input"] == COMMAND


def test_a_record_from_just_before_the_hooks_end_still_counts(told: Told) -> None:
    """After Esc, Claude notes that it is idle and then ends the hook; we may hear of the hook first."""
    told.starts()
    told.asked()
    idle = obs.Busy(MAIN, told.now + 0.5, "idle")
    told.now += 1
    told.see(obs.HookEnded(Who(), told.now, "q-1", "taken back"))
    assert told.waiting_for["answerable"] is False
    told.see(idle, "session_file")
    assert told.status["activity"] == "idle"


def test_a_hook_that_never_opened_a_question_says_why(told: Told) -> None:
    told.starts()
    told.dialog()
    told.see(obs.HookEnded(Who(), told.now, None, "too large"))
    assert (told.waiting_for["answerable"], told.waiting_for["reason"]) == (False, "too large")


def test_the_reason_is_told_also_when_it_is_known_before_the_dialog(told: Told) -> None:
    told.starts()
    told.see(obs.HookEnded(Who(), told.now, None, "no client was connected"))
    told.dialog()
    assert (told.waiting_for["answerable"], told.waiting_for["reason"]) == (False, "no client was connected")


def test_a_dialog_no_hook_was_asked_about_is_told_as_such(told: Told) -> None:
    """As with 2.1's auto mode, when it cannot check a command."""
    told.starts()
    told.see(obs.Notified(MAIN, told.now, "permission", "Claude needs your permission"))
    assert (told.waiting_for["answerable"], told.waiting_for["reason"]) == (False, NO_HOOK_ASKED)


def test_a_notification_behind_the_question_changes_nothing(told: Told) -> None:
    told.starts()
    told.asked()
    assert told.see(obs.Notified(MAIN, told.now, "permission", "Claude needs your permission")) == []


def test_a_session_that_cannot_be_answered_says_why() -> None:
    told = Told("claude-mpm was started without --websocket-control")
    told.starts()
    told.dialog()
    assert told.waiting_for["answerable"] is False and "--websocket-control" in told.waiting_for["reason"]


def test_an_agents_question_stays_while_the_conversation_goes_on(told: Told) -> None:
    """2.1 runs the hook of a background agent before its dialog, and goes on meanwhile."""
    told.starts(who=Who(SESSION, "a1"))
    told.asked(agent_id="a1")
    for status in ("busy", "idle", "busy"):
        told.busy(status)
        assert told.waiting_for["request_id"] == "q-1"
    told.delivered()
    told.ends()
    assert told.states() == ["asked", "delivered", "applied"] and told.status["activity"] == "working"


def test_questions_of_two_agents_are_shown_one_after_the_other(told: Told) -> None:
    told.starts("t1", who=Who(SESSION, "a1"))
    told.starts("t2", who=Who(SESSION, "a2"))
    told.asked("q-1", agent_id="a1")
    told.asked("q-2", agent_id="a2")
    assert told.waiting_for["request_id"] == "q-2"
    told.delivered(request_id="q-2")
    told.ends("t2")
    assert told.states("q-2")[-1] == "applied" and told.waiting_for["request_id"] == "q-1"
    told.see(obs.AgentEnded(Who(SESSION, "a1"), told.now))
    assert told.states("q-1")[-1] == "withdrawn"


def test_two_equal_calls_have_a_question_each(told: Told) -> None:
    told.starts("t1")
    told.starts("t2")
    told.asked("q-1")
    told.asked("q-2")
    told.ends("t1")
    assert (told.states("q-1")[-1], told.states("q-2")[-1]) == ("withdrawn", "asked")


def test_the_end_of_the_process_withdraws_all(told: Told) -> None:
    told.asked("q-1")
    told.asked("q-2", agent_id="a1")
    told.see(obs.ProcessEnded(Who(), told.now, 0, None), "process")
    assert (told.states("q-1")[-1], told.states("q-2")[-1]) == ("withdrawn", "withdrawn")


def test_the_number_of_open_questions_is_bounded(told: Told) -> None:
    for number in range(200):
        told.asked(f"q-{number}", agent_id="a1")
    assert told.states("q-0")[-1] == "withdrawn" and told.states("q-199") == ["asked"]
