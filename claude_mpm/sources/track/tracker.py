"""Observations of all sources in, events out: each fact once, whichever sources saw it and in whatever order.

The tracker passes to each of its parts what concerns it: sessions.py (which session a record belongs to), tool_calls.py
(which records are about the same call), agents.py (which agent has which delegation), delegations.py (how those go),
todo_lists.py, usage.py (tokens), conversation.py (messages) and activity.py (working, idle, waiting). All of it is pure,
belongs to one thread and holds a bounded amount of memory, whatever is observed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin, Source
from claude_mpm.sources.parse import observations as obs
from claude_mpm.sources.parse.observations import Observation, Who
from claude_mpm.sources.track.activity import Activity
from claude_mpm.sources.track.agents import Agents
from claude_mpm.sources.track.conversation import Conversation
from claude_mpm.sources.track.delegations import TOOLS, Delegations
from claude_mpm.sources.track.sessions import Sessions
from claude_mpm.sources.track.todo_lists import TodoLists
from claude_mpm.sources.track.tool_calls import ToolCalls, tool_end
from claude_mpm.sources.track.usage import Usage

NewSession = Callable[[str, Any, float], Event]  # (session id, reason, seconds since the epoch) → session.start
_CLOSED = {"process_ended": "Claude has ended", "session_cleared": "Claude began another session"}
HISTORY = 0.01  # seconds; a record older than the process by more is history (transcripts have whole milliseconds)


class Tracker:
    """Joins observations into events. For one thread; nothing blocks and no observation makes it raise.

    Args:
        session_id: Claude's session, when it is known in advance.
        new_session: makes the `session.start` event of another session; None: it is not reported.
        unanswerable, has_answer_hook: as in Activity.
    """

    def __init__(
        self,
        session_id: str | None = None,
        new_session: NewSession | None = None,
        unanswerable: str | None = None,
        has_answer_hook: bool = False,
    ) -> None:
        self._sessions = Sessions(session_id)
        self._new_session = new_session
        self._since = 0.0  # when the process started
        self._ended = False
        self._calls = ToolCalls()
        self._agents = Agents()
        self._delegations = Delegations(self._agents)
        self._todo_lists = TodoLists()
        self._past_todos = False  # a resumed session's list has not been reported yet
        self._usage = Usage(self._delegations.count_tokens)
        self._activity = Activity(self._calls, TOOLS, unanswerable, has_answer_hook)
        self._conversation = Conversation()

    @property
    def session_id(self) -> str | None:
        """Claude's session. It may be set while it is not known, when a file has given it away."""
        return self._sessions.current

    @session_id.setter
    def session_id(self, session_id: str | None) -> None:
        self._sessions.current = session_id

    def observe(self, observation: Observation, source: Source, now: float) -> list[Event]:
        """Take one observation and return the events that follow.

        Args:
            now: seconds since the epoch; the time of an observation that has none of its own.
        """
        if self._ended or self._agents.is_hidden(observation.who):
            return []
        place = self._sessions.place(observation, source)
        origin = Origin(source, observation.at if observation.at is not None else now, self.session_id)
        if place == "past" and isinstance(observation, (obs.Said, obs.Prompt)):
            return self._words(observation, replace(origin, session_id=observation.who.session_id))
        if place == "next":
            started = isinstance(observation, obs.SessionStarted)
            return self._switch(observation, origin) + ([] if started else self.observe(observation, source, now))
        if place != "current":
            return []
        if observation.at is not None and observation.at < self._since - HISTORY:
            if not isinstance(observation, obs.Busy) or self._activity.state is not None:
                self._history(observation, origin)
                return []
            origin = replace(origin, at=self._since)  # what a claude we are attached to has been doing since before
        self._sessions.confirm(observation)
        handle = _HANDLERS.get(type(observation))
        remembered = self._remembered(replace(origin, at=now)) if self._past_todos else []
        return remembered + (handle(self, observation, origin) if handle else [])

    def finish(self, reason: str, origin: Origin) -> list[Event]:
        """End everything that is open as failed, for this reason. Nothing is observed from now on."""
        events = self._close(reason, origin)
        self._ended = True
        return events

    def take_unsettled(self) -> list[str]:
        """Delegations that have ended without numbers, each once: call settle() for them a little later."""
        names, self._delegations.unsettled = self._delegations.unsettled, []
        return names

    def settle(self, call_name: str) -> list[Event]:
        """Report the end of such a delegation with what is known by now."""
        return self._delegations.settle(call_name)

    # --- the process and its sessions ---

    def _process_started(self, observed: obs.ProcessStarted, origin: Origin) -> list[Event]:
        self._since = origin.moment
        self._sessions.process_started(self._since)
        return []

    def _process_ended(self, observed: obs.ProcessEnded, origin: Origin) -> list[Event]:
        return self.finish("process_ended", origin)

    def _session_started(self, observed: obs.SessionStarted, origin: Origin) -> list[Event]:
        """Of the session that is known already."""
        if origin.source == "stream_json":
            return self._activity.working(origin)
        if origin.source == "hook" and observed.reason != "compact":
            return self._activity.idle(origin)
        return []

    def _switch(self, observed: Observation, origin: Origin) -> list[Event]:
        """Claude has moved on to the session of `observed`."""
        events = self._close("session_cleared", origin)
        at, switch = origin.moment, self._sessions.switch(observed, origin.moment)
        events.append(
            ev.session_end(
                switch.old, at, switch.lasted, exit_code=None, signal=None, reason=switch.reason, source=origin.source
            )
        )
        self._todo_lists = TodoLists()
        self._usage = Usage(self._delegations.count_tokens)
        if self._new_session is not None:
            events.append(self._new_session(switch.new, switch.reason, at))
        return events + self._activity.idle(replace(origin, session_id=switch.new))

    def _close(self, reason: str, origin: Origin) -> list[Event]:
        """Nothing goes on after this: end everything that is open."""
        events = self._calls.close(reason, origin, *self._calls.open())
        events += self._activity.close(_CLOSED.get(reason, reason), origin)
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
        if agent_id is None and observed.who.unsure and observed.tool not in TOOLS:
            agent_id = self._agents.only_foreground()
        call = self._calls.start(observed, agent_id, origin.moment)
        if call is None:
            return []
        events = [ev.tool_start(call.name, call.tool, observed.input, origin=origin, agent_id=agent_id)]
        self._delegations.worked(agent_id, tool_uses=1)
        if call.tool in TOOLS:
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
        events.append(tool_end(call, observed.ok, origin, duration_ms=duration, summary=observed.summary))
        if call.tool in TOOLS:
            events += self._usage.answers_complete(self._agents.agent_for(call) or call.name)
            events += self._delegations.result(call, observed, origin)
        if observed.ok:
            events += self._todo_lists.tool_succeeded(call, observed.result, origin)
        return events + self._activity.tool_ended(call, observed, origin)

    def _interrupted(self, observed: obs.Interrupted, origin: Origin) -> list[Event]:
        if not observed.who.is_main:
            return []
        waited_for = (call for call in self._calls.open() if not self._agents.is_background(call.agent_id))
        events = self._calls.close("interrupted", origin, *(c for c in waited_for if c.started <= origin.moment))
        events += self._delegations.close("interrupted", origin, foreground_only=True)
        return events + self._turn_over(None, origin)

    # --- agents ---

    def _agent_ended(self, observed: obs.AgentEnded, origin: Origin) -> list[Event]:
        events = self._usage.answers_complete(observed.who.agent_id)
        events += self._activity.agent_ended(observed.who.agent_id, origin)
        return events + self._delegations.ended(observed, self._calls.find(observed.tool_use_id), origin)

    def _agent(self, who: Who) -> str | None:
        call = self._calls.find(who.delegated_by)
        return self._agents.agent_of(who, call.name if call else who.delegated_by)

    # --- todos and tokens ---

    def _todo_file(self, observed: obs.TodoFile, origin: Origin) -> list[Event]:
        agent_id = observed.who.agent_id
        if agent_id is not None and not self._agents.knows(agent_id):
            return []  # 1.x and 2.0 give the agents' files names that occur nowhere else
        return self._todo_lists.filed(observed.todos, agent_id, origin)

    def _used(self, observed: obs.Used, origin: Origin) -> list[Event]:
        agent_id = self._agent(observed.who)
        self._delegations.worked(agent_id, used=observed)
        at_once = agent_id is None and self._activity.state == "idle"
        return self._usage.answer(observed, agent_id, origin, at_once=at_once)

    # --- what Claude is doing ---

    def _turn_ended(self, observed: obs.TurnEnded, origin: Origin) -> list[Event]:
        return self._turn_over(observed.background_agents, origin) if observed.who.is_main else []

    def _turn_over(self, background_agents: int | None, origin: Origin) -> list[Event]:
        goes_on = self._agents.any_background() if background_agents is None else background_agents > 0
        change = self._activity.working if goes_on else self._activity.idle
        return self._usage.turn_ended() + change(origin)

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
        self._past_todos = False
        self._calls.forget_open()
        return self._todo_lists.again(origin)


_HANDLERS: dict[type[Observation], Callable[[Tracker, Any, Origin], list[Event]]] = {
    obs.ProcessStarted: Tracker._process_started,
    obs.ProcessEnded: Tracker._process_ended,
    obs.SessionStarted: Tracker._session_started,
    obs.SessionEnded: lambda self, observed, origin: self._sessions.ended(observed.reason),
    obs.Prompt: Tracker._prompt,
    obs.Said: Tracker._said,
    obs.ApiFailed: Tracker._api_failed,
    obs.ToolStarted: Tracker._tool_started,
    obs.ToolEnded: Tracker._tool_ended,
    obs.Interrupted: Tracker._interrupted,
    obs.AgentSeen: lambda self, seen, origin: self._delegations.seen(seen, self._calls.find(seen.tool_use_id), origin),
    obs.AgentEnded: Tracker._agent_ended,
    obs.TodoFile: Tracker._todo_file,
    obs.Used: Tracker._used,
    obs.ContextWindow: lambda self, observed, origin: self._usage.context_window(observed.model, observed.tokens),
    obs.Cost: lambda self, observed, origin: self._usage.cost(observed.usd, origin),
    obs.TurnEnded: Tracker._turn_ended,
    obs.Busy: lambda self, observed, origin: self._activity.session_file(observed, origin),
    obs.Notified: lambda self, observed, origin: self._activity.notified(observed, origin),
    obs.Asked: lambda self, observed, origin: self._activity.asked(observed, origin),
    obs.AnswerDelivered: lambda self, observed, origin: self._activity.answer_delivered(observed, origin),
    obs.HookEnded: lambda self, observed, origin: self._activity.hook_ended(observed, origin),
}
