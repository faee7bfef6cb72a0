"""The parameters of a client's command, checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from claude_mpm.errors import ProtocolError
from claude_mpm.feed.patterns import MAX_PATTERNS, is_pattern
from claude_mpm.feed.selection import EVERYWHERE, Scope

MAX_SEARCH = 1_000  # characters of a text to search for, or of a directory's name
MAX_SCOPES = 1_000  # instances, or machines, in one command
MAX_SCOPE = 256  # characters of an instance's id or a machine's name


class Params:
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

    def scopes(self) -> list[Scope]:
        """Where the events are to come from: `instances` (ids), `machines` (names), or everywhere without either."""
        instances, machines = self._names("instances"), self._names("machines")
        if instances is None and machines is None:
            return [EVERYWHERE]
        chosen = [Scope(instance_id=name) for name in instances or ()]
        return list(dict.fromkeys([*chosen, *(Scope(machine=name) for name in machines or ())]))

    def _names(self, name: str) -> list[str] | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(
            isinstance(text, str) and 0 < len(text) <= MAX_SCOPE for text in value
        ):
            raise ProtocolError("invalid_params", f"{name} must be a list of names")
        if len(value) > MAX_SCOPES:
            raise ProtocolError("invalid_params", f"{name} may have at most {MAX_SCOPES} entries")
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


def moment(text: str) -> float:
    """Seconds since the epoch, from a timestamp of RFC 3339; UTC where no zone is given. ValueError."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
