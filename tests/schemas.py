"""docs/asyncapi.yaml as a judge: `check` any frame the server sends, `check_command` any command a client sends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT7
from support import ROOT

_URI = "urn:claude-mpm:asyncapi"
REPLY_TYPES = ("subscribed", "unsubscribed", "history", "instances", "sessions", "session", "pong", "done", "error")


@cache
def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8"))
    return loaded


def message_names(operation: str) -> list[str]:
    """The messages an operation of the document lists."""
    references = document()["operations"][operation]["messages"]
    return [reference["$ref"].rsplit("/", 1)[1] for reference in references]


@cache
def commands() -> frozenset[str]:
    """The names of all commands."""
    operations = document()["operations"]
    return frozenset(n for name, op in operations.items() if op["action"] == "receive" for n in message_names(name))


@cache
def _validator(message: str) -> Draft7Validator:
    registry: Registry[Any] = Registry().with_resource(_URI, DRAFT7.create_resource(document()))
    return Draft7Validator({"$ref": f"{_URI}#/components/messages/{message}/payload"}, registry=registry)


def _check(message: str, value: Mapping[str, Any]) -> None:
    error = best_match(_validator(message).iter_errors(value))
    if error is not None:
        raise AssertionError(f"{message}: {_where(error)}: {error.message[:500]}")


def _where(error: ValidationError) -> str:
    return "".join(f"[{part!r}]" for part in error.absolute_path) or "the frame"


def check(frame: Mapping[str, Any]) -> None:
    """Fail unless `frame` (an event or a reply, decoded) is what docs/asyncapi.yaml promises.

    Raises:
        AssertionError: naming the message, the place and what is wrong there.
    """
    kind = frame.get("type")
    if not isinstance(kind, str) or kind not in document()["components"]["messages"] or kind in commands():
        raise AssertionError(f"the server sends no {kind!r}")
    _check(kind, frame)


def check_command(command: Mapping[str, Any]) -> None:
    """Fail unless `command` is one a client may send."""
    name = command.get("command")
    if not isinstance(name, str) or name not in commands():
        raise AssertionError(f"there is no command {name!r}")
    _check(name, command)
