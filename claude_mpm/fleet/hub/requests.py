"""The commands that a hub has passed on, until their instance answers or the time is up."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from claude_mpm.errors import ProtocolError, ServerUnavailable
from claude_mpm.fleet import frames
from claude_mpm.fleet.commands import READING
from claude_mpm.fleet.hub.roster import Roster
from claude_mpm.fleet.source import Frame
from claude_mpm.system import json_text

ANSWER_TIME = 5.0  # seconds an instance has to answer
READING_PAST = frozenset({"get_sessions", "get_session"})  # for the user the sessions belong to

log = logging.getLogger(__name__)


class _Open(NamedTuple):
    """A command that has no reply yet."""

    fields: Mapping[str, Any]  # what the reply repeats: `request_id`, if the client gave one
    command: str
    instance_id: str
    deadline: float  # monotonic
    reply: Callable[[bytes], None]


class Requests:
    """Passes commands on. The thread `hub-requests` answers for instances that do not. Any thread may call any method.

    Args:
        control: whether clients with the token may act on Claude.
        answer_time: seconds an instance has to answer.
    """

    def __init__(self, roster: Roster, control: bool, answer_time: float = ANSWER_TIME) -> None:
        self._roster = roster
        self._control = control
        self._answer_time = answer_time
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()  # guards the next two
        self._open: dict[str, _Open] = {}  # by the hub's own request_id, the oldest first
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="hub-requests")

    def start(self) -> None:
        """Begin to watch the time."""
        self._thread.start()

    def stop(self) -> None:
        """Answer all that is open with `unavailable`; so is what comes later. Idempotent; does not block."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def route(
        self, message: Mapping[str, Any], *, trusted: bool, may_read_past: bool, reply: Callable[[bytes], None]
    ) -> None:
        """Pass on a command; see Router in server/commands/session_view.py."""
        command, member = str(message.get("command")), self._roster.member(message.get("instance_id"))
        if member is None:
            raise ProtocolError("wrong_instance", "no source of this hub has that instance")
        may_act = self._require_right(command, trusted, may_read_past)
        source = self._roster.source_of(member)
        if source is None:
            raise ProtocolError("unavailable", "the machine of that instance cannot be reached")
        request_id = f"h{next(self._numbers)}"
        fields = {key: message[key] for key in ("request_id",) if message.get(key) is not None}
        deadline = time.monotonic() + self._answer_time
        with self._changed:
            if self._stopped:
                raise ProtocolError("unavailable", "the hub is stopping")
            self._open[request_id] = _Open(fields, command, member.producer.instance_id, deadline, reply)
            if len(self._open) == 1:
                self._changed.notify()
        try:
            source.send({**message, "request_id": request_id}, may_act)
        except ServerUnavailable as error:
            if self._take(request_id) is not None:
                raise ProtocolError("unavailable", str(error)) from None

    def _require_right(self, command: str, trusted: bool, may_read_past: bool) -> bool:
        """Whether the command needs, and has, the right to act. Raises ProtocolError where it lacks a right."""
        if command in READING:
            return False
        if command in READING_PAST:
            if not (trusted or may_read_past):
                raise ProtocolError("forbidden", "earlier sessions need the token of this hub")
            return True
        if not self._control:
            raise ProtocolError("forbidden", "this hub was started without --websocket-control")
        if not trusted:
            raise ProtocolError("forbidden", "acting on Claude needs the token of this hub")
        return True

    def reply(self, frame: Frame) -> None:
        """An instance has answered. A reply that nobody waits for any more is dropped."""
        request = self._take(frame.get("request_id"))
        if request is None:
            return
        answer = {key: value for key, value in frame.items() if key != "request_id"} | dict(request.fields)
        try:
            request.reply(json_text.dumps(answer))
        except (TypeError, ValueError, RecursionError) as error:
            log.info("a reply of %s cannot be passed on: %s", request.instance_id, error)
            self._refuse(request, "the instance's answer cannot be passed on")

    def give_up(self, instance_id: str) -> None:
        """The instance has gone: it will answer nothing any more."""
        with self._changed:
            gone = [request_id for request_id, each in self._open.items() if each.instance_id == instance_id]
            requests = [self._open.pop(request_id) for request_id in gone]
        for request in requests:
            self._refuse(request, "the instance has gone")

    def _take(self, request_id: object) -> _Open | None:
        with self._changed:
            return self._open.pop(request_id, None) if isinstance(request_id, str) else None

    def _refuse(self, request: _Open, sentence: str) -> None:
        data = {"code": "unavailable", "message": sentence, "command": request.command}
        request.reply(json_text.dumps(frames.frame("error", data, **request.fields)))

    # --- the thread ---

    def _run(self) -> None:
        try:
            while (late := self._wait()) is not None:
                for request in late:
                    self._refuse(request, f"the instance did not answer within {self._answer_time:g} s")
            with self._changed:
                requests = list(self._open.values())
                self._open.clear()
            for request in requests:
                self._refuse(request, "the hub is stopping")
        except Exception:
            log.exception("hub-requests ended")

    def _wait(self) -> list[_Open] | None:
        """Block until the time of a command is up; return the late ones. None: stopped."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                late = [request_id for request_id, request in self._open.items() if request.deadline <= now]
                if late:
                    return [self._open.pop(request_id) for request_id in late]
                oldest = next(iter(self._open.values()), None)
                self._changed.wait(None if oldest is None else oldest.deadline - now)
            return None
