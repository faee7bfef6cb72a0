from __future__ import annotations

import pytest

from claude_mpm.errors import ProtocolError
from claude_mpm.fleet.redis import signature
from claude_mpm.fleet.redis.signature import MAX_AGE, Verifier, sign

TOKEN = "0123456789abcdef"
COMMAND = b'{"command":"stop","instance_id":"i"}'


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def signed(at: str = "1000000.0", token: str = TOKEN) -> str:
    return sign(token, "hub", "r1", at, COMMAND)


def refused(verifier: Verifier, *arguments: str | bytes) -> str:
    with pytest.raises(ProtocolError) as told:
        verifier.check(*arguments)  # type: ignore[arg-type]
    assert told.value.code == "forbidden"
    assert TOKEN not in str(told.value)
    return str(told.value)


def test_a_signed_command_is_accepted_once() -> None:
    verifier = Verifier(TOKEN, Clock())
    verifier.check("hub", "r1", "1000000.0", COMMAND, signed())
    assert "executed before" in refused(verifier, "hub", "r1", "1000000.0", COMMAND, signed())


@pytest.mark.parametrize(
    "changed",
    [
        ("hub2", "r1", "1000000.0", COMMAND),
        ("hub", "r2", "1000000.0", COMMAND),
        ("hub", "r1", "1000000.1", COMMAND),
        ("hub", "r1", "1000000.0", COMMAND + b" "),
        ("hubr", "1", "1000000.0", COMMAND),  # the same bytes, divided otherwise
    ],
)
def test_nothing_that_is_signed_can_be_changed(changed: tuple[str, str, str, bytes]) -> None:
    assert "wrong" in refused(Verifier(TOKEN, Clock()), *changed, signed())


def test_without_a_signature_or_a_token_it_is_refused_with_what_to_do() -> None:
    clock = Clock()
    assert "not signed" in refused(Verifier(TOKEN, clock), "hub", "r1", "1000000.0", COMMAND, "")
    assert "without --websocket-token" in refused(Verifier(None, clock), "hub", "r1", "1000000.0", COMMAND, signed())
    assert "wrong" in refused(Verifier(TOKEN, clock), "hub", "r1", "1000000.0", COMMAND, signed(token="another"))
    assert "wrong" in refused(Verifier(TOKEN, clock), "hub", "r1", "1000000.0", COMMAND, "\udcff")


@pytest.mark.parametrize("seconds", [MAX_AGE + 1, -MAX_AGE - 1])
def test_a_command_of_another_time_is_refused(seconds: float) -> None:
    clock = Clock()
    clock.now += seconds
    assert "60 s" in refused(Verifier(TOKEN, clock), "hub", "r1", "1000000.0", COMMAND, signed())


@pytest.mark.parametrize("at", ["nan", "inf", "", "x"])
def test_a_signed_time_that_is_none_is_refused(at: str) -> None:
    refused(Verifier(TOKEN, Clock()), "hub", "r1", at, COMMAND, signed(at))


def test_memory_is_bounded_and_what_is_forgotten_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "MAX_SEEN", 2)
    clock = Clock()
    verifier = Verifier(TOKEN, clock)
    for request in ("r1", "r2"):
        verifier.check("hub", request, "1000000.0", COMMAND, sign(TOKEN, "hub", request, "1000000.0", COMMAND))
    third = ("hub", "r3", "1000000.0", COMMAND, sign(TOKEN, "hub", "r3", "1000000.0", COMMAND))
    assert "too many" in refused(verifier, *third)
    clock.now += 2 * MAX_AGE + 1
    assert "60 s" in refused(verifier, *third)
    at = f"{clock.now}"
    verifier.check("hub", "r4", at, COMMAND, sign(TOKEN, "hub", "r4", at, COMMAND))
    assert "60 s" in refused(verifier, "hub", "r1", "1000000.0", COMMAND, signed())
