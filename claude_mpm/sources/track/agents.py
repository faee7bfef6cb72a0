"""Who is who among the subagents: which agent belongs to which delegation, as far as the records say.

An agent is tied to its delegation by the id in the result (2.0 and later), in the meta file (2.1) or in stream-json;
before that by its prompt, the oldest delegation first. In 1.x, whose sidechains have no id, only the prompt is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.cutting import cut
from claude_mpm.feed.event import MAX_TASK, Origin
from claude_mpm.sources.parse.observations import AgentEnded, AgentSeen, Who
from claude_mpm.sources.track.digests import Digest, Recent, text_digest
from claude_mpm.sources.track.tool_calls import ToolCall
from claude_mpm.sources.track.usage import Tokens

HIDDEN = "Warmup"  # the prompt of the agents that 2.0 starts for itself
MAX_DELEGATIONS = 5_000  # with those that have ended, of which late records may still come
MAX_STRAYS = 5_000  # agents whose delegation has not been seen
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


class Agents:
    """All delegations of a process, found by call, by agent, by prompt or by sidechain."""

    def __init__(self) -> None:
        self._by_call: Recent[str, Delegation] = Recent(MAX_DELEGATIONS)  # by the call's name, oldest first
        self._by_id: Recent[str, Delegation] = Recent(MAX_DELEGATIONS)  # by Claude's id of the agent
        self._chains: Recent[str, str | None] = Recent(MAX_CHAIN)  # uuid of a sidechain's line → the call's name
        self._hidden: Recent[str, None] = Recent(MAX_STRAYS)  # agents that are nobody's delegation
        self._prompts: Recent[str, Digest] = Recent(MAX_STRAYS)  # of agents whose delegation has not been seen, by id

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
        waited_for = [delegation for delegation in self.active() if not delegation.background]
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
        return agent_id in self._by_id

    def is_background(self, agent_id: str | None) -> bool:
        """Whether this agent is known to work in the background."""
        delegation = self._by_id.get(agent_id or "")
        return delegation is not None and bool(delegation.background)

    def any_background(self) -> bool:
        """Whether an agent is at work in the background."""
        return any(delegation.background for delegation in self.active())

    def of_call(self, call: ToolCall) -> Delegation | None:
        """The delegation that this call is."""
        return self._by_call.get(call.name)

    def find(self, public_id: str | None) -> Delegation | None:
        """The delegation of the agent that events name so."""
        return self._by_id.get(public_id or "") or self._by_call.get(public_id or "")

    def active(self) -> list[Delegation]:
        """Delegations that have not ended, oldest first."""
        return [delegation for delegation in self._by_call.values() if not delegation.ended]

    def add(self, delegation: Delegation) -> str | None:
        """A new delegation; returns the id of an agent that was seen before it and has its prompt."""
        self._by_call[delegation.call.name] = delegation
        return next((agent_id for agent_id, prompt in self._prompts.items() if prompt == delegation.prompt), None)

    def tie(self, delegation: Delegation, agent_id: str) -> None:
        """The agent with this id does this work."""
        delegation.agent_id = agent_id
        self._by_id[agent_id] = delegation
        self._prompts.pop(agent_id, None)

    def recognise(self, observed: AgentSeen, call: ToolCall | None) -> Delegation | None:
        """The delegation of an agent that has shown itself; `call` is the one with `observed.tool_use_id`."""
        agent_id, prompt = observed.who.agent_id, prompt_digest(observed.prompt)
        if observed.who.chain is not None:
            self._start_chain(observed.who.chain[1], prompt)
            return None
        if agent_id is None:
            return None
        delegation = self._by_call.get(call.name) if call else self._by_id.get(agent_id)
        if delegation is not None or prompt is None:
            return delegation
        delegation = next((one for one in self._with_prompt(prompt) if one.agent_id is None), None)
        if delegation is None and observed.prompt == HIDDEN:
            self._hidden[agent_id] = None
        elif delegation is None:
            self._prompts[agent_id] = prompt
        return delegation

    def _start_chain(self, uuid: str, prompt: Digest | None) -> None:
        """1.x: tie the first line of a sidechain to the oldest delegation with its prompt that has none."""
        candidates = (one for one in self._with_prompt(prompt) if not one.chained and one.agent_id is None)
        delegation = next(candidates, None)
        if delegation is not None:
            delegation.chained = True
        self._chains[uuid] = delegation.call.name if delegation else None

    def _with_prompt(self, prompt: Digest | None) -> Iterator[Delegation]:
        return (one for one in self._by_call.values() if prompt is not None and one.prompt == prompt)


def prompt_digest(prompt: str | None) -> Digest | None:
    """Sources differ in the white space around a prompt."""
    return text_digest(prompt.strip()) if prompt is not None else None
