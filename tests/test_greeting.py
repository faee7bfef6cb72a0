from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from test_accept_pace import FakeClock

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.server.commands.replies import Asker
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.websocket.greeting import FRESH, Greeting


class Status:
    """Counts how often the status was made."""

    def __init__(self) -> None:
        self.log = Log("run-1")
        self.clients = 1
        self.clock = FakeClock()
        self._made: Iterator[int] = count(1)
        self._view = SessionView(status=dict, instances=list, screen=lambda: None, demand=lambda types: None)
        self._greeting = Greeting(lambda: self.clients, self.clock)

    def _data(self) -> dict[str, Any]:
        return {"made": next(self._made)}

    def frame(self) -> bytes:
        return self._greeting.frame(Asker("client-1", self.log, self._view, self._data, trusted=False))


@pytest.fixture
def status() -> Status:
    return Status()


def test_clients_that_connect_at_the_same_time_share_a_greeting(status: Status) -> None:
    assert status.frame() is status.frame()


def test_an_event_calls_for_a_new_greeting(status: Status) -> None:
    status.frame()
    status.log.append(ev.system_error("a", "test"))
    assert b'"made":2' in status.frame()


def test_another_number_of_clients_calls_for_a_new_greeting(status: Status) -> None:
    status.frame()
    status.clients = 2
    assert b'"made":2' in status.frame()


def test_an_old_greeting_is_not_sent(status: Status) -> None:
    status.frame()
    status.clock.now += 2 * FRESH
    assert b'"made":2' in status.frame()
