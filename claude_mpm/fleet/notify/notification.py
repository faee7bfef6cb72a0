"""What is worth a notification: frames of the protocol in, the JSON bodies to be sent out. Pure; belongs to one thread.

`needs_you` when a session begins to wait for somebody, once for each question, and `ended` when its process has ended. A
question that is answered within a moment is not announced: whoever sits at the terminal needs no message about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut

SETTLE_TIME = 1.0  # seconds; how long a question must be open before it is announced
TYPES = (ev.CLAUDE_STATUS, ev.SESSION_END)  # what note() has use for
MAX_AGE = 300.0  # seconds; an end that is learnt of later is no news: a hub that starts reads what sources still hold
MAX_WAITING = 10_000  # sessions that wait at the same time; of more, the oldest is forgotten
MAX_ANNOUNCED = 64  # questions remembered of one session while it waits
TEXT = 300  # characters of any text sent
MAX_QUESTIONS = 4  # texts; as many as Claude asks at once
_INSTANCE_FIELDS = ("name", "machine", "working_dir", "port", "git_branch")

Json = dict[str, Any]


@dataclass(eq=False)
class _Wait:
    """A session that waits for somebody. `frame` and `due` are about the question that is to be announced."""

    announced: list[str] = field(default_factory=list)  # the request_id of each question that was
    question: str | None = None  # the request_id of the one that is shown, once it is known
    frame: Mapping[str, Any] | None = None  # None once it has been announced
    due: float = 0.0  # time.monotonic()


@dataclass(frozen=True, eq=False)
class Notification:
    """One body to be sent. `wait` is what it is about; None for an end."""

    instance_id: str
    body: Json
    wait: _Wait | None


class News:
    """Finds out what is new from the frames of any number of instances.

    Args:
        instance: returns `instance_info` for an instance_id, with `machine` where it is known; {} for an unknown one.
        settle: seconds; see SETTLE_TIME.
    """

    def __init__(self, instance: Callable[[str], Mapping[str, Any]], settle: float = SETTLE_TIME) -> None:
        self._instance = instance
        self._settle = settle
        self._waits: dict[str, _Wait] = {}  # by instance_id

    def note(self, frame: Mapping[str, Any], now: float) -> Notification | None:
        """Take in an event of one of TYPES. Returns what is to be sent at once. `now`: time.monotonic()."""
        instance_id, data = frame["instance_id"], frame["data"]
        if frame["type"] == ev.SESSION_END:
            if frame.get("source") != "process":  # /clear and the like: Claude goes on
                return None
            self._waits.pop(instance_id, None)
            return None if _age(frame) > MAX_AGE else Notification(instance_id, self._ended(frame), None)
        if data.get("activity") == "waiting":
            self._waiting(frame, instance_id, now)
        else:
            self._waits.pop(instance_id, None)
        return None

    def due(self, now: float) -> list[Notification]:
        """What has been open for long enough and is announced from here on."""
        found = []
        for instance_id, wait in self._waits.items():
            if wait.frame is not None and wait.due <= now:
                found.append(Notification(instance_id, self._needs_you(wait.frame), wait))
                wait.frame = None
                if wait.question is not None:
                    wait.announced = [*wait.announced, wait.question][-MAX_ANNOUNCED:]
        return found

    def next_due(self) -> float | None:
        """When due() will have something; None if not before further frames."""
        return min((wait.due for wait in self._waits.values() if wait.frame is not None), default=None)

    def is_current(self, notification: Notification) -> bool:
        """Whether it is still worth sending: a session that goes on needs nobody any more."""
        return notification.wait is None or self._waits.get(notification.instance_id) is notification.wait

    def forget(self) -> None:
        """Events were lost, so it is not known who waits: the next that is told of a question announces it again."""
        self._waits.clear()

    def _waiting(self, frame: Mapping[str, Any], instance_id: str, now: float) -> None:
        question = (frame["data"].get("waiting_for") or {}).get("request_id")
        wait = self._waits.get(instance_id)
        if wait is None:
            while len(self._waits) >= MAX_WAITING:
                del self._waits[next(iter(self._waits))]
            self._waits[instance_id] = _Wait(question=question, frame=frame, due=now + self._settle)
        elif question is None or question == wait.question or wait.question is None:
            self._described(wait, frame, question)
        else:  # another one is shown, before the session has gone on
            is_new = question not in wait.announced
            wait.question, wait.frame, wait.due = question, frame if is_new else None, now + self._settle

    def _described(self, wait: _Wait, frame: Mapping[str, Any], question: str | None) -> None:
        """More is said of the same question; the time stays that of the first."""
        if wait.frame is not None:
            wait.frame = {**frame, "timestamp": wait.frame["timestamp"]}
        elif question is not None and wait.question is None:
            wait.announced.append(question)
        wait.question = question or wait.question

    # --- bodies ---

    def _needs_you(self, frame: Mapping[str, Any]) -> Json:
        waiting_for = frame["data"].get("waiting_for") or {}
        shown = {key: _text(waiting_for[key]) for key in ("kind", "tool", "message") if waiting_for.get(key)}
        tool = f" ({shown['tool']})" if "tool" in shown else ""
        what = f"needs you: {shown.get('kind', 'a question')}{tool}"
        body = self._body("needs_you", what, frame) | {"waiting_for": shown}
        questions = _questions(waiting_for)
        return body | {"questions": questions} if questions else body

    def _ended(self, frame: Mapping[str, Any]) -> Json:
        data = frame["data"]
        code, signal = data.get("exit_code"), data.get("signal")
        how = f" by {_text(signal)}" if signal else f" with exit code {code}" if code else ""
        end = {key: data.get(key) for key in ("exit_code", "signal", "duration_seconds")}
        return self._body("ended", f"ended{how}", frame) | end | {"reason": _text(data.get("reason"))}

    def _body(self, event: str, what: str, frame: Mapping[str, Any]) -> Json:
        info = self._instance(frame["instance_id"])
        info = {"machine": info.get("hostname"), **info}
        told = {key: info.get(key) for key in _INSTANCE_FIELDS}
        told = {key: _text(value) if isinstance(value, str) else value for key, value in told.items()}
        where = f" on {told['machine']}" if told["machine"] else ""
        label = told["name"] or PurePath(str(told["working_dir"] or "")).name or frame["instance_id"]
        return {
            "event": event,
            "text": f"{label}{where}: {what}",
            "instance": {"instance_id": frame["instance_id"], **told},
            "session_id": frame.get("session_id"),
            "at": frame["timestamp"],
        }


def _questions(waiting_for: Mapping[str, Any]) -> list[str]:
    """The texts of what the tool AskUserQuestion asks."""
    given = waiting_for.get("input")
    asked = given.get("questions") if waiting_for.get("kind") == "question" and isinstance(given, dict) else None
    each = [one.get("question") for one in asked if isinstance(one, dict)] if isinstance(asked, list) else []
    return [_text(text) for text in each if isinstance(text, str)][:MAX_QUESTIONS]


def _text(value: object) -> str:
    """On one line and short: receivers show it in a title, a chat or a terminal."""
    line = "".join(character if character.isprintable() else " " for character in str(value)[: 2 * TEXT])
    return cut(line, TEXT)[0]


def _age(frame: Mapping[str, Any]) -> float:
    """Seconds since the event by the wall clock; 0 when its timestamp says nothing."""
    try:
        return time.time() - datetime.fromisoformat(str(frame["timestamp"]).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
