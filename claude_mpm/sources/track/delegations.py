"""Work given to subagents: who does what, until when, and how it went.

A delegation is a call of the tool `Task` (until 2.1.50) or `Agent`. In the foreground its tool result is its end;
in the background (2.1.200 and later, by default) the result comes at once, and the end is told by SubagentStop, by a
task notification or by the agent's meta file, whichever is first.

A subagent is tied to its delegation by the id in the result, the meta file or stream-json; before that by its
prompt, oldest first; in 1.x only so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse.json_values import mapping, text, whole
from claude_mpm.sources.parse.messages import INTERRUPTED
from claude_mpm.sources.parse.observations import AgentEnded, AgentSeen, ToolEnded, Used, Who
from claude_mpm.sources.track.delegation import Delegation, Statistics
from claude_mpm.sources.track.tool_calls import Call

TOOLS = ("Task", "Agent")
ANY_AGENT = "general-purpose"  # what Claude takes when no type is given
HIDDEN = "Warmup"  # the prompt of the agents 2.0.x starts for itself
MAX_KEPT = 5_000  # ended delegations, agents, chain links


class Delegations:
    """Pure; one thread. Methods return the events that follow from what they are told."""

    def __init__(self) -> None:
        self._by_call: dict[str, Delegation] = {}  # by name, in order
        self._by_agent: dict[str, Delegation] = {}
        self._chains: dict[str, str | None] = {}  # uuid of a sidechain line → name of the call
        self._hidden: set[str] = set()
        self._unbound: dict[str, str] = {}  # agent id → prompt, until its delegation is seen
        self._early: dict[str, tuple[AgentEnded, float]] = {}  # ends of agents not bound yet
        self._stats = Statistics()
        self._told_active: list[tuple[str, str, bool | None]] = []
        self.unsettled: list[str] = []  # calls whose agents have ended, without numbers yet: settle() them shortly

    # --- who is who ---

    def agent_of(self, who: Who, calls_name: str | None) -> str | None:
        """The public agent id for `who`; `calls_name` is the name of the call `who.delegated_by`."""
        if who.agent_id:
            return who.agent_id
        if calls_name is not None:
            found = self._by_call.get(calls_name)
            return found.public_id if found else calls_name
        if who.chain is not None:
            name = self._chains.get(who.chain[0] or "")
            self._link(who.chain[1], name)
            found = self._by_call.get(name) if name else None
            return found.public_id if found else None
        return None

    def only_foreground(self) -> str | None:
        """The one agent that can be at work while the main conversation waits for it."""
        waiting = [d for d in self._by_call.values() if not d.ended and not d.background]
        return waiting[0].public_id if len(waiting) == 1 else None

    def is_hidden(self, who: Who) -> bool:
        return who.agent_id in self._hidden

    def agent_for(self, call: Call) -> str | None:
        """The public id of the agent this call delegated to."""
        found = self._by_call.get(call.name)
        return found.public_id if found else None

    def knows(self, agent_id: str) -> bool:
        return agent_id in self._by_agent

    def is_background(self, agent_id: str | None) -> bool:
        found = self._by_agent.get(agent_id or "")
        return found is not None and bool(found.background)

    def any_background(self) -> bool:
        return any(d.background and not d.ended for d in self._by_call.values())

    def _link(self, uuid: str, name: str | None) -> None:
        self._chains[uuid] = name
        if len(self._chains) > MAX_KEPT:
            self._chains.pop(next(iter(self._chains)))

    def seen(self, seen: AgentSeen, call: Call | None, source: Source, at: float) -> list[Event]:
        """A subagent showed itself; `call` is the one of `seen.tool_use_id`."""
        who = seen.who
        if who.chain is not None:
            found = self._by_prompt(seen.prompt, lambda d: not d.chained and d.agent_id is None)
            if found is not None:
                found.chained = True
            self._link(who.chain[1], found.call.name if found else None)
            return []
        if who.agent_id is None:
            return []
        found = self._by_call.get(call.name) if call else self._by_agent.get(who.agent_id)
        if found is None and seen.prompt is not None:
            found = self._by_prompt(seen.prompt, lambda d: d.agent_id is None)
            if found is None and seen.prompt == HIDDEN:
                self._hidden.add(who.agent_id)
            elif found is None:
                self._unbound[who.agent_id] = seen.prompt
        return self._bind(found, who.agent_id, seen.background, source, at) if found else []

    def _by_prompt(self, prompt: str | None, fits: Any) -> Delegation | None:
        for found in self._by_call.values():
            if found.prompt is not None and found.prompt.strip() == (prompt or "").strip() and fits(found):
                return found
        return None

    def _tie(self, found: Delegation, agent_id: str) -> None:
        found.agent_id = agent_id
        self._by_agent[agent_id] = found
        self._unbound.pop(agent_id, None)

    def _bind(
        self, found: Delegation, agent_id: str, background: bool | None, source: Source, at: float
    ) -> list[Event]:
        self._tie(found, agent_id)
        if background:
            found.background = True
        if found.ended:
            return []
        if agent_id in self._early:
            early, early_at = self._early.pop(agent_id)
            return self.ended(early, found.call, source, early_at) + self._status(source, at)
        if background and found.stopped is not None and found.call.name not in self.unsettled:
            self.unsettled.append(found.call.name)
        return self._status(source, at)

    # --- what happens ---

    def start(self, call: Call, session_id: str | None, source: Source) -> list[Event]:
        """A delegation's tool call has started."""
        given = mapping(call.input)
        prompt = text(given.get("prompt"))
        new = Delegation(
            call=call,
            agent=text(given.get("subagent_type")) or ANY_AGENT,
            task=text(given.get("description")) or (prompt or "")[:100],
            prompt=prompt,
            session_id=session_id,
            started=call.started,
            background=True if given.get("run_in_background") is True else None,
        )
        self._by_call[call.name] = new
        self._forget_old()
        self._stats.started(new.agent)
        events = [self._event(new, "started", source, call.started)]
        for agent_id, waiting in self._unbound.items():
            if prompt is not None and waiting.strip() == prompt.strip():
                return events + self._bind(new, agent_id, None, source, call.started)
        return events + self._status(source, call.started)

    def result(self, call: Call, seen: ToolEnded, source: Source, at: float) -> list[Event]:
        """A delegation's tool result: its end, or only the launch of a background agent."""
        found = self._by_call.get(call.name)
        if found is None:
            return []
        result = seen.result
        agent_id = text(result.get("agentId"))
        launched = result.get("isAsync") is True or result.get("status") == "async_launched"
        if launched:
            return self._bind(found, agent_id, True, source, at) if agent_id else []
        if found.ended or (found.background and seen.ok):
            return []  # without a structured result a launch looks like an end
        if agent_id:
            self._tie(found, agent_id)
        numbers = [whole(result.get(name)) for name in ("totalDurationMs", "totalTokens", "totalToolUseCount")]
        reason = None if seen.ok else seen.summary
        if reason and INTERRUPTED in reason:
            reason = "interrupted"
        end = AgentEnded(seen.who, at, seen.tool_use_id, seen.ok, reason, *numbers)
        return self._finish(found, end, source, at)

    def ended(self, seen: AgentEnded, call: Call | None, source: Source, at: float) -> list[Event]:
        """An agent's own end; `call` is the one of `seen.tool_use_id`."""
        agent_id = seen.who.agent_id
        found = self._by_call.get(call.name) if call else self._by_agent.get(agent_id or "")
        if found is None:
            if agent_id and agent_id not in self._hidden and len(self._early) < MAX_KEPT:
                self._early[agent_id] = (seen, at)
            return []
        if found.ended:
            return []
        if seen.tokens is not None or seen.ok is False:
            return self._finish(found, seen, source, found.stopped_at or at)
        if found.stopped is None:
            found.stopped, found.stopped_at, found.stopped_by = seen, at, source
            if found.background:
                self.unsettled.append(found.call.name)
        return []

    def settle(self, name: str) -> list[Event]:
        """The numbers of an agent's end did not come: tell it with what is known."""
        found = self._by_call.get(name)
        if found is None or found.ended or found.stopped is None or not found.background:
            return []
        return self._finish(found, found.stopped, found.stopped_by, found.stopped_at)

    def worked(self, agent_id: str | None, *, tool_uses: int = 0, used: Used | None = None) -> None:
        """A subagent called a tool, or was answered."""
        found = self._by_agent.get(agent_id or "") or self._by_call.get(agent_id or "")
        if found is not None:
            found.tool_uses += tool_uses
            if used is not None:
                found.tokens = used.input + used.output + used.cache_read + used.cache_creation

    def close(self, reason: str, source: Source, at: float, *, foreground_only: bool = False) -> list[Event]:
        """End what is open: failed, but for agents that had ended already."""
        events: list[Event] = []
        for found in [d for d in self._by_call.values() if not d.ended]:
            if found.stopped is not None:
                events += self._finish(found, found.stopped, found.stopped_by, found.stopped_at)
            elif not foreground_only or (not found.background and found.started <= at):
                events += self._finish(found, AgentEnded(Who(), at, ok=False, reason=reason), source, at)
        return events

    # --- events ---

    def _finish(self, found: Delegation, seen: AgentEnded, source: Source, at: float) -> list[Event]:
        found.ended = True
        ok = seen.ok is not False
        duration = seen.duration_ms if seen.duration_ms is not None else max(int((at - found.started) * 1000), 0)
        self._stats.ended(found.agent, ok, duration)
        tool_uses = seen.tool_uses if seen.tool_uses is not None else found.tool_uses or None
        tokens = seen.tokens if seen.tokens is not None else found.tokens
        numbers = {"duration_ms": duration, "tokens": tokens, "tool_uses": tool_uses}
        reason = None if ok else (seen.reason or "failed")[:500]
        status = "completed" if ok else "failed"
        return [self._event(found, status, source, at, numbers, reason), *self._status(source, at)]

    def _event(
        self,
        found: Delegation,
        status: Any,
        source: Source,
        at: float,
        numbers: Mapping[str, int | None] | None = None,
        reason: str | None = None,
    ) -> Event:
        return ev.agent_delegation(
            found.agent,
            found.task,
            status,
            source=source,
            agent_id=found.agent_id,
            tool_use_id=found.call.name,
            parent_agent_id=found.call.agent_id,
            background=found.background,
            reason=reason,
            time=at,
            session_id=found.session_id,
            **(numbers or {}),
        )

    def _status(self, source: Source, at: float) -> list[Event]:
        """`agent.status` if the active agents, and what is known of them, are not what was told last."""
        active = [d for d in self._by_call.values() if not d.ended]
        now = [(d.call.name, d.public_id, d.background) for d in active]
        if now == self._told_active:
            return []
        self._told_active = now
        agents: list[dict[str, Any]] = [
            {"agent_id": d.public_id, "tool_use_id": d.call.name, "agent": d.agent, "task": d.task}
            | {"since": ev.rfc3339(d.started)}
            | ({} if d.background is None else {"background": d.background})
            for d in active
        ]
        session_id = active[-1].session_id if active else None
        return [ev.agent_status(agents, self._stats.told(), source=source, time=at, session_id=session_id)]

    def _forget_old(self) -> None:
        if len(self._by_call) > MAX_KEPT:
            name, old = next(iter(self._by_call.items()))
            del self._by_call[name]
            self._by_agent.pop(old.agent_id or "", None)
