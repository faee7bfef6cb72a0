"""Tool calls: which records of which sources are about the same one.

Everything but the hooks of 1.x names a call by its tool_use_id. Those hooks are paired with the records that have an id
by tool and input, oldest first. A call keeps the name it was first reported under, `hook-N` when it had no id then.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut_value
from claude_mpm.feed.event import Event, Origin
from claude_mpm.sources.parse.observations import ToolEnded, ToolStarted
from claude_mpm.sources.track.digests import InputDigest, Recent

MAX_CALLS = 20_000  # ids remembered; a long day of one session has some thousands
MAX_OPEN = 1_000  # calls without an end; parallel calls are some ten, and more only when their ends get lost
MAX_INPUTS = 100  # open calls, the newest, whose input is kept for a dialog that asks about it: 16 KiB of text each
MAX_UNPAIRED = 200  # calls of one tool that only one kind of source has seen
MAX_TOOLS = 100  # tools with such calls


@dataclass(eq=False, slots=True)
class ToolCall:
    """One tool call.

    Attributes:
        name: the id it has in events.
        id: Claude's tool_use_id, once known.
        input: as in `tool.start`, cut; None once the call has ended.
        agent_id: the agent that made it, as events name it.
        started: seconds since the epoch.
    """

    name: str
    id: str | None
    tool: str
    input: Any
    agent_id: str | None
    started: float
    ended: bool = False


def tool_end(
    call: ToolCall, ok: bool, origin: Origin, *, duration_ms: int | None = None, summary: str | None = None
) -> Event:
    """`tool.end` of this call."""
    agent_id = call.agent_id
    return ev.tool_end(
        call.name, call.tool, ok, origin=origin, duration_ms=duration_ms, summary=summary, agent_id=agent_id
    )


class _Unpaired:
    """Calls that still wait for their other half, by tool, oldest first."""

    def __init__(self) -> None:
        self._by_tool: Recent[str, deque[tuple[ToolCall, InputDigest]]] = Recent(MAX_TOOLS)

    def add(self, call: ToolCall, digest: InputDigest) -> None:
        calls = self._by_tool.get(call.tool, deque(maxlen=MAX_UNPAIRED))
        calls.append((call, digest))
        self._by_tool[call.tool] = calls

    def find(self, tool: str | None, digest: InputDigest) -> ToolCall | None:
        """The oldest call of this tool with the same input."""
        calls = self._by_tool.get(tool or "", ())
        return next((call for call, other in calls if digest.matches(other)), None)

    def take(self, tool: str | None, digest: InputDigest) -> ToolCall | None:
        """As find(), and the call waits no longer."""
        calls = self._by_tool.get(tool or "", deque())
        for entry in calls:
            if digest.matches(entry[1]):
                calls.remove(entry)
                return entry[0]
        return None


class ToolCalls:
    """All tool calls of a process."""

    def __init__(self) -> None:
        self._by_id: Recent[str, ToolCall] = Recent(MAX_CALLS)
        self._open: OrderedDict[str, ToolCall] = OrderedDict()  # by name, oldest first
        self._with_input: deque[ToolCall] = deque()
        self._without_id = _Unpaired()  # seen by a hook without an id, and by nothing that has one
        self._without_hook = _Unpaired()  # seen with an id, and by no hook without
        self._hook_running = _Unpaired()  # started by a hook without an id, whose end is such a hook too
        self._count = 0

    def start(self, observed: ToolStarted, agent_id: str | None, at: float) -> ToolCall | None:
        """The new call; None when it is known already."""
        if observed.tool_use_id is not None and observed.tool_use_id in self._by_id:
            return None
        digest = InputDigest(observed.input)
        if observed.tool_use_id is None:
            known = self._without_hook.take(observed.tool, digest)
            call = known or self._new(observed, digest, agent_id, at)
            self._hook_running.add(call, digest)
            return None if known else call
        known = self._without_id.take(observed.tool, digest)
        if known is not None:
            known.id, known.agent_id = observed.tool_use_id, agent_id or known.agent_id
        call = known or self._new(observed, digest, agent_id, at)
        self._by_id[observed.tool_use_id] = call
        return None if known else call

    def end(self, observed: ToolEnded) -> ToolCall | None:
        """The call that ends now; None when it has ended before or its start is unknown."""
        if observed.tool_use_id is not None:
            call = self.find(observed.tool_use_id)
        else:
            digest = InputDigest(observed.input)
            call = self._hook_running.take(observed.tool, digest) or self._without_hook.take(observed.tool, digest)
        if call is None or call.ended:
            return None
        self._end(call)
        return call

    def knows(self, observed: ToolEnded) -> bool:
        """Whether the start of the call that ends was seen."""
        if observed.tool_use_id is not None:
            return observed.tool_use_id in self._by_id
        digest = InputDigest(observed.input)
        return any(calls.find(observed.tool, digest) for calls in (self._hook_running, self._without_hook))

    def find(self, tool_use_id: str | None) -> ToolCall | None:
        """The call with this id of Claude's."""
        return self._by_id.get(tool_use_id) if tool_use_id else None

    def close(self, reason: str, origin: Origin, *calls: ToolCall) -> list[Event]:
        """These calls will never end by themselves: `tool.end` for each, as failed for this reason."""
        for call in calls:
            self._end(call)
        return [tool_end(call, False, origin, summary=reason) for call in calls]

    def forget_open(self) -> None:
        """The open calls are history; their ends will not be reported."""
        for call in self.open():
            self._end(call)

    def open(self) -> list[ToolCall]:
        """Calls that have not ended, oldest first."""
        return list(self._open.values())

    def _end(self, call: ToolCall) -> None:
        call.ended, call.input = True, None  # its input is not needed any more
        self._open.pop(call.name, None)

    def _new(self, observed: ToolStarted, digest: InputDigest, agent_id: str | None, at: float) -> ToolCall:
        self._count += 1
        name, given = observed.tool_use_id or f"hook-{self._count}", cut_value(observed.input)[0]
        call = ToolCall(name, observed.tool_use_id, observed.tool, given, agent_id, at)
        (self._without_id if observed.tool_use_id is None else self._without_hook).add(call, digest)
        self._open[call.name] = call
        if len(self._open) > MAX_OPEN:
            _, lost = self._open.popitem(last=False)
            lost.input = None
        self._with_input.append(call)
        if len(self._with_input) > MAX_INPUTS:
            self._forget_inputs()
        return call

    def _forget_inputs(self) -> None:
        still_open = [call for call in self._with_input if not call.ended]
        for call in still_open[:-MAX_INPUTS]:
            call.input = None
        self._with_input = deque(still_open[-MAX_INPUTS:])
