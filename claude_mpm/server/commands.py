"""The commands of the protocol: what a client may ask, and the one reply that each command gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from claude_mpm.errors import ClaudeMpmError, ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Gap, Log
from claude_mpm.feed.patterns import MAX_PATTERNS, is_pattern
from claude_mpm.server.session_view import Control, Past, SessionView
from claude_mpm.server.subscription import Subscription
from claude_mpm.system import json_text

HISTORY_DEFAULT = 100  # events
HISTORY_MAX = 10_000  # events in one reply
HISTORY_BYTES = 4 * 1024 * 1024  # of events in one reply: clients bound their messages, and a reply is held whole
SESSIONS_DEFAULT = 50  # sessions in one list
SESSIONS_MAX = 1_000
MAX_SEARCH = 1_000  # characters of a text to search for, or of a directory's name
MAX_WINDOW = 1000  # columns or rows of a terminal
MAX_ECHO = 64  # characters of an unknown command that an error repeats


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


class _Params:
    """The parameters of one command, given at top level or under `params`. Each method raises ProtocolError."""

    def __init__(self, message: Mapping[str, Any]) -> None:
        inner = message.get("params")
        if inner is not None and not isinstance(inner, dict):
            raise ProtocolError("invalid_params", "params must be an object")
        self._values = {**message, **(inner or {})}

    def patterns(self, name: str, default: list[str] | None = None) -> list[str]:
        value = self._values.get(name, default)
        if not isinstance(value, list) or not all(is_pattern(item) for item in value):
            raise ProtocolError("invalid_params", f"{name} must be a list of patterns such as *, agent.*, todo.update")
        if len(value) > MAX_PATTERNS:
            raise ProtocolError("invalid_params", f"{name} may have at most {MAX_PATTERNS} patterns")
        return value

    def number(self, name: str, lowest: int = 0, highest: int = 2**53) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise ProtocolError("invalid_params", f"{name} must be a whole number from {lowest} to {highest}")
        return value

    def required_number(self, name: str, lowest: int, highest: int) -> int:
        value = self.number(name, lowest, highest)
        if value is None:
            raise ProtocolError("invalid_params", f"{name} is missing")
        return value

    def short_text(self, name: str) -> str | None:
        """A text of at most MAX_SEARCH characters; None where there is none."""
        value = self.optional_text(name)
        if value is not None and len(value) > MAX_SEARCH:
            raise ProtocolError("invalid_params", f"{name} may have at most {MAX_SEARCH} characters")
        return value

    def moment(self, name: str) -> float | None:
        """Seconds since the epoch, from a timestamp of RFC 3339."""
        value = self.short_text(name)
        try:
            return moment(value) if value is not None else None
        except ValueError:
            raise ProtocolError("invalid_params", f"{name} must be a time such as 2026-01-31T12:00:00Z") from None

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str) or not value:
            raise ProtocolError("invalid_params", f"{name} must be a non-empty string")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.value(name) is None else self.text(name)

    def value(self, name: str) -> Any:
        """Any JSON value; None where there is none."""
        return self._values.get(name)


def reply(kind: str, data: Mapping[str, Any], **fields: Any) -> bytes:
    """A message without a number, as JSON. `fields` are further members beside `data`."""
    return _reply(kind, [json_text.dumps(data)], fields)


def _reply(kind: str, data: list[bytes], fields: Mapping[str, Any]) -> bytes:
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


def answer(client: Client, text: bytes) -> bytes:
    """Execute a command and return its reply as JSON. Never raises for what a client can send.

    Only the client's sender thread may call it.
    """
    fields: dict[str, Any] = {}
    command: str | None = None
    try:
        message = _decode(text)
        fields = _request_id(message)
        command = _command(message)
        run = _runs(client.backend).get(command)
        if run is None:
            raise ProtocolError("unknown_command", f"there is no command {command[:MAX_ECHO]}")
        if message.get("instance_id") not in (None, client.log.instance_id):
            raise ProtocolError("wrong_instance", f"this is instance {client.log.instance_id}")
        return run(client, _Params(message), fields)
    except ProtocolError as error:
        data = {"code": error.code, "message": str(error), "command": command and command[:MAX_ECHO]}
        return reply("error", data, **fields)


def _decode(text: bytes) -> dict[str, Any]:
    try:
        message = json_text.loads(text)
    except ValueError as error:
        raise ProtocolError("invalid_json", f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("invalid_command", "a command is an object with the key command")
    return message


def _request_id(message: Mapping[str, Any]) -> dict[str, Any]:
    value = message.get("request_id")
    if value is None:
        return {}
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ProtocolError("invalid_params", "request_id must be a string or a number")
    return {"request_id": value}


def _command(message: Mapping[str, Any]) -> str:
    value = message.get("command")
    if not isinstance(value, str):
        raise ProtocolError("invalid_command", "command must be a string")
    return value


# --- the table ---------------------------------------------------------------------------------------

_Run = Callable[[Client, _Params, dict[str, Any]], bytes]


def _subscribe(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    channels, since = params.patterns("channels"), params.number("since")
    if len({*channels, *client.subscription.patterns}) > MAX_PATTERNS:
        raise ProtocolError("invalid_params", f"a client may have at most {MAX_PATTERNS} patterns")
    seq = client.subscription.add(channels, since)
    return reply("subscribed", {"channels": list(client.subscription.patterns), "seq": seq}, **fields)


def _unsubscribe(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    client.subscription.remove(params.patterns("channels"))
    return reply("unsubscribed", {"channels": list(client.subscription.patterns)}, **fields)


def _get_status(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    return status_reply(client, **fields)


def _get_history(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    limit = params.number("limit")
    entries, more = client.log.history(
        params.patterns("event_types", ["*"]),
        HISTORY_DEFAULT if limit is None else min(limit, HISTORY_MAX),
        params.number("since") or 0,
        params.number("before"),
        HISTORY_BYTES,
    )
    parts = [part for entry in entries for part in (b",", entry.json)][1:]
    bounds = json_text.dumps({"oldest_seq": client.log.oldest_seq(), "more": more})
    return _reply("history", [b'{"events":[', *parts, b"],", bounds[1:]], fields)


def _get_instances(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    return reply("instances", {"instances": client.backend.instances()}, **fields)


def _get_screen(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    screen = client.backend.screen()
    if screen is None:
        raise ProtocolError("unavailable", "there is no picture of the terminal here")
    return reply(ev.CLAUDE_SCREEN, screen, **fields)


def past_of(asker: Asker) -> Past:
    """The sessions that are over, for a client that may read them. ProtocolError."""
    past = asker.backend.past
    if past is None:
        raise ProtocolError("unavailable", "earlier sessions are not served here")
    if not (asker.trusted or asker.may_read_past):
        raise ProtocolError(
            "forbidden",
            "it is not known here whose process you are; earlier sessions need the token (--websocket-token)",
        )
    return past


def moment(text: str) -> float:
    """Seconds since the epoch, from a timestamp of RFC 3339; UTC where no zone is given. ValueError."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()


def _get_sessions(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    limit = params.number("limit")
    data = past_of(client).sessions(
        text=params.short_text("text"),
        project=params.short_text("project"),
        since=params.moment("since"),
        before=params.short_text("before"),
        limit=SESSIONS_DEFAULT if limit is None else min(max(limit, 1), SESSIONS_MAX),
        max_bytes=HISTORY_BYTES,
    )
    return reply("sessions", data, **fields)


def _get_session(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    session_id, limit = params.text("session_id"), params.number("limit")
    found = past_of(client).events(
        session_id,
        since=params.number("since"),
        before=params.number("before"),
        limit=HISTORY_DEFAULT if limit is None else min(max(limit, 1), HISTORY_MAX),
        max_bytes=HISTORY_BYTES,
    )
    if found is None:
        raise ProtocolError("unavailable", f"there is no session {session_id[:MAX_ECHO]}")
    events, more = found
    parts = [part for message in events for part in (b",", message)][1:]
    rest = json_text.dumps({"session_id": session_id, "more": more})
    return _reply("session", [b'{"events":[', *parts, b"],", rest[1:]], fields)


def _ping(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    return reply("pong", {}, **fields)


def _control(
    name: str, read: Callable[[_Params], tuple[Any, ...]], audit: Callable[..., dict[str, Any] | None]
) -> _Run:
    """A command that acts on Claude: it needs the token, and is recorded in the log before it is executed."""

    def run(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
        if not client.trusted:
            raise ProtocolError("forbidden", "control commands need the token")
        control: Control | None = client.backend.control
        arguments = read(params)
        client.log.append(ev.system_control(name, client.name, audit(*arguments)))
        try:
            getattr(control, name)(*arguments)
        except (OSError, ClaudeMpmError) as error:
            raise ProtocolError("unavailable", f"Claude did not accept it: {error}") from None
        return reply("done", {"command": name}, **fields)

    return run


def _answer(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    """Answer one of Claude's questions. The desk records it in the log: only it knows which answer came first."""
    if not client.trusted:
        raise ProtocolError("forbidden", "answering Claude needs the token")
    assert client.backend.answers is not None
    client.backend.answers.answer(
        params.text("request"),
        params.text("decision"),
        params.optional_text("message"),
        params.value("answers"),
        client.name,
    )
    return reply("done", {"command": "answer"}, **fields)


def _send_prompt(client: Client, params: _Params, fields: dict[str, Any]) -> bytes:
    """Enter a prompt. It is recorded in the log once it is known that it may be entered."""
    if not client.trusted:
        raise ProtocolError("forbidden", "entering a prompt needs the token")
    assert client.backend.prompts is not None
    try:
        client.backend.prompts.send_prompt(params.text("text"), client.name)
    except ProtocolError:
        raise
    except ClaudeMpmError as error:
        raise ProtocolError("unavailable", f"Claude did not accept it: {error}") from None
    return reply("done", {"command": "send_prompt"}, **fields)


def _runs(session: SessionView) -> Mapping[str, _Run]:
    """The commands there are in this session."""
    control = CONTROL if session.control is not None else {}
    answers = ANSWERS if session.answers is not None else {}
    prompts = PROMPTS if session.prompts is not None else {}
    past = PAST if session.past is not None else {}
    return COMMANDS | control | answers | prompts | past


COMMANDS: dict[str, _Run] = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "get_status": _get_status,
    "get_history": _get_history,
    "get_instances": _get_instances,
    "get_screen": _get_screen,
    "ping": _ping,
}
PAST: dict[str, _Run] = {"get_sessions": _get_sessions, "get_session": _get_session}
# The audit event tells how much was typed but not what: every client can read it, and it may be a password.
CONTROL: dict[str, _Run] = {
    "send_input": _control("send_input", lambda p: (p.text("text"),), lambda text: {"characters": len(text)}),
    "interrupt": _control("interrupt", lambda p: (), lambda: None),
    "stop": _control("stop", lambda p: (), lambda: None),
    "resize": _control(
        "resize",
        lambda p: (p.required_number("cols", 1, MAX_WINDOW), p.required_number("rows", 1, MAX_WINDOW)),
        lambda cols, rows: {"cols": cols, "rows": rows},
    ),
}
ANSWERS: dict[str, _Run] = {"answer": _answer}
PROMPTS: dict[str, _Run] = {"send_prompt": _send_prompt}
