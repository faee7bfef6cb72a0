"""Observations of all sources in, events out: each fact once, whichever sources saw it and in whatever order.

The tracker knows sessions and the process; for the rest it tells each part what concerns it: tool_calls.py (which records
are about the same call), delegations.py (which agent does what), todo_lists.py, usage.py (tokens), conversation.py
(messages) and activity.py (working, idle, waiting). All of it is pure, belongs to one thread and holds a bounded amount
of memory, whatever is observed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin, Source
from claude_mpm.sources.parse import observations as obs
from claude_mpm.sources.parse.observations import Observation, Who
from claude_mpm.sources.track import delegations
from claude_mpm.sources.track.activity import Activity
from claude_mpm.sources.track.conversation import Conversation
from claude_mpm.sources.track.delegations import Delegations
from claude_mpm.sources.track.todo_lists import TodoLists
from claude_mpm.sources.track.tool_calls import ToolCall, ToolCalls
from claude_mpm.sources.track.usage import Usage

NewSession = Callable[[str, Any, float], Event]  # (session id, reason, seconds since the epoch) → session.start
HISTORY = (
    0.01  # seconds before the process's start from which on a record is history; transcripts have whole milliseconds
)
MAX_PAST = 10  # sessions of this process whose last words are still told


class Tracker:
    """Joins observations into events. For one thread; nothing blocks and no observation makes it raise.

    Args:
        session_id: Claude's session, when it is known in advance.
        new_session: makes the `session.start` event when Claude moves on to another session; None: that is not told.
    """

    def __init__(self, session_id: str | None = None, new_session: NewSession | None = None) -> None:
        self.session_id = session_id
        self._is_sure = session_id is not None  # else the next id may be the right one: see _of_another_session()
        self._new_session = new_session
        self._past: list[str] = []
        self._since = 0.0  # when the process started
        self._session_since: float | None = None
        self._end_reason: str | None = None
        self._has_hooks = False
        self._ended = False
        self._calls = ToolCalls()
        self._delegations = Delegations()
        self._todo_lists = TodoLists()
        self._past_todos = False  # a resumed session's list has not been told yet
        self._usage = Usage(self._delegations.count_tokens)
        self._activity = Activity(self._calls, delegations.TOOLS)
        self._conversation = Conversation()

    def observe(self, observation: Observation, source: Source, now: float) -> list[Event]:
        """Take one observation and return the events that follow.

        Args:
            now: seconds since the epoch; the time of an observation that has none of its own.
        """
        who = observation.who
        if self._ended or self._delegations.is_hidden(who):
            return []
        if self.session_id is None and who.session_id is not None:
            self.session_id = who.session_id
        self._has_hooks |= source == "hook"
        origin = Origin(source, observation.at if observation.at is not None else now, self.session_id)
        if who.session_id is not None and who.session_id != self.session_id:
            return self._of_another_session(observation, origin)
        if observation.at is not None and observation.at < self._since - HISTORY:
            if not isinstance(observation, obs.Busy) or self._activity.state is not None:
                self._history(observation, origin)
                return []
            origin = replace(origin, at=self._since)  # what a claude we are attached to has been doing since before
        self._is_sure |= who.session_id is not None and isinstance(observation, (obs.Prompt, obs.Said))
        handle = _HANDLERS.get(type(observation))
        remembered = self._remembered(replace(origin, at=now))
        return remembered + (handle(self, observation, origin) if handle else [])

    def take_unsettled(self) -> list[str]:
        """Delegations that have ended without numbers, each once: call settle() for them a little later."""
        names, self._delegations.unsettled = self._delegations.unsettled, []
        return names

    def settle(self, call_name: str) -> list[Event]:
        """Tell the end of such a delegation with what is known by now."""
        return self._delegations.settle(call_name)

    # --- the process and its sessions ---

    def _process_started(self, observed: obs.ProcessStarted, origin: Origin) -> list[Event]:
        self._since = self._session_since = origin.moment
        return []

    def _process_ended(self, observed: obs.ProcessEnded, origin: Origin) -> list[Event]:
        events = self._close("process_ended", origin)
        self._ended = True
        return events

    def _session_started(self, observed: obs.SessionStarted, origin: Origin) -> list[Event]:
        """Of the session that is known already."""
        if origin.source == "stream_json":
            return self._activity.working(origin)
        if origin.source == "hook" and observed.reason != "compact":
            return self._activity.idle(origin)
        return []

    def _of_another_session(self, observed: Observation, origin: Origin) -> list[Event]:
        """Claude has moved on to another session, or these are last words of an earlier one.

        On resume the first id told is often one that Claude gives up before anything is said (1.x in its hook, 2.1 on
        stdout), and 2.0 goes on to use it for its hidden agents: not every hook belongs to the session.
        """
        new, source, at = observed.who.session_id, origin.source, origin.moment
        assert new is not None
        started = isinstance(observed, obs.SessionStarted)
        if new in self._past and not (started and source == "hook"):
            late = isinstance(observed, (obs.Said, obs.Prompt))
            return self._words(observed, replace(origin, session_id=new)) if late else []
        prompted = source == "hook" and isinstance(observed, obs.Prompt) and observed.who.is_main
        if not prompted and not (started and (source == "hook" or not self._has_hooks)):
            return []  # the hook, which knows the reason, is on its way
        if not self._is_sure:
            self.session_id = new
            return self.observe(observed, source, at)
        reason = observed.reason if isinstance(observed, obs.SessionStarted) else None
        return self._switch(new, reason, origin) + ([] if started else self.observe(observed, source, at))

    def _switch(self, new: str, reason: str | None, origin: Origin) -> list[Event]:
        assert self.session_id is not None
        old, at, why = self.session_id, origin.moment, reason or self._end_reason
        why = why if why in ("clear", "resume", "compact") else "resume"
        events = self._close("session_cleared", origin)
        lasted = at - (self._session_since if self._session_since is not None else at)
        events.append(ev.session_end(old, at, lasted, exit_code=None, signal=None, reason=why, source=origin.source))
        self._past = [*self._past[1 - MAX_PAST :], old]
        self.session_id, self._session_since, self._end_reason = new, at, None
        self._todo_lists = TodoLists()
        self._usage = Usage(self._delegations.count_tokens)
        if self._new_session is not None:
            events.append(self._new_session(new, why, at))
        return events + self._activity.idle(replace(origin, session_id=new))

    def _session_ended(self, observed: obs.SessionEnded, origin: Origin) -> list[Event]:
        self._end_reason = observed.reason
        return []

    def _close(self, reason: str, origin: Origin) -> list[Event]:
        """Nothing goes on after this: end everything that is open."""
        events = [self._tool_end(call, False, origin, summary=reason) for call in self._calls.open()]
        for call in self._calls.open():
            self._calls.close(call)
        usage = self._usage.close()  # counted before the last `agent.status`, which tells the tokens of all agents
        return events + self._delegations.close(reason, origin) + usage

    # --- words ---

    def _words(self, observed: Observation, origin: Origin) -> list[Event]:
        if isinstance(observed, obs.Prompt):
            return self._conversation.prompt(observed, origin)
        assert isinstance(observed, obs.Said)
        return self._conversation.said(observed, self._agent(observed.who), origin)

    def _prompt(self, observed: obs.Prompt, origin: Origin) -> list[Event]:
        return self._words(observed, origin) + self._activity.working(origin)

    def _said(self, observed: obs.Said, origin: Origin) -> list[Event]:
        events = self._words(observed, origin)
        if events and observed.who.is_main:
            events += self._activity.working(origin)
        return events

    def _api_failed(self, observed: obs.ApiFailed, origin: Origin) -> list[Event]:
        events = self._conversation.api_failed(observed, self._agent(observed.who), origin)
        if events and observed.final and observed.who.is_main:
            events += self._turn_over(None, origin)
        return events

    # --- tools ---

    def _tool_started(self, observed: obs.ToolStarted, origin: Origin) -> list[Event]:
        agent_id = self._agent(observed.who)
        if agent_id is None and observed.who.unsure and observed.tool not in delegations.TOOLS:
            agent_id = self._delegations.only_foreground()
        call = self._calls.start(observed, agent_id, origin.moment)
        if call is None:
            return []
        events = [ev.tool_start(call.name, call.tool, observed.input, origin=origin, agent_id=agent_id)]
        self._delegations.worked(agent_id, tool_uses=1)
        if call.tool in delegations.TOOLS:
            events += self._delegations.start(call, observed.input, origin)
        events += self._todo_lists.tool_started(call, observed.input, origin)
        return events + self._activity.tool_started(call, origin)

    def _tool_ended(self, observed: obs.ToolEnded, origin: Origin) -> list[Event]:
        events: list[Event] = []
        if observed.tool is not None and not self._calls.knows(observed):
            started = max(origin.moment - (observed.duration_ms or 0) / 1000, self._since)
            start = obs.ToolStarted(observed.who, started, observed.tool_use_id, observed.tool, observed.input)
            events += self._tool_started(start, replace(origin, at=started))
        events += self._usage.answers_complete(self._agent(observed.who))
        call = self._calls.end(observed)
        if call is None:
            return events
        duration = observed.duration_ms
        if duration is None and origin.moment >= call.started:
            duration = int((origin.moment - call.started) * 1000)
        events.append(self._tool_end(call, observed.ok, origin, duration_ms=duration, summary=observed.summary))
        if call.tool in delegations.TOOLS:
            events += self._usage.answers_complete(self._delegations.agent_for(call) or call.name)
            events += self._delegations.result(call, observed, origin)
        if observed.ok:
            events += self._todo_lists.tool_succeeded(call, observed.result, origin)
            events += self._activity.tool_succeeded(call, origin)
        return events

    def _tool_end(
        self, call: ToolCall, ok: bool, origin: Origin, *, duration_ms: int | None = None, summary: str | None = None
    ) -> Event:
        agent_id = call.agent_id
        return ev.tool_end(
            call.name, call.tool, ok, origin=origin, duration_ms=duration_ms, summary=summary, agent_id=agent_id
        )

    def _interrupted(self, observed: obs.Interrupted, origin: Origin) -> list[Event]:
        if not observed.who.is_main:
            return []
        events = []
        for call in self._calls.open():
            if call.started <= origin.moment and not self._delegations.is_background(call.agent_id):
                self._calls.close(call)
                events.append(self._tool_end(call, False, origin, summary="interrupted"))
        events += self._delegations.close("interrupted", origin, foreground_only=True)
        return events + self._turn_over(None, origin)

    # --- agents ---

    def _agent_seen(self, observed: obs.AgentSeen, origin: Origin) -> list[Event]:
        return self._delegations.seen(observed, self._calls.find(observed.tool_use_id), origin)

    def _agent_ended(self, observed: obs.AgentEnded, origin: Origin) -> list[Event]:
        events = self._usage.answers_complete(observed.who.agent_id)
        return events + self._delegations.ended(observed, self._calls.find(observed.tool_use_id), origin)

    def _agent(self, who: Who) -> str | None:
        call = self._calls.find(who.delegated_by)
        return self._delegations.agent_of(who, call.name if call else who.delegated_by)

    # --- todos and tokens ---

    def _todo_file(self, observed: obs.TodoFile, origin: Origin) -> list[Event]:
        agent_id = observed.who.agent_id
        if agent_id is not None and not self._delegations.knows(agent_id):
            return []  # 1.x and 2.0 give the agents' files names that occur nowhere else
        return self._todo_lists.filed(observed.todos, agent_id, origin)

    def _used(self, observed: obs.Used, origin: Origin) -> list[Event]:
        agent_id = self._agent(observed.who)
        self._delegations.worked(agent_id, used=observed)
        at_once = agent_id is None and self._activity.state == "idle"
        return self._usage.answer(observed, agent_id, origin, at_once=at_once)

    def _cost(self, observed: obs.Cost, origin: Origin) -> list[Event]:
        return self._usage.cost(observed.usd, origin)

    # --- what Claude is doing ---

    def _turn_ended(self, observed: obs.TurnEnded, origin: Origin) -> list[Event]:
        return self._turn_over(observed.background_agents, origin) if observed.who.is_main else []

    def _turn_over(self, background_agents: int | None, origin: Origin) -> list[Event]:
        goes_on = self._delegations.any_background() if background_agents is None else background_agents > 0
        change = self._activity.working if goes_on else self._activity.idle
        return self._usage.turn_ended() + change(origin)

    def _busy(self, observed: obs.Busy, origin: Origin) -> list[Event]:
        return self._activity.session_file(observed, origin)

    def _notified(self, observed: obs.Notified, origin: Origin) -> list[Event]:
        return self._activity.notified(observed, origin)

    # --- a resumed session's past ---

    def _history(self, observed: Observation, origin: Origin) -> None:
        """What was before the process started: only todos and tokens, which still hold, are kept."""
        events: list[Event] = []
        if isinstance(observed, obs.Used):
            self._usage.history(observed, self._agent(observed.who))
        elif not observed.who.is_main:
            return
        elif isinstance(observed, obs.TodoFile):
            events = self._todo_lists.filed(observed.todos, None, origin)
        elif isinstance(observed, obs.ToolStarted):
            if (call := self._calls.start(observed, None, origin.moment)) is not None:
                events = self._todo_lists.tool_started(call, observed.input, origin)
        elif isinstance(observed, obs.ToolEnded):
            call = self._calls.end(observed)
            if call is not None and observed.ok:
                events = self._todo_lists.tool_succeeded(call, observed.result, origin)
        self._past_todos |= bool(events)

    def _remembered(self, origin: Origin) -> list[Event]:
        """The todo list that a resumed session begins with."""
        if not self._past_todos:
            return []
        self._past_todos = False
        for call in self._calls.open():
            self._calls.close(call)
        return self._todo_lists.again(origin)


_HANDLERS: dict[type[Observation], Callable[[Tracker, Any, Origin], list[Event]]] = {
    obs.ProcessStarted: Tracker._process_started,
    obs.ProcessEnded: Tracker._process_ended,
    obs.SessionStarted: Tracker._session_started,
    obs.SessionEnded: Tracker._session_ended,
    obs.Prompt: Tracker._prompt,
    obs.Said: Tracker._said,
    obs.ApiFailed: Tracker._api_failed,
    obs.ToolStarted: Tracker._tool_started,
    obs.ToolEnded: Tracker._tool_ended,
    obs.Interrupted: Tracker._interrupted,
    obs.AgentSeen: Tracker._agent_seen,
    obs.AgentEnded: Tracker._agent_ended,
    obs.TodoFile: Tracker._todo_file,
    obs.Used: Tracker._used,
    obs.Cost: Tracker._cost,
    obs.TurnEnded: Tracker._turn_ended,
    obs.Busy: Tracker._busy,
    obs.Notified: Tracker._notified,
}
