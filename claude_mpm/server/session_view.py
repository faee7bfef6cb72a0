"""The session as the server sees it. The server knows nothing else of the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from claude_mpm.feed import event as ev

ON_DEMAND = frozenset({ev.SYSTEM_STATUS, ev.CLAUDE_SCREEN})  # costly; made only while a client subscribes to them


class Control(Protocol):
    """What a trusted client may do to Claude. Each method raises OSError or ClaudeMpmError when Claude has gone."""

    def send_input(self, text: str) -> None: ...

    def interrupt(self) -> None: ...

    def stop(self) -> None: ...

    def resize(self, cols: int, rows: int) -> None: ...


@dataclass(frozen=True)
class SessionView:
    """Functions that any connection's thread may call, several at a time. None may block for long.

    Attributes:
        status: returns the data of system.status without `connected_clients`, which the server adds.
        instances: returns the instance_info of every live instance of this user.
        screen: returns the data of claude.screen; None when there is no picture.
        demand: is told which types of ON_DEMAND have a subscriber, whenever that changes, by one thread at a time.
        control: acts on Claude; None when control is switched off.
    """

    status: Callable[[], Mapping[str, Any]]
    instances: Callable[[], list[dict[str, Any]]]
    screen: Callable[[], Mapping[str, Any] | None]
    demand: Callable[[frozenset[str]], None]
    control: Control | None = None
