"""What is worth a notification: one for each question that stays open, one for each end."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.fleet.notify import notification
from claude_mpm.fleet.notify.notification import News, Notification

Json = dict[str, Any]
INFO = {"name": "review", "hostname": "here", "working_dir": "/w/project", "port": 8765, "git_branch": None, "pid": 3}
BASH = {"kind": "permission", "tool": "Bash", "input": {"command": "secret"}, "message": "May I?"}


def doing(activity: Any, request_id: str | None = None, **waiting_for: Any) -> Event:
    named = {"request_id": request_id} if request_id else {}
    waiting = {**BASH, **named, **waiting_for} if activity == "waiting" else None
    return ev.claude_status("running", origin=Origin("hook"), activity=activity, waiting_for=waiting)


def ended(source: Any = "process", at: float | None = None, **how: Any) -> Event:
    how = {"exit_code": None, "signal": None, "reason": "Claude ended", **how}
    return ev.session_end("s-1", time.time() if at is None else at, 5.0, source=source, **how)


class Told:
    """News of any number of instances, by a clock that the test sets."""

    def __init__(self, settle: float = 1.0) -> None:
        self.news = News(lambda instance_id: INFO, settle)
        self.logs: dict[str, Log] = {}

    def note(self, event: Event, now: float, instance: str = "i") -> Notification | None:
        entry = self.logs.setdefault(instance, Log(instance)).append(event)
        return self.news.note(entry.message(), now)

    def due(self, now: float) -> list[Json]:
        return [each.body for each in self.news.due(now)]


def test_a_question_is_announced_once_it_has_been_open_for_a_moment() -> None:
    told = Told()
    told.note(doing("working"), 9.0)
    assert told.news.next_due() is None
    assert told.note(doing("waiting"), 10.0) is None
    assert told.news.next_due() == 11.0 and told.due(10.9) == []
    (body,) = told.due(11.0)
    assert body.pop("at").endswith("Z")
    assert body == {
        "event": "needs_you",
        "text": "review on here: needs you: permission (Bash)",
        "instance": {
            "instance_id": "i", "name": "review", "machine": "here", "working_dir": "/w/project", "port": 8765,
            "git_branch": None,
        },
        "session_id": None,
        "waiting_for": {"kind": "permission", "tool": "Bash", "message": "May I?"},
    }  # fmt: skip
    assert told.due(99.0) == [] and told.news.next_due() is None


def test_what_is_answered_at_once_is_not_announced() -> None:
    told = Told()
    told.note(doing("waiting"), 10.0)
    told.note(doing("working"), 10.5)
    assert told.due(99.0) == []


def test_more_said_of_the_same_question_is_no_second_one() -> None:
    told = Told()
    told.note(doing("waiting"), 10.0)
    told.note(doing("waiting", message="More"), 10.5)
    (body,) = told.due(11.0)
    assert body["waiting_for"]["message"] == "More"
    told.note(doing("waiting", "q-1", answerable=True), 12.0)
    told.note(doing("waiting", "q-1"), 13.0)
    told.note(doing("waiting"), 14.0)
    assert told.due(99.0) == []


def test_each_of_several_questions_is_announced_and_none_twice() -> None:
    told = Told()
    told.note(doing("waiting", "q-1"), 10.0)
    assert len(told.due(11.0)) == 1
    told.note(doing("waiting", "q-2"), 12.0)
    assert len(told.due(13.0)) == 1
    told.note(doing("waiting", "q-1"), 14.0)  # q-2 was answered, q-1 is shown again
    told.note(doing("waiting", "q-3"), 15.0)
    told.note(doing("waiting", "q-1"), 15.5)  # and q-3 at once
    assert told.due(99.0) == []
    told.note(doing("working"), 99.0)
    told.note(doing("waiting", "q-4"), 100.0)
    assert len(told.due(101.0)) == 1


def test_instances_are_kept_apart() -> None:
    told = Told()
    told.note(doing("waiting"), 10.0, "one")
    told.note(doing("waiting"), 10.0, "two")
    told.note(doing("idle"), 10.5, "one")
    assert [body["instance"]["instance_id"] for body in told.due(11.0)] == ["two"]


def test_an_end_is_told_at_once_and_takes_a_question_back() -> None:
    told = Told()
    told.note(doing("waiting"), 10.0)
    (waiting,) = told.news.due(11.0)
    assert told.news.is_current(waiting)
    end = told.note(ended(exit_code=3, reason="Claude ended with exit code 3"), 12.0)
    assert end is not None and told.news.is_current(end) and not told.news.is_current(waiting)
    assert end.body["text"] == "review on here: ended with exit code 3"
    assert {key: end.body[key] for key in ("event", "exit_code", "signal", "reason", "duration_seconds")} == {
        "event": "ended", "exit_code": 3, "signal": None, "reason": "Claude ended with exit code 3", "duration_seconds": 5.0,
    }  # fmt: skip


@pytest.mark.parametrize("event", [ended("hook", reason="clear"), ended(at=time.time() - 3600)])
def test_neither_a_cleared_session_nor_one_that_ended_long_ago_is_news(event: Event) -> None:
    assert Told().note(event, 10.0) is None


def test_nothing_secret_long_or_unprintable_is_sent() -> None:
    told = Told()
    asked = {"questions": [{"question": "Which colour?\x1b[31m"}, 3, {"question": "x" * 5000}], "other": "secret"}
    told.note(doing("waiting", kind="question", tool="T\x1b\n\u202e" + "x" * 5000, input=asked), 10.0)
    (body,) = told.due(11.0)
    text = json.dumps(body)
    assert "secret" not in text and "\\u001b" not in text and "\\u202e" not in text and len(text) < 3000
    assert [question[:13] for question in body["questions"]] == ["Which colour?", "x" * 13]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "MAX_WAITING", 3)
    told = Told()
    for number in range(5):
        told.note(doing("waiting"), 10.0, str(number))
    assert [body["instance"]["instance_id"] for body in told.due(11.0)] == ["2", "3", "4"]
    told.news.forget()
    told.note(doing("waiting"), 20.0, "4")
    assert len(told.due(21.0)) == 1, "after a loss better twice than never"
