"""Work given to subagents, from start to end, and how it went.

A delegation is a call of the tool `Task` (until 2.1.50) or `Agent`. In the foreground its tool result is its end. In the
background (the default from 2.1.200 on) the result comes at once, and the end is reported by SubagentStop, by a task
notification or by the agent's meta file, whichever is first.
"""

from __future__ import annotations

from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import MAX_TASK, Event, Origin
from claude_mpm.sources.parse.json_values import mapping, name, text, whole
from claude_mpm.sources.parse.messages import INTERRUPTED
from claude_mpm.sources.parse.observations import MAX_REASON, AgentEnded, AgentSeen, ToolEnded, Used, Who
from claude_mpm.sources.track.agent_stats import AgentStats
from claude_mpm.sources.track.agents import MAX_STRAYS, Agents, Delegation, prompt_digest
from claude_mpm.sources.track.digests import Recent
from claude_mpm.sources.track.tool_calls import ToolCall
from claude_mpm.sources.track.usage import Tokens

TOOLS = ("Task", "Agent")
ANY_AGENT = "general-purpose"  # the type Claude takes when none is given


class Delegations:
    """The life of the delegations in `agents`. The methods return the events that follow."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        # Of agents whose delegation has not been seen yet, by their id:
        self._early_ends: Recent[str, tuple[AgentEnded, Origin]] = Recent(MAX_STRAYS)
        self._early_tokens: Recent[str, Tokens] = Recent(MAX_STRAYS)
        self._stats = AgentStats()
        self._last_active: list[tuple[str, str, bool | None]] = []
        self.unsettled: list[str] = []  # calls whose agents have ended without numbers; settle() them shortly

    # --- what happens ---

    def start(self, call: ToolCall, given: Any, origin: Origin) -> list[Event]:
        """A delegation's tool call has started; `given` is its whole input."""
        order = mapping(given)
        prompt = text(order.get("prompt"))
        delegation = Delegation(
            call=call,
            agent=name(order.get("subagent_type")) or ANY_AGENT,
            # One character more than an event has, so that the event shows that it was longer.
            task=(text(order.get("description")) or (prompt or "")[:100])[: MAX_TASK + 1],
            prompt=prompt_digest(prompt),
            session_id=origin.session_id,
            background=True if order.get("run_in_background") is True else None,
        )
        agent_id = self._agents.add(delegation)
        self._stats.started(delegation.agent)
        origin = Origin(origin.source, call.started, origin.session_id)
        events = [self._event(delegation, "started", origin)]
        if agent_id is not None:
            return events + self._bind(delegation, agent_id, None, origin)
        return events + self._status(origin)

    def seen(self, observed: AgentSeen, call: ToolCall | None, origin: Origin) -> list[Event]:
        """A subagent has shown itself; `call` is the one with `observed.tool_use_id`."""
        delegation, agent_id = self._agents.recognise(observed, call), observed.who.agent_id
        return self._bind(delegation, agent_id, observed.background, origin) if delegation and agent_id else []

    def result(self, call: ToolCall, observed: ToolEnded, origin: Origin) -> list[Event]:
        """A delegation's tool result: its end, or only the launch of a background agent."""
        delegation = self._agents.of_call(call)
        if delegation is None:
            return []
        result = observed.result
        agent_id = name(result.get("agentId"))
        if result.get("isAsync") is True or result.get("status") == "async_launched":
            return self._bind(delegation, agent_id, True, origin) if agent_id else []
        if delegation.ended or (delegation.background and observed.ok):
            return []  # without a structured result a launch looks like an end
        if agent_id:
            self._tie(delegation, agent_id)
        numbers = [whole(result.get(key)) for key in ("totalDurationMs", "totalTokens", "totalToolUseCount")]
        reason = None if observed.ok else observed.summary
        if reason and INTERRUPTED in reason:
            reason = "interrupted"
        end = AgentEnded(observed.who, origin.at, observed.tool_use_id, observed.ok, reason, *numbers)
        return self._finish(delegation, end, origin)

    def ended(self, observed: AgentEnded, call: ToolCall | None, origin: Origin) -> list[Event]:
        """An agent has ended; `call` is the one with `observed.tool_use_id`."""
        agent_id = observed.who.agent_id
        delegation = self._agents.of_call(call) if call else self._agents.find(agent_id)
        if delegation is None:
            if agent_id:
                self._early_ends[agent_id] = (observed, origin)
            return []
        if delegation.ended:
            return []
        if observed.tokens is not None or observed.ok is False:
            at = delegation.stop_origin.at or origin.at
            return self._finish(delegation, observed, Origin(origin.source, at, origin.session_id))
        if delegation.stop is None:
            delegation.stop, delegation.stop_origin = observed, origin
            if delegation.background:
                self.unsettled.append(delegation.call.name)
        return []

    def settle(self, call_name: str) -> list[Event]:
        """The numbers of an agent's end have not come: report the end with what is known."""
        delegation = self._agents.find(call_name)
        if delegation is None or delegation.ended or delegation.stop is None or not delegation.background:
            return []
        return self._finish(delegation, delegation.stop, delegation.stop_origin)

    def worked(self, agent_id: str | None, *, tool_uses: int = 0, used: Used | None = None) -> None:
        """A subagent called a tool, or was answered."""
        delegation = self._agents.find(agent_id)
        if delegation is not None:
            delegation.tool_uses += tool_uses
            if used is not None:
                delegation.tokens = used.input + used.output + used.cache_read + used.cache_creation

    def count_tokens(self, agent_id: str, tokens: Tokens) -> None:
        """Tokens of an answer to the agent with this public id, each once. The next status includes them."""
        delegation = self._agents.find(agent_id)
        if delegation is not None:
            self._count_tokens(delegation, tokens)
        else:
            self._early_tokens[agent_id] = self._early_tokens.get(agent_id, Tokens()).plus(tokens)

    def _count_tokens(self, delegation: Delegation, tokens: Tokens) -> None:
        delegation.totals = delegation.totals.plus(tokens)
        self._stats.used(delegation.agent, tokens)

    def close(self, reason: str, origin: Origin, *, foreground_only: bool = False) -> list[Event]:
        """End what is open: as failed, but for agents that have ended already."""
        events: list[Event] = []
        for delegation in self._agents.active():
            if delegation.stop is not None:
                events += self._finish(delegation, delegation.stop, delegation.stop_origin)
            elif not foreground_only or (not delegation.background and delegation.call.started <= origin.moment):
                events += self._finish(delegation, AgentEnded(Who(), origin.at, ok=False, reason=reason), origin)
        return events

    def _bind(self, delegation: Delegation, agent_id: str, background: bool | None, origin: Origin) -> list[Event]:
        self._tie(delegation, agent_id)
        if background:
            delegation.background = True
        if delegation.ended:
            return []
        if agent_id in self._early_ends:
            end, end_origin = self._early_ends.pop(agent_id)
            end_origin = Origin(origin.source, end_origin.at, end_origin.session_id)
            return self.ended(end, delegation.call, end_origin) + self._status(origin)
        if background and delegation.stop is not None and delegation.call.name not in self.unsettled:
            self.unsettled.append(delegation.call.name)
        return self._status(origin)

    def _tie(self, delegation: Delegation, agent_id: str) -> None:
        self._agents.tie(delegation, agent_id)
        if agent_id in self._early_tokens:
            self._count_tokens(delegation, self._early_tokens.pop(agent_id))

    # --- events ---

    def _finish(self, delegation: Delegation, end: AgentEnded, origin: Origin) -> list[Event]:
        ok = end.ok is not False
        duration = end.duration_ms
        if duration is None:
            duration = max(int((origin.moment - delegation.call.started) * 1000), 0)
        self._stats.ended(delegation.agent, ok, duration)
        event = self._event(
            delegation,
            "completed" if ok else "failed",
            origin,
            duration_ms=duration,
            tokens=end.tokens if end.tokens is not None else delegation.tokens,
            tool_uses=end.tool_uses if end.tool_uses is not None else delegation.tool_uses or None,
            reason=None if ok else (end.reason or "failed")[:MAX_REASON],
        )
        delegation.ended, delegation.task, delegation.stop = True, "", None
        return [event, *self._status(origin)]

    def _event(
        self,
        delegation: Delegation,
        status: Literal["started", "completed", "failed"],
        origin: Origin,
        *,
        duration_ms: int | None = None,
        tokens: int | None = None,
        tool_uses: int | None = None,
        reason: str | None = None,
    ) -> Event:
        return ev.agent_delegation(
            delegation.agent,
            delegation.task,
            status,
            origin=Origin(origin.source, origin.at, delegation.session_id),
            agent_id=delegation.agent_id,
            tool_use_id=delegation.call.name,
            parent_agent_id=delegation.call.agent_id,
            background=delegation.background,
            duration_ms=duration_ms,
            tokens=tokens,
            tool_uses=tool_uses,
            reason=reason,
        )

    def _status(self, origin: Origin) -> list[Event]:
        """`agent.status`, if the active agents or what is known of them have changed since the last one."""
        active = self._agents.active()
        now = [(delegation.call.name, delegation.public_id, delegation.background) for delegation in active]
        if now == self._last_active:
            return []
        self._last_active = now
        origin = Origin(origin.source, origin.at, active[-1].session_id if active else None)
        return [ev.agent_status([one.as_active() for one in active], self._stats.as_data(), origin=origin)]
