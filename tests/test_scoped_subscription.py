"""Subscriptions to some instances or machines of a hub: the right events, each once, in order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED
from test_log import seqs

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log, Producer
from claude_mpm.feed.patterns import expand
from claude_mpm.feed.selection import EVERYWHERE, Scope
from claude_mpm.server.commands.subscription import Subscription

ONE, TWO, THREE = Producer("i-1", "alpha"), Producer("i-2", "alpha"), Producer("i-3", "beta")
PRODUCERS = [ONE, TWO, THREE]
KINDS = [ev.SYSTEM_ERROR, ev.TOOL_START]
SCOPES = [EVERYWHERE, Scope("i-1"), Scope("i-3"), Scope(machine="alpha"), Scope(machine="beta"), Scope("nobody")]


def relay(log: Log, producer: Producer, kind: str = ev.SYSTEM_ERROR) -> int:
    return log.relay(kind, {"type": kind, "data": {}, "instance_id": producer.instance_id}, producer).seq


def drain(one: Subscription, limit: int = 100) -> list[int]:
    got: list[int] = []
    while (due := one.next(limit)).entries:
        assert due.gap is None
        got += seqs(due.entries)
    return got


def test_only_the_events_of_one_instance_come() -> None:
    log = Log("hub")
    one = Subscription(log)
    one.add(["*"], scopes=[Scope("i-2")])
    sent = {producer.instance_id: relay(log, producer) for producer in PRODUCERS}
    assert drain(one) == [sent["i-2"]]
    assert one.selection.scoped


def test_only_the_events_of_one_machine_come() -> None:
    log = Log("hub")
    one = Subscription(log)
    one.add(["*"], scopes=[Scope(machine="alpha")])
    assert drain(one) == []
    sent = [relay(log, producer) for producer in PRODUCERS]
    assert drain(one) == sent[:2]


def test_a_second_instance_brings_its_stored_events_and_nothing_twice() -> None:
    log = Log("hub")
    one = Subscription(log)
    sent = [relay(log, producer) for producer in PRODUCERS * 2]
    one.add(["*"], since=0, scopes=[Scope("i-1")])
    assert drain(one) == [sent[0], sent[3]]
    one.add(["*"], since=0, scopes=[Scope(machine="alpha")])
    assert drain(one) == [sent[1], sent[4]]
    one.add(["*"], since=0)
    assert drain(one) == [sent[2], sent[5]]


def test_unsubscribing_from_one_instance_leaves_the_others() -> None:
    log = Log("hub")
    one = Subscription(log)
    one.add(["*"], scopes=[Scope("i-1"), Scope("i-3")])
    one.remove(["*"], [Scope("i-1")])
    sent = [relay(log, producer) for producer in PRODUCERS]
    assert drain(one) == [sent[2]]
    assert one.patterns == ["*"]
    one.remove(["*"])
    relay(log, THREE)
    assert drain(one) == []
    assert one.patterns == []


def test_a_pattern_everywhere_stays_when_one_instance_is_left() -> None:
    log = Log("hub")
    one = Subscription(log)
    one.add(["system.*"])
    one.add(["*"], scopes=[Scope("i-1")])
    one.remove(["*"], [Scope("i-1")])
    sent = [relay(log, producer) for producer in PRODUCERS]
    relay(log, ONE, ev.TOOL_START)
    assert drain(one) == sent
    assert not one.selection.scoped


_relays = st.tuples(st.just("relay"), st.sampled_from(PRODUCERS), st.sampled_from(KINDS))
_reads = st.tuples(st.just("read"), st.integers(1, 4), st.none())
_subscribes = st.tuples(
    st.just("subscribe"),
    st.lists(st.sampled_from(["*", "tool.*", ev.SYSTEM_ERROR]), min_size=1, max_size=2),
    st.tuples(st.none() | st.integers(0, 30), st.lists(st.sampled_from(SCOPES), min_size=1, max_size=3)),
)


@settings(UNHURRIED, max_examples=300)
@given(st.lists(st.one_of(_relays, _relays, _relays, _reads, _subscribes), max_size=60))
def test_each_event_that_is_wanted_comes_once_whatever_the_order(steps: list[tuple[str, object, object]]) -> None:
    log = Log("hub")
    one = Subscription(log)
    sent: dict[int, tuple[str, Producer]] = {}
    wanted: set[tuple[str, Scope]] = set()
    due: set[int] = set()
    got: list[int] = []
    for what, first, second in steps:
        if what == "relay":
            assert isinstance(first, Producer) and isinstance(second, str)
            seq = relay(log, first, second)
            sent[seq] = (second, first)
            if any(kind == second and scope.covers(first) for kind, scope in wanted):
                due.add(seq)
        elif what == "read":
            assert isinstance(first, int)
            got += seqs(one.next(first).entries)
        else:
            while one.replaying:  # commands wait for it
                got += seqs(one.next(2).entries)
            assert isinstance(first, list) and isinstance(second, tuple)
            since, scopes = second
            one.add(first, since, scopes)
            now = {(kind, scope) for kind in expand(first) for scope in scopes}
            wanted |= now
            if since is not None:
                for seq, (kind, producer) in sent.items():
                    if seq > since and any(kind == each and scope.covers(producer) for each, scope in now):
                        due.add(seq)
    got += drain(one, 3)
    assert sorted(got) == sorted(due)
