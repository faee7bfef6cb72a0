"""The session as the server sees it. The server knows nothing else of the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from claude_mpm.feed import event as ev
from claude_mpm.feed.selection import Selection

ON_DEMAND = frozenset({ev.SYSTEM_STATUS, ev.CLAUDE_SCREEN})  # costly; made only while a client subscribes to them


class Control(Protocol):
    """What a trusted client may do to Claude. Each method raises OSError or ClaudeMpmError when Claude has gone."""

    def send_input(self, text: str) -> None: ...

    def interrupt(self) -> None: ...

    def stop(self) -> None: ...

    def resize(self, cols: int, rows: int) -> None: ...


class Past(Protocol):
    """The sessions that are over. Both methods may block for some seconds, and raise ProtocolError for the client."""

    def sessions(
        self,
        *,
        text: str | None,
        project: str | None,
        since: float | None,
        before: str | None,
        limit: int,
        max_bytes: int,
    ) -> Mapping[str, Any]:
        """The data of the reply `sessions`."""

    def events(
        self, session_id: str, *, since: int | None, before: int | None, limit: int, max_bytes: int
    ) -> tuple[list[bytes], bool] | None:
        """A page of a session's events, as JSON, and whether there are more; None if there is no such session."""


class Answers(Protocol):
    """Where a client with the right to answers Claude's questions. Raises ProtocolError; does not block."""

    def answer(self, request_id: str, decision: str, message: str | None, answers: object, client: str) -> None: ...


class Prompts(Protocol):
    """Where a client with the right to enters prompts. Raises ProtocolError or ClaudeMpmError; does not block."""

    def send_prompt(self, text: str, client: str) -> None: ...


class Router(Protocol):
    """Where a hub's clients reach the instances behind it."""

    def route(
        self, message: Mapping[str, Any], *, trusted: bool, may_read_past: bool, reply: Callable[[bytes], None]
    ) -> None:
        """Pass on a command that names another instance; `reply` gets the one answer, as JSON, from any thread.

        Does not block. Raises ProtocolError when the command cannot be passed on; there is no other reply then.
        """


@dataclass(frozen=True)
class SessionView:
    """Functions that any connection's thread may call, several at a time. None may block for long.

    Attributes:
        status: returns the data of system.status without `connected_clients`, which the server adds.
        instances: returns the instance_info of every live instance of this user.
        screen: returns the data of claude.screen; None when there is no picture.
        demand: is told who subscribes to which types of `on_demand`, whenever that changes, by one thread at a time.
        control: acts on Claude for clients with the token; None when it is switched off, or impossible.
        answers: answers Claude's questions for them; None where they may not.
        prompts: enters prompts for them; None where they may not.
        past: the sessions that are over; None where they are not served.
        router: passes commands on to other instances, in a hub; None elsewhere.
        on_demand: the types that `demand` is told of.
        attended: is told whether a client is connected that may act on Claude, like `demand`.
    """

    status: Callable[[], Mapping[str, Any]]
    instances: Callable[[], list[dict[str, Any]]]
    screen: Callable[[], Mapping[str, Any] | None]
    demand: Callable[[Selection], None]
    control: Control | None = None
    past: Past | None = None
    answers: Answers | None = None
    prompts: Prompts | None = None
    router: Router | None = None
    on_demand: frozenset[str] = ON_DEMAND
    attended: Callable[[bool], None] = lambda present: None
