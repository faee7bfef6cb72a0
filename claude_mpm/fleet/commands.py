"""Which commands a hub and its sources pass on to an instance.

A source talks to the instances of its own user as that user, with their tokens. So what a client without the hub's
token may ask has to be decided before the command gets there, and what is not known to be harmless is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.config import Limits
from claude_mpm.fleet.frames import error_reply
from claude_mpm.fleet.source import Frame
from claude_mpm.system import json_text

# They show how things stand, to every client of an instance.
READING = frozenset({"get_status", "get_history", "get_instances", "get_screen", "ping"})
# They change the connection, which a source shares among all that follow it.
OF_THE_CONNECTION = frozenset({"subscribe", "unsubscribe", "attend"})
# What every client of an instance may use. A test holds them equal to those of the server.
OPEN = READING | OF_THE_CONNECTION


def refusal(message: Mapping[str, Any], trusted: bool) -> Frame | None:
    """The `error` that answers a command which must not reach the instance; None if it may."""
    command = message.get("command")
    command = command if isinstance(command, str) else ""
    if command in OF_THE_CONNECTION:
        return error_reply(message, "unavailable", f"{command} is for the server you are connected to")
    if command not in OPEN and not trusted:
        return error_reply(message, "forbidden", "through a hub, this command needs the hub's token")
    if len(json_text.dumps(message)) > Limits().message_bytes:  # the instance would close the connection
        return error_reply(message, "invalid_params", f"a command has at most {Limits().message_bytes} bytes")
    return None
