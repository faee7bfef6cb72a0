"""What the server says to one client, and to whom it says it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Gap, Log
from claude_mpm.server.commands.late_replies import LateReplies
from claude_mpm.server.commands.params import Params
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.commands.subscription import Subscription
from claude_mpm.system import json_text

HISTORY_DEFAULT = 100  # events
HISTORY_MAX = 10_000  # events in one reply
HISTORY_BYTES = 4 * 1024 * 1024  # of events in one reply: clients bound their messages, and a reply is held whole
MAX_ECHO = 64  # characters of an unknown name that an error repeats


@dataclass
class Attendance:
    """Whether somebody attends a client, so that questions of Claude's wait for its answer. Written by its sender."""

    present: bool = True


@dataclass(frozen=True)
class Asker:
    """Whoever sent a request: what it may see, and what it may do."""

    name: str
    log: Log
    backend: SessionView
    status: Callable[[], dict[str, Any]]  # the data of `system.status`
    trusted: bool  # it presented the valid token
    may_read_past: bool = field(default=False, kw_only=True)  # it is known to be the user whom the sessions belong to


@dataclass(frozen=True)
class Client(Asker):
    """An asker that stays connected and may subscribe."""

    subscription: Subscription
    attendance: Attendance = field(default_factory=Attendance, kw_only=True)
    late_replies: LateReplies = field(default_factory=LateReplies, kw_only=True)


# Executes a command; the mapping has the members that its reply repeats (`request_id`).
Run = Callable[[Client, Params, dict[str, Any]], bytes]


def reply(kind: str, data: Mapping[str, Any], **fields: Any) -> bytes:
    """A message without a number, as JSON. `fields` are further members beside `data`."""
    return encoded_reply(kind, [json_text.dumps(data)], fields)


def encoded_reply(kind: str, data: list[bytes], fields: Mapping[str, Any]) -> bytes:
    """The same, with `data` encoded already and in parts, so that a large reply is copied only once."""
    envelope = json_text.dumps({"type": kind, "timestamp": ev.rfc3339(time.time()), **fields})
    return b"".join([envelope[:-1], b',"data":', *data, b"}"])


def status_reply(asker: Asker, **fields: Any) -> bytes:
    """The greeting, and the reply to `get_status`."""
    return reply(ev.SYSTEM_STATUS, asker.status(), instance_id=asker.log.instance_id, **fields)


def gap_message(instance_id: str, gap: Gap, reason: Literal["slow_client", "expired"]) -> bytes:
    """`system.gap` for the one client that it concerns, as JSON. It has no number because it is not in the log."""
    event = ev.system_gap(gap.from_seq, gap.to_seq, gap.counts, reason)
    return reply(event.type, event.data, instance_id=instance_id, source=event.source)
