"""The commands of the protocol: what a client may ask, and the one reply that each command gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.errors import ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.patterns import MAX_PATTERNS
from claude_mpm.feed.selection import EVERYWHERE
from claude_mpm.server.commands.control import ANSWERS, CONTROL, PROMPTS
from claude_mpm.server.commands.params import Params
from claude_mpm.server.commands.past import PAST
from claude_mpm.server.commands.replies import (
    HISTORY_BYTES,
    HISTORY_DEFAULT,
    HISTORY_MAX,
    MAX_ECHO,
    Client,
    Run,
    encoded_reply,
    reply,
    status_reply,
)
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.system import json_text

MAX_RULES = 4_096  # patterns of one client, times the instances and machines each was subscribed to for


def answer(client: Client, text: bytes) -> bytes | None:
    """Execute a command and return its reply as JSON. Never raises for what a client can send.

    None where a hub passed the command on to another instance: the reply goes to `client.late_replies`. Only the
    client's sender thread may call it.
    """
    fields: dict[str, Any] = {}
    command: str | None = None
    try:
        message = _decode(text)
        fields = _request_id(message)
        command = _command(message)
        if message.get("instance_id") not in (None, client.log.instance_id):
            if command not in _SCOPED or client.backend.router is None:
                _pass_on(client, message)
                return None
            message = {**message, "instances": [message["instance_id"]]}
        run = _runs(client.backend).get(command)
        if run is None:
            raise ProtocolError("unknown_command", f"there is no command {command[:MAX_ECHO]}")
        return run(client, Params(message), fields)
    except ProtocolError as error:
        data = {"code": error.code, "message": str(error), "command": command and command[:MAX_ECHO]}
        return reply("error", data, **fields)


def _pass_on(client: Client, message: Mapping[str, Any]) -> None:
    """Give a command to the instance that it names."""
    router = client.backend.router
    if router is None:
        raise ProtocolError("wrong_instance", f"this is instance {client.log.instance_id}")
    put = client.late_replies.expect()
    try:
        router.route(message, trusted=client.trusted, may_read_past=client.may_read_past, reply=put)
    except ProtocolError:
        client.late_replies.cancel()
        raise


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


def _subscribe(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    channels, since, scopes = params.patterns("channels"), params.number("since"), params.scopes()
    if len({*channels, *client.subscription.patterns}) > MAX_PATTERNS:
        raise ProtocolError("invalid_params", f"a client may have at most {MAX_PATTERNS} patterns")
    if len({(channel, scope) for channel in channels for scope in scopes} | client.subscription.rules) > MAX_RULES:
        raise ProtocolError("invalid_params", f"a client may have at most {MAX_RULES} pairs of pattern and instance")
    seq = client.subscription.add(channels, since, scopes)
    return reply("subscribed", {"channels": list(client.subscription.patterns), "seq": seq}, **fields)


def _unsubscribe(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    scopes = params.scopes()
    client.subscription.remove(params.patterns("channels"), None if scopes == [EVERYWHERE] else scopes)
    return reply("unsubscribed", {"channels": list(client.subscription.patterns)}, **fields)


def _get_status(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    return status_reply(client, **fields)


def _get_history(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
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
    return encoded_reply("history", [b'{"events":[', *parts, b"],", bounds[1:]], fields)


def _get_instances(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    return reply("instances", {"instances": client.backend.instances()}, **fields)


def _get_screen(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    screen = client.backend.screen()
    if screen is None:
        raise ProtocolError("unavailable", "there is no picture of the terminal here")
    return reply(ev.CLAUDE_SCREEN, screen, **fields)


def _ping(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    return reply("pong", {}, **fields)


_SCOPED = frozenset({"subscribe", "unsubscribe"})  # with the `instance_id` of another instance, a hub selects by it


def _attend(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    present = params.value("present")
    if not isinstance(present, bool):
        raise ProtocolError("invalid_params", "present must be true or false")
    client.attendance.present = present
    return reply("done", {"command": "attend"}, **fields)


COMMANDS: dict[str, Run] = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "get_status": _get_status,
    "get_history": _get_history,
    "get_instances": _get_instances,
    "get_screen": _get_screen,
    "attend": _attend,
    "ping": _ping,
}


def _runs(session: SessionView) -> Mapping[str, Run]:
    """The commands there are in this session."""
    control = CONTROL if session.control is not None else {}
    answers = ANSWERS if session.answers is not None else {}
    prompts = PROMPTS if session.prompts is not None else {}
    past = PAST if session.past is not None else {}
    return COMMANDS | control | answers | prompts | past
