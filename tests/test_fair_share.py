from __future__ import annotations

from test_accept_pace import FakeClock

from claude_mpm.server.websocket.fair_share import ALLOWANCE, MAX_DEBT, SHARE, FairShare


def test_a_short_burst_never_waits() -> None:
    share = FairShare(FakeClock())
    for _ in range(500):
        share.charge(0.00005)
        assert share.rest() == 0


def test_a_client_that_never_pauses_gets_its_share_of_a_core() -> None:
    clock = FakeClock()
    share, used, start = FairShare(clock), 0.0, clock.now
    while clock.now < start + 60.0:
        clock.now += 0.02  # a reply takes as long as the CPU time it needs
        share.charge(0.02)
        used += 0.02
        clock.now += share.rest()
    assert used <= SHARE * 60.0 + ALLOWANCE + 0.02


def test_no_command_waits_longer_than_the_greatest_debt() -> None:
    clock = FakeClock()
    share = FairShare(clock)
    share.charge(1000.0)
    assert 0 < share.rest() <= MAX_DEBT
    clock.now += MAX_DEBT
    assert share.rest() == 0
