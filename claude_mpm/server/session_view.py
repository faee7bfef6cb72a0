"""What the server may ask of the session: everything it knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from claude_mpm.feed import event as ev

ON_DEMAND = frozenset({ev.SYSTEM_STATUS, ev.CLAUDE_SCREEN})  # made only while somebody subscribes to them


class Control(Protocol):
    """What a client with the right to may do to Claude. Each may raise OSError or ClaudeMpmError: Claude is gone."""

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


@dataclass(frozen=True)
class SessionView:
    """Called from any client's sender thread, several at a time; none may block for long.

    status: the data of system.status but for `connected_clients`, which the server adds.
    instances: instance_info of every live instance of this user.
    screen: the data of claude.screen; None where there is no picture.
    control: what clients with the token may do to Claude; None where they may not, or cannot.
    answers, prompts: where they answer its questions and enter prompts; None where they may not.
    past: the sessions that are over; None where they are not served.
    demand: told which of ON_DEMAND somebody subscribes to, whenever that changes; never by two threads at once.
    """

    status: Callable[[], Mapping[str, Any]]
    instances: Callable[[], list[dict[str, Any]]]
    screen: Callable[[], Mapping[str, Any] | None]
    demand: Callable[[frozenset[str]], None]
    control: Control | None = None
    past: Past | None = None
    answers: Answers | None = None
    prompts: Prompts | None = None
