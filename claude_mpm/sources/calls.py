"""Tool calls seen by several sources, each one call.

Everything but the hooks of 1.x names a call by its tool_use_id. Those hooks are paired with what has an id by
tool and input, in order. A call keeps the name it was first told under: `hook-N` when it had none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from claude_mpm.sources.observations import ToolEnded, ToolStarted

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
    hook_started: bool = False  # a hook without an id has told its start
    hook_ended: bool = False


class Calls:
    """Pure; one thread."""

    def __init__(self) -> None:
        self._by_id: dict[str, Call] = {}
        self._unpaired: dict[str, deque[Call]] = {}
        self._open: dict[str, Call] = {}  # by name, oldest first
        self._unnamed = 0

    def start(self, seen: ToolStarted, agent_id: str | None, at: float) -> Call | None:
        """The new call; None for one that is known."""
        if seen.tool_use_id is not None:
            if seen.tool_use_id in self._by_id:
                return None
            for call in self._unpaired.get(seen.tool, ()):
                if call.id is None and _alike(call.input, seen.input):
                    call.id, call.agent_id = seen.tool_use_id, agent_id or call.agent_id
                    self._remember(call)
                    self._unpaired[seen.tool].remove(call)
                    return None
        else:
            for call in self._unpaired.get(seen.tool, ()):
                if call.id is not None and not call.hook_started and _alike(call.input, seen.input):
                    call.hook_started = True
                    return None
        return self._new(seen.tool_use_id, seen.tool, seen.input, agent_id, at)

    def end(self, seen: ToolEnded) -> Call | None:
        """The call that ends now; None when it has ended before or its start is unknown."""
        call = self._by_id.get(seen.tool_use_id) if seen.tool_use_id else self._hooked(seen)
        if call is None or call.ended:
            return None
        self.close(call)
        return call

    def find(self, tool_use_id: str | None) -> Call | None:
        return self._by_id.get(tool_use_id) if tool_use_id else None

    def close(self, call: Call) -> None:
        call.ended = True
        self._open.pop(call.name, None)

    def open(self) -> list[Call]:
        """Calls without an end, oldest first."""
        return list(self._open.values())

    def knows(self, seen: ToolEnded) -> bool:
        """Whether the start of what ends here was seen."""
        if seen.tool_use_id is not None:
            return seen.tool_use_id in self._by_id
        return any(_alike(call.input, seen.input) for call in self._waiting_for_hook(seen))

    def _hooked(self, seen: ToolEnded) -> Call | None:
        for call in self._waiting_for_hook(seen):
            if _alike(call.input, seen.input):
                call.hook_started = call.hook_ended = True
                if call.id is not None:
                    self._unpaired[call.tool].remove(call)
                return call
        return None

    def _waiting_for_hook(self, seen: ToolEnded) -> list[Call]:
        """Calls of this tool no hook has ended; those a hook has started come first."""
        known = list(self._unpaired.get(seen.tool or "", ()))
        known += [call for call in self._open.values() if call.tool == seen.tool and call not in known]
        known += [
            call for call in self._by_id.values() if call.tool == seen.tool and call.hook_started and call not in known
        ]
        return sorted((call for call in known if not call.hook_ended), key=lambda call: not call.hook_started)

    def _new(self, tool_use_id: str | None, tool: str, tool_input: Any, agent_id: str | None, at: float) -> Call:
        if tool_use_id is None:
            self._unnamed += 1
        call = Call(tool_use_id or f"hook-{self._unnamed}", tool_use_id, tool, tool_input, agent_id, at)
        call.hook_started = tool_use_id is None
        self._open[call.name] = call
        if len(self._open) > MAX_CALLS:
            self._open.pop(next(iter(self._open)))
        self._unpaired.setdefault(tool, deque(maxlen=MAX_UNPAIRED)).append(call)
        if tool_use_id is not None:
            self._remember(call)
        return call

    def _remember(self, call: Call) -> None:
        assert call.id is not None
        self._by_id[call.id] = call
        if len(self._by_id) > MAX_CALLS:
            self._by_id.pop(next(iter(self._by_id)))


def _alike(one: Any, other: Any) -> bool:
    """The same input. Hooks have it with defaults filled in, so what both name must agree, and they must name something."""
    if isinstance(one, dict) and isinstance(other, dict) and one and other:
        common = one.keys() & other.keys()
        return bool(common) and all(one[key] == other[key] for key in common)
    return bool(one == other)
