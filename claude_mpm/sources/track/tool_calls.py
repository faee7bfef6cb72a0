"""Tool calls seen by several sources, each one call.

Everything but the hooks of 1.x names a call by its tool_use_id. Those hooks are paired with what has an id by
tool and input, in order. A call keeps the name it was first told under: `hook-N` when it had none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from claude_mpm.sources.parse.observations import ToolEnded, ToolStarted

MAX_CALLS = 20_000  # remembered ids; a long day of one session has some thousands
MAX_UNPAIRED = 200  # per tool: calls only one kind of source has seen


@dataclass(eq=False, slots=True)
class Call:
    """One tool call. `name` is the id it goes by in events; `id` Claude's own, once known."""

    name: str
    id: str | None
    tool: str
    input: Any
    agent_id: str | None
    started: float
    ended: bool = False


class _Waiting:
    """Calls that wait for their other half, oldest first, by tool."""

    def __init__(self) -> None:
        self._by_tool: dict[str, deque[Call]] = {}

    def add(self, call: Call) -> None:
        self._by_tool.setdefault(call.tool, deque(maxlen=MAX_UNPAIRED)).append(call)

    def find(self, tool: str | None, tool_input: Any) -> Call | None:
        """The oldest that is alike."""
        return next((call for call in self._by_tool.get(tool or "", ()) if _alike(call.input, tool_input)), None)

    def take(self, tool: str | None, tool_input: Any) -> Call | None:
        found = self.find(tool, tool_input)
        if found is not None:
            self._by_tool[found.tool].remove(found)
        return found


class Calls:
    """Pure; one thread."""

    def __init__(self) -> None:
        self._by_id: dict[str, Call] = {}
        self._open: dict[str, Call] = {}  # by name, oldest first
        self._unnamed = _Waiting()  # told by a hook, and by nothing that has an id yet
        self._unhooked = _Waiting()  # told with an id, and by no hook without
        self._running = _Waiting()  # begun by a hook without an id
        self._count = 0

    def start(self, seen: ToolStarted, agent_id: str | None, at: float) -> Call | None:
        """The new call; None for one that is known."""
        if seen.tool_use_id is None:
            known = self._unhooked.take(seen.tool, seen.input)
            call = known or self._new(None, seen, agent_id, at)
            self._running.add(call)
            return None if known else call
        if seen.tool_use_id in self._by_id:
            return None
        known = self._unnamed.take(seen.tool, seen.input)
        if known is not None:
            known.id, known.agent_id = seen.tool_use_id, agent_id or known.agent_id
        call = known or self._new(seen.tool_use_id, seen, agent_id, at)
        self._by_id[seen.tool_use_id] = call
        if len(self._by_id) > MAX_CALLS:
            self._by_id.pop(next(iter(self._by_id)))
        return None if known else call

    def end(self, seen: ToolEnded) -> Call | None:
        """The call that ends now; None when it has ended before or its start is unknown."""
        call = self.find(seen.tool_use_id)
        if seen.tool_use_id is None:
            call = self._running.take(seen.tool, seen.input) or self._unhooked.take(seen.tool, seen.input)
        if call is None or call.ended:
            return None
        self.close(call)
        return call

    def knows(self, seen: ToolEnded) -> bool:
        """Whether the start of what ends here was seen."""
        if seen.tool_use_id is not None:
            return seen.tool_use_id in self._by_id
        return any(part.find(seen.tool, seen.input) for part in (self._running, self._unhooked))

    def find(self, tool_use_id: str | None) -> Call | None:
        return self._by_id.get(tool_use_id) if tool_use_id else None

    def close(self, call: Call) -> None:
        call.ended = True
        self._open.pop(call.name, None)

    def open(self) -> list[Call]:
        """Calls without an end, oldest first."""
        return list(self._open.values())

    def _new(self, tool_use_id: str | None, seen: ToolStarted, agent_id: str | None, at: float) -> Call:
        self._count += 1
        call = Call(tool_use_id or f"hook-{self._count}", tool_use_id, seen.tool, seen.input, agent_id, at)
        (self._unnamed if tool_use_id is None else self._unhooked).add(call)
        self._open[call.name] = call
        if len(self._open) > MAX_CALLS:
            self._open.pop(next(iter(self._open)))
        return call


def _alike(one: Any, other: Any) -> bool:
    """The same input. Hooks have it with defaults filled in, so what both name must agree, and they must name something."""
    if isinstance(one, dict) and isinstance(other, dict) and one and other:
        common = one.keys() & other.keys()
        return bool(common) and all(one[key] == other[key] for key in common)
    return bool(one == other)
