from __future__ import annotations

from claude_mpm.server.accept_pace import BURST, INTERVAL, AcceptPace

ROUNDING = 1e-6  # seconds


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def accepted(pace: AcceptPace, clock: FakeClock, seconds: float) -> int:
    """How many connections are accepted within `seconds` when there is always one waiting."""
    end, count = clock.now + seconds, 0
    while True:
        clock.now += pace.next()
        if clock.now > end:
            return count
        count += 1


def test_a_burst_is_accepted_at_once_and_the_rest_evenly_spaced() -> None:
    clock = FakeClock()
    pace = AcceptPace(clock)
    assert all(pace.next() < ROUNDING for _ in range(BURST))
    for _ in range(5):
        wait = pace.next()
        assert ROUNDING < wait <= INTERVAL + ROUNDING
        clock.now += wait


def test_as_many_clients_as_are_allowed_by_default_connect_within_two_seconds() -> None:
    clock = FakeClock()
    assert accepted(AcceptPace(clock), clock, 2.0) >= 256


def test_a_loop_of_connections_gets_no_more_than_its_pace() -> None:
    clock = FakeClock()
    assert accepted(AcceptPace(clock), clock, 60.0) <= BURST + 60.0 / INTERVAL + 1


def test_after_a_lull_there_is_room_for_one_burst_not_for_several() -> None:
    clock = FakeClock()
    pace = AcceptPace(clock)
    accepted(pace, clock, 10.0)
    clock.now += 3600.0
    assert sum(pace.next() < ROUNDING for _ in range(10 * BURST)) == BURST


def test_clients_that_come_now_and_then_never_wait() -> None:
    clock = FakeClock()
    pace = AcceptPace(clock)
    for _ in range(1000):
        clock.now += 0.02
        assert pace.next() == 0.0
