"""One truth from five sources: observations in, each fact out once, whichever sources tell it and in whatever order.

Pure. The parts: calls.py (which tool call is which), delegations.py (which agent does what), checklist.py (todos),
bill.py (tokens), activity.py (working, idle, waiting). Here they are told what concerns them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Source
from claude_mpm.sources.parse import observations as seen
from claude_mpm.sources.parse.observations import Observation, Who
from claude_mpm.sources.track import delegations as work
from claude_mpm.sources.track.activity import Activity
from claude_mpm.sources.track.conversation import Said
from claude_mpm.sources.track.delegations import Delegations
from claude_mpm.sources.track.todo_lists import Checklists
from claude_mpm.sources.track.tool_calls import Call, Calls
from claude_mpm.sources.track.usage import Bill

NewSession = Callable[[str, Any, float], Event]  # (session id, reason, time) → session.start
HISTORY = 0.01  # seconds before the process's start: what is older was in a resumed session's transcript, which has whole milliseconds


class Tracker:
    """Joins observations into events. One thread.

    Args:
        session_id: Claude's session, where it is known in advance.
        new_session: makes `session.start` when Claude moves on to another session; None: the change is not told.
    """

    def __init__(self, session_id: str | None = None, new_session: NewSession | None = None) -> None:
        self.session_id = session_id
        self._is_sure = session_id is not None  # else the next id may be the right one: see _of_another_session()
        self._new_session = new_session
        self._past: list[str] = []
        self._since = 0.0  # the process's start
        self._session_since: float | None = None
        self._end_reason: str | None = None
        self._has_hooks = False
        self._ended = False
        self._calls = Calls()
        self._delegations = Delegations()
        self._checklists = Checklists()
        self._past_todos = False  # a resumed session's list has not been told yet
        self._bill = Bill()
        self._activity = Activity(self._calls, work.TOOLS)
        self._said = Said()

    def observe(self, observation: Observation, source: Source, now: float) -> list[Event]:
        """The events that follow. `now`: seconds since the epoch, the time of what has no time of its own."""
        who = observation.who
        at = observation.at if observation.at is not None else now
        if self._ended or self._delegations.is_hidden(who):
            return []
        if self.session_id is None and who.session_id is not None:
            self.session_id = who.session_id
        self._has_hooks |= source == "hook"
        if who.session_id is not None and who.session_id != self.session_id:
            return self._of_another_session(observation, source, at)
        if observation.at is not None and at < self._since - HISTORY:
            if not isinstance(observation, seen.Busy) or self._activity.state is not None:
                self._history(observation, source, at)
                return []
            at = self._since  # what a claude we were attached to has been doing since before
        self._is_sure |= who.session_id is not None and isinstance(observation, (seen.Prompt, seen.Said))
        handle = _HANDLERS.get(type(observation))
        return self._remembered(source, now) + (handle(self, observation, source, at) if handle else [])

    def take_unsettled(self) -> list[str]:
        """Delegations that have ended without numbers, each once: call settle() for them a little later."""
        names, self._delegations.unsettled = self._delegations.unsettled, []
        return names

    def settle(self, name: str) -> list[Event]:
        """Tell the end of a delegation with what is known by now."""
        return self._delegations.settle(name)

    # --- the process and its sessions ---

    def _process_started(self, observed: seen.ProcessStarted, source: Source, at: float) -> list[Event]:
        self._since = self._session_since = at
        return []

    def _process_ended(self, observed: seen.ProcessEnded, source: Source, at: float) -> list[Event]:
        events = self._close("process_ended", source, at)
        self._ended = True
        return events

    def _session_started(self, observed: seen.SessionStarted, source: Source, at: float) -> list[Event]:
        """Of the session that is known already."""
        if source == "stream_json":
            return self._activity.working(source, at, self.session_id)
        if source == "hook" and observed.reason != "compact":
            return self._activity.idle(source, at, self.session_id)
        return []

    def _of_another_session(self, observed: Observation, source: Source, at: float) -> list[Event]:
        """Claude has moved on to another session, or these are last words of the one before.

        On resume the first id told is often one that Claude gave up before anything was said (1.x in its hook, 2.1 on
        stdout), and 2.0 goes on to use it for its hidden agents: not every hook is of the session.
        """
        new = observed.who.session_id
        assert new is not None
        started = isinstance(observed, seen.SessionStarted)
        if new in self._past and not (started and source == "hook"):
            late = isinstance(observed, (seen.Said, seen.Prompt))
            return self._words(observed, source, at) if late else []
        prompted = source == "hook" and isinstance(observed, seen.Prompt) and observed.who.is_main
        if not prompted and not (started and (source == "hook" or not self._has_hooks)):
            return []  # the hook, which knows why, is on its way
        if not self._is_sure:
            self.session_id = new
            return self.observe(observed, source, at)
        reason = observed.reason if isinstance(observed, seen.SessionStarted) else None
        return self._switch(new, reason, source, at) + ([] if started else self.observe(observed, source, at))

    def _switch(self, new: str, reason: str | None, source: Source, at: float) -> list[Event]:
        assert self.session_id is not None
        old, why = self.session_id, reason or self._end_reason
        why = why if why in ("clear", "resume", "compact") else "resume"
        events = self._close("session_cleared", source, at)
        since = self._session_since if self._session_since is not None else at
        ended = {"exit_code": None, "signal": None, "reason": why}
        events.append(ev.session_end(old, at, at - since, source=source, **ended))  # type: ignore[arg-type]
        self._past = [*self._past[-9:], old]
        self.session_id, self._session_since, self._end_reason = new, at, None
        self._checklists = Checklists()
        self._bill.new_session()
        if self._new_session is not None:
            events.append(self._new_session(new, why, at))
        return events + self._activity.idle(source, at, new)

    def _session_ended(self, observed: seen.SessionEnded, source: Source, at: float) -> list[Event]:
        self._end_reason = observed.reason
        return []

    def _close(self, reason: str, source: Source, at: float) -> list[Event]:
        """Nothing goes on after this: end all that is open."""
        events = [self._tool_end(call, False, source, at, summary=reason) for call in self._calls.open()]
        for call in self._calls.open():
            self._calls.close(call)
        return events + self._delegations.close(reason, source, at) + self._bill.close()

    # --- words ---

    def _words(self, observed: Observation, source: Source, at: float) -> list[Event]:
        session_id = observed.who.session_id or self.session_id
        if isinstance(observed, seen.Prompt):
            return self._said.prompt(observed, source, at, session_id)
        assert isinstance(observed, seen.Said)
        return self._said.text(observed, self._agent(observed.who), source, at, session_id)

    def _prompt(self, observed: seen.Prompt, source: Source, at: float) -> list[Event]:
        return self._words(observed, source, at) + self._activity.working(source, at, self.session_id)

    def _text(self, observed: seen.Said, source: Source, at: float) -> list[Event]:
        events = self._words(observed, source, at)
        if events and observed.who.is_main:
            events += self._activity.working(source, at, self.session_id)
        return events

    def _api_failed(self, observed: seen.ApiFailed, source: Source, at: float) -> list[Event]:
        events = self._said.api_failed(observed, self._agent(observed.who), source, at, self.session_id)
        if events and observed.final and observed.who.is_main:
            events += self._turn_over(None, source, at)
        return events

    # --- tools ---

    def _tool_started(self, observed: seen.ToolStarted, source: Source, at: float) -> list[Event]:
        agent_id = self._agent(observed.who)
        if agent_id is None and observed.who.unsure and observed.tool not in work.TOOLS:
            agent_id = self._delegations.only_foreground()
        call = self._calls.start(observed, agent_id, at)
        if call is None:
            return []
        session_id = observed.who.session_id or self.session_id
        events = [
            ev.tool_start(
                call.name, call.tool, call.input, source=source, agent_id=agent_id, time=at, session_id=session_id
            )
        ]
        self._delegations.worked(agent_id, tool_uses=1)
        if call.tool in work.TOOLS:
            events += self._delegations.start(call, session_id, source)
        events += self._checklists.called(call, source, at, self.session_id)
        return events + self._activity.called(call, source, at, self.session_id)

    def _tool_ended(self, observed: seen.ToolEnded, source: Source, at: float) -> list[Event]:
        events: list[Event] = []
        if observed.tool is not None and not self._calls.knows(observed):
            started = at - (observed.duration_ms or 0) / 1000
            start = seen.ToolStarted(observed.who, started, observed.tool_use_id, observed.tool, observed.input)
            events += self._tool_started(start, source, started)
        events += self._bill.others(self._agent(observed.who))
        call = self._calls.end(observed)
        if call is None:
            return events
        duration = observed.duration_ms
        if duration is None and at >= call.started:
            duration = int((at - call.started) * 1000)
        events.append(self._tool_end(call, observed.ok, source, at, duration_ms=duration, summary=observed.summary))
        if call.tool in work.TOOLS:
            events += self._bill.others(self._delegations.agent_for(call) or call.name)
            events += self._delegations.result(call, observed, source, at)
        if observed.ok:
            events += self._checklists.answered(call, observed.result, source, at, self.session_id)
            events += self._activity.answered(call, source, at, self.session_id)
        return events

    def _tool_end(
        self,
        call: Call,
        ok: bool,
        source: Source,
        at: float,
        *,
        duration_ms: int | None = None,
        summary: str | None = None,
    ) -> Event:
        return ev.tool_end(
            call.name, call.tool, ok, source=source, duration_ms=duration_ms, summary=summary,
            agent_id=call.agent_id, time=at, session_id=self.session_id,
        )  # fmt: skip

    def _interrupted(self, observed: seen.Interrupted, source: Source, at: float) -> list[Event]:
        if not observed.who.is_main:
            return []
        events = []
        for call in self._calls.open():
            if call.started <= at and not self._delegations.is_background(call.agent_id):
                self._calls.close(call)
                events.append(self._tool_end(call, False, source, at, summary="interrupted"))
        events += self._delegations.close("interrupted", source, at, foreground_only=True)
        return events + self._turn_over(None, source, at)

    # --- agents ---

    def _agent_seen(self, observed: seen.AgentSeen, source: Source, at: float) -> list[Event]:
        return self._delegations.seen(observed, self._calls.find(observed.tool_use_id), source, at)

    def _agent_ended(self, observed: seen.AgentEnded, source: Source, at: float) -> list[Event]:
        call = self._calls.find(observed.tool_use_id)
        return self._bill.others(observed.who.agent_id) + self._delegations.ended(observed, call, source, at)

    def _agent(self, who: Who) -> str | None:
        call = self._calls.find(who.delegated_by)
        return self._delegations.agent_of(who, call.name if call else who.delegated_by)

    # --- todos ---

    def _todo_file(self, observed: seen.TodoFile, source: Source, at: float) -> list[Event]:
        agent_id = observed.who.agent_id
        if agent_id is not None and not self._delegations.knows(agent_id):
            return []  # 1.x and 2.0 give the agents' files names that occur nowhere else
        return self._checklists.filed(observed.todos, agent_id, source, at, self.session_id)

    # --- tokens ---

    def _used(self, observed: seen.Used, source: Source, at: float) -> list[Event]:
        agent_id = self._agent(observed.who)
        self._delegations.worked(agent_id, used=observed)
        at_once = agent_id is None and self._activity.state == "idle"
        return self._bill.used(observed, agent_id, source, at, at_once=at_once)

    # --- what Claude is doing ---

    def _turn_ended(self, observed: seen.TurnEnded, source: Source, at: float) -> list[Event]:
        return self._turn_over(observed.background_agents, source, at) if observed.who.is_main else []

    def _turn_over(self, background_agents: int | None, source: Source, at: float) -> list[Event]:
        goes_on = self._delegations.any_background() if background_agents is None else background_agents > 0
        change = self._activity.working if goes_on else self._activity.idle
        return self._bill.turn_ended() + change(source, at, self.session_id)

    # --- a resumed session's past ---

    def _history(self, observed: Observation, source: Source, at: float) -> None:
        """What was before the process: only what still holds is kept, todos and tokens."""
        events: list[Event] = []
        if isinstance(observed, seen.Used):
            self._bill.history(observed, self._agent(observed.who))
        elif not observed.who.is_main:
            return
        elif isinstance(observed, seen.TodoFile):
            events = self._checklists.filed(observed.todos, None, source, at, None)
        elif isinstance(observed, seen.ToolStarted):
            if (call := self._calls.start(observed, None, at)) is not None:
                events = self._checklists.called(call, source, at, None)
        elif isinstance(observed, seen.ToolEnded):
            call = self._calls.end(observed)
            events = self._checklists.answered(call, observed.result, source, at, None) if call and observed.ok else []
        self._past_todos |= bool(events)

    def _remembered(self, source: Source, now: float) -> list[Event]:
        """The todo list a resumed session begins with."""
        if not self._past_todos:
            return []
        self._past_todos = False
        for call in self._calls.open():
            self._calls.close(call)
        return self._checklists.again(source, now, self.session_id)


_HANDLERS: dict[type[Observation], Callable[[Tracker, Any, Source, float], list[Event]]] = {
    seen.ProcessStarted: Tracker._process_started,
    seen.ProcessEnded: Tracker._process_ended,
    seen.SessionStarted: Tracker._session_started,
    seen.SessionEnded: Tracker._session_ended,
    seen.Prompt: Tracker._prompt,
    seen.Said: Tracker._text,
    seen.ApiFailed: Tracker._api_failed,
    seen.ToolStarted: Tracker._tool_started,
    seen.ToolEnded: Tracker._tool_ended,
    seen.Interrupted: Tracker._interrupted,
    seen.AgentSeen: Tracker._agent_seen,
    seen.AgentEnded: Tracker._agent_ended,
    seen.TodoFile: Tracker._todo_file,
    seen.Used: Tracker._used,
    seen.Cost: lambda self, seen, source, at: self._bill.cost(seen.usd, self.session_id, source, at),
    seen.TurnEnded: Tracker._turn_ended,
    seen.Busy: lambda self, seen, source, at: self._activity.told(seen, source, at, self.session_id),
    seen.Notified: lambda self, seen, source, at: self._activity.notified(seen, source, at, self.session_id),
}
