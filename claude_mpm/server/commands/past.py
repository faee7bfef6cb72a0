"""The commands about sessions that are over."""

from __future__ import annotations

from typing import Any

from claude_mpm.errors import ProtocolError
from claude_mpm.server.commands.params import Params
from claude_mpm.server.commands.replies import (
    HISTORY_BYTES,
    HISTORY_DEFAULT,
    HISTORY_MAX,
    MAX_ECHO,
    Asker,
    Client,
    Run,
    encoded_reply,
    reply,
)
from claude_mpm.server.commands.session_view import Past
from claude_mpm.system import json_text

SESSIONS_DEFAULT = 50  # sessions in one list
SESSIONS_MAX = 1_000


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


def _get_sessions(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
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


def _get_session(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
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
    return encoded_reply("session", [b'{"events":[', *parts, b"],", rest[1:]], fields)


PAST: dict[str, Run] = {"get_sessions": _get_sessions, "get_session": _get_session}
