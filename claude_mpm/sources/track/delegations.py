"""Work given to subagents: who does what, until when, and how it went.

A delegation is a call of the tool `Task` (until 2.1.50) or `Agent`. In the foreground its tool result is its end. In the
background (the default from 2.1.200 on) the result comes at once, and the end is told by SubagentStop, by a task
notification or by the agent's meta file, whichever is first.

An agent is tied to its delegation by the id in the result, in the meta file or in stream-json; before that by its prompt,
oldest first; in 1.x only so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut
from claude_mpm.feed.event import MAX_TASK, Event, Origin
from claude_mpm.sources.parse.json_values import mapping, name, text, whole
from claude_mpm.sources.parse.messages import INTERRUPTED
from claude_mpm.sources.parse.observations import MAX_REASON, AgentEnded, AgentSeen, ToolEnded, Used, Who
from claude_mpm.sources.track.agent_stats import AgentStats
from claude_mpm.sources.track.digests import Digest, Recent, text_digest
from claude_mpm.sources.track.tool_calls import ToolCall
from claude_mpm.sources.track.usage import Tokens

TOOLS = ("Task", "Agent")
ANY_AGENT = "general-purpose"  # the type Claude takes when none is given
HIDDEN = "Warmup"  # the prompt of the agents that 2.0 starts for itself
MAX_DELEGATIONS = 5_000  # with those that have ended, of which late records may still come
MAX_AGENTS = 5_000  # agents without a delegation, of each kind
MAX_CHAIN = 20_000  # lines of sidechains


@dataclass(eq=False, slots=True)
class Delegation:
    """One piece of work given to a subagent.

    Attributes:
        task: what it was asked to do; empty once it has ended.
        prompt: the digest of the whole prompt.
        background: None until Claude says so.
        agent_id: Claude's id of the agent, once known.
        chained: 1.x: its sidechain has been found.
        stop: the agent has ended, but the delegation's result, or the numbers of the end, may still come.
        stop_origin: who saw that, and when.
        tokens: as Claude counts them at the end: of the last request and answer.
        totals: of all answers.
    """

    call: ToolCall
    agent: str
    task: str
    prompt: Digest | None
    session_id: str | None
    background: bool | None
    agent_id: str | None = None
    chained: bool = False
    stop: AgentEnded | None = None
    stop_origin: Origin = field(default_factory=lambda: Origin("monitor", 0.0))
    ended: bool = False
    tool_uses: int = 0
    tokens: int | None = None
    totals: Tokens = field(default_factory=Tokens)

    @property
    def public_id(self) -> str:
        """`agent_id` in events: Claude's id of the agent, else the call's."""
        return self.agent_id or self.call.name

    def as_active(self) -> dict[str, Any]:
        """An item of `active_agents` in `agent.status`."""
        data: dict[str, Any] = {
            "agent_id": self.public_id,
            "tool_use_id": self.call.name,
            "agent": self.agent,
            "task": cut(self.task, MAX_TASK)[0],
            "since": ev.rfc3339(self.call.started),
        }
        if self.background is not None:
            data["background"] = self.background
        return data | ({"totals": self.totals._asdict()} if any(self.totals) else {})


class Delegations:
    """All delegations of a process. The methods return the events that follow."""

    def __init__(self) -> None:
        self._by_call: Recent[str, Delegation] = Recent(MAX_DELEGATIONS)  # by the call's name, oldest first
        self._by_agent: Recent[str, Delegation] = Recent(MAX_DELEGATIONS)  # by Claude's id of the agent
        self._chains: Recent[str, str | None] = Recent(MAX_CHAIN)  # uuid of a sidechain's line → the call's name
        self._hidden: Recent[str, None] = Recent(MAX_AGENTS)  # agents that are nobody's delegation
        # Of agents whose delegation has not been seen yet, by Claude's id:
        self._prompts: Recent[str, Digest] = Recent(MAX_AGENTS)
        self._early_ends: Recent[str, tuple[AgentEnded, Origin]] = Recent(MAX_AGENTS)
        self._early_tokens: Recent[str, Tokens] = Recent(MAX_AGENTS)
        self._stats = AgentStats()
        self._told_active: list[tuple[str, str, bool | None]] = []
        self.unsettled: list[str] = []  # calls whose agents have ended without numbers; settle() them shortly

    # --- who is who ---

    def agent_of(self, who: Who, call_name: str | None) -> str | None:
        """The public id of the agent `who`; `call_name` is the name of the call `who.delegated_by`."""
        if who.agent_id:
            return who.agent_id
        if call_name is not None:
            delegation = self._by_call.get(call_name)
            return delegation.public_id if delegation else call_name
        if who.chain is not None:
            parent, uuid = who.chain
            self._chains[uuid] = linked = self._chains.get(parent or "")
            delegation = self._by_call.get(linked or "")
            return delegation.public_id if delegation else None
        return None

    def only_foreground(self) -> str | None:
        """The one agent that can be at work while the main conversation waits for it."""
        waited_for = [delegation for delegation in self._active() if not delegation.background]
        return waited_for[0].public_id if len(waited_for) == 1 else None

    def is_hidden(self, who: Who) -> bool:
        """Whether this is an agent that Claude Code started for itself."""
        return who.agent_id in self._hidden

    def agent_for(self, call: ToolCall) -> str | None:
        """The public id of the agent that this call delegated to."""
        delegation = self._by_call.get(call.name)
        return delegation.public_id if delegation else None

    def knows(self, agent_id: str) -> bool:
        """Whether the delegation of this agent is known."""
        return agent_id in self._by_agent

    def is_background(self, agent_id: str | None) -> bool:
        """Whether this agent is known to work in the background."""
        delegation = self._by_agent.get(agent_id or "")
        return delegation is not None and bool(delegation.background)

    def any_background(self) -> bool:
        """Whether an agent is at work in the background."""
        return any(delegation.background for delegation in self._active())

    def seen(self, observed: AgentSeen, call: ToolCall | None, origin: Origin) -> list[Event]:
        """A subagent has shown itself; `call` is the one with `observed.tool_use_id`."""
        who, prompt = observed.who, _prompt_digest(observed.prompt)
        if who.chain is not None:
            self._link(who.chain[1], prompt)
            return []
        if who.agent_id is None:
            return []
        delegation = self._by_call.get(call.name) if call else self._by_agent.get(who.agent_id)
        if delegation is None and prompt is not None:
            delegation = next((d for d in self._with_prompt(prompt) if d.agent_id is None), None)
            if delegation is None and observed.prompt == HIDDEN:
                self._hidden[who.agent_id] = None
            elif delegation is None:
                self._prompts[who.agent_id] = prompt
        return self._bind(delegation, who.agent_id, observed.background, origin) if delegation else []

    def _link(self, uuid: str, prompt: Digest | None) -> None:
        """1.x: tie the first line of a sidechain to the oldest delegation with its prompt that has none."""
        candidates = (d for d in self._with_prompt(prompt) if not d.chained and d.agent_id is None)
        delegation = next(candidates, None)
        if delegation is not None:
            delegation.chained = True
        self._chains[uuid] = delegation.call.name if delegation else None

    def _with_prompt(self, prompt: Digest | None) -> Iterator[Delegation]:
        return (d for d in self._by_call.values() if prompt is not None and d.prompt == prompt)

    def _active(self) -> list[Delegation]:
        return [delegation for delegation in self._by_call.values() if not delegation.ended]

    def _tie(self, delegation: Delegation, agent_id: str) -> None:
        delegation.agent_id = agent_id
        self._by_agent[agent_id] = delegation
        self._prompts.pop(agent_id, None)
        if agent_id in self._early_tokens:
            self._count_tokens(delegation, self._early_tokens.pop(agent_id))

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
            prompt=_prompt_digest(prompt),
            session_id=origin.session_id,
            background=True if order.get("run_in_background") is True else None,
        )
        self._by_call[call.name] = delegation
        self._stats.started(delegation.agent)
        origin = Origin(origin.source, call.started, origin.session_id)
        events = [self._event(delegation, "started", origin)]
        for agent_id, waiting in self._prompts.items():
            if waiting == delegation.prompt:
                return events + self._bind(delegation, agent_id, None, origin)
        return events + self._status(origin)

    def result(self, call: ToolCall, observed: ToolEnded, origin: Origin) -> list[Event]:
        """A delegation's tool result: its end, or only the launch of a background agent."""
        delegation = self._by_call.get(call.name)
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
        delegation = self._by_call.get(call.name) if call else self._by_agent.get(agent_id or "")
        if delegation is None:
            if agent_id and agent_id not in self._hidden:
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
        """The numbers of an agent's end have not come: tell the end with what is known."""
        delegation = self._by_call.get(call_name)
        if delegation is None or delegation.ended or delegation.stop is None or not delegation.background:
            return []
        return self._finish(delegation, delegation.stop, delegation.stop_origin)

    def worked(self, agent_id: str | None, *, tool_uses: int = 0, used: Used | None = None) -> None:
        """A subagent called a tool, or was answered."""
        delegation = self._find(agent_id)
        if delegation is not None:
            delegation.tool_uses += tool_uses
            if used is not None:
                delegation.tokens = used.input + used.output + used.cache_read + used.cache_creation

    def count_tokens(self, agent_id: str, tokens: Tokens) -> None:
        """Tokens of an answer to the agent with this public id, each once. They are told with the next status."""
        delegation = self._find(agent_id)
        if delegation is not None:
            self._count_tokens(delegation, tokens)
        else:
            self._early_tokens[agent_id] = self._early_tokens.get(agent_id, Tokens()).plus(tokens)

    def _find(self, agent_id: str | None) -> Delegation | None:
        return self._by_agent.get(agent_id or "") or self._by_call.get(agent_id or "")

    def _count_tokens(self, delegation: Delegation, tokens: Tokens) -> None:
        delegation.totals = delegation.totals.plus(tokens)
        self._stats.used(delegation.agent, tokens)

    def close(self, reason: str, origin: Origin, *, foreground_only: bool = False) -> list[Event]:
        """End what is open: as failed, but for agents that have ended already."""
        events: list[Event] = []
        for delegation in self._active():
            if delegation.stop is not None:
                events += self._finish(delegation, delegation.stop, delegation.stop_origin)
            elif not foreground_only or (not delegation.background and delegation.call.started <= origin.moment):
                events += self._finish(delegation, AgentEnded(Who(), origin.at, ok=False, reason=reason), origin)
        return events

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
        active = self._active()
        now = [(delegation.call.name, delegation.public_id, delegation.background) for delegation in active]
        if now == self._told_active:
            return []
        self._told_active = now
        origin = Origin(origin.source, origin.at, active[-1].session_id if active else None)
        return [ev.agent_status([one.as_active() for one in active], self._stats.as_data(), origin=origin)]


def _prompt_digest(prompt: str | None) -> Digest | None:
    """Sources differ in the white space around a prompt."""
    return text_digest(prompt.strip()) if prompt is not None else None
