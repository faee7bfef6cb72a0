from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED
from test_log import KINDS, make, seqs, small_log

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import NEWEST_ONLY, Log
from claude_mpm.feed.patterns import expand
from claude_mpm.server.commands.subscription import Subscription


def drain(one: Subscription, limit: int = 100) -> list[int]:
    """Everything due; `-1` stands for a gap."""
    got: list[int] = []
    while True:
        due = one.next(limit)
        got += [-1] if due.gap else []
        got += seqs(due.entries)
        if not due.entries and not due.gap:
            return got


def append(log: Log, *kinds: str) -> None:
    for kind in kinds:
        log.append(make(kind))


E, O, S = ev.SYSTEM_ERROR, ev.CLAUDE_OUTPUT, ev.CLAUDE_STATUS  # noqa: E741


def test_without_a_subscription_nothing_is_due_and_nothing_wakes() -> None:
    log = small_log()
    one = Subscription(log)
    append(log, E)
    assert drain(one) == []
    assert not one.behind(log.seq)


def test_without_since_it_begins_now() -> None:
    log = small_log()
    one = Subscription(log)
    append(log, E, E)
    assert one.add(["*"]) == 2
    append(log, E)
    assert drain(one) == [3]


def test_since_brings_what_is_kept_and_then_what_comes() -> None:
    log = small_log()
    append(log, E, O, E)
    one = Subscription(log)
    assert one.add(["*"], since=1) == 3
    assert one.replaying
    append(log, E)
    assert drain(one) == [2, 3, 4]
    assert not one.replaying


def test_a_since_from_another_run_is_now() -> None:
    log = small_log()
    append(log, E)
    one = Subscription(log)
    one.add(["*"], since=5000)
    append(log, E)
    assert drain(one) == [2]


def test_a_second_pattern_that_overlaps_brings_nothing_twice() -> None:
    log = small_log(structured=100)
    append(log, E, S, O)
    one = Subscription(log)
    one.add(["system.*"], since=0)
    assert drain(one) == [1]
    one.add(["*"], since=0)
    assert drain(one) == [2, 3]
    one.add(["*", "claude.*", "system.error"], since=0)
    append(log, E)
    assert drain(one) == [4]
    assert one.patterns == ["system.*", "*", "claude.*", "system.error"]


def test_an_earlier_since_adds_only_what_lies_before() -> None:
    log = small_log(structured=100)
    append(log, E, E, E)
    one = Subscription(log)
    one.add(["*"], since=2)
    assert drain(one) == [3]
    one.add(["*"], since=1)
    assert drain(one) == [2]
    one.add(["*"], since=2)
    assert drain(one) == []


def test_a_client_that_is_behind_gets_a_new_channel_without_hole_or_repetition() -> None:
    log = small_log(structured=100, outputs=100)
    one = Subscription(log)
    one.add(["system.*"])
    append(log, E, O, E, O)  # none of it read yet
    one.add(["claude.*"], since=0)
    append(log, O, E)
    assert drain(one, limit=2) == [2, 4, 1, 3, 5, 6]


def test_unsubscribing_takes_the_pattern_and_leaves_what_another_covers() -> None:
    log = small_log()
    one = Subscription(log)
    one.add(["*", "system.*"])
    one.remove(["*", "never.subscribed"])
    assert one.patterns == ["system.*"]
    append(log, O, E)
    assert drain(one) == [2]
    one.remove(["system.*"])
    append(log, E)
    assert drain(one) == []


def test_a_resume_from_before_memory_is_told_as_expired_before_anything_else() -> None:
    log = small_log(structured=1)
    append(log, E, E, E)
    one = Subscription(log)
    one.add(["*"], since=0)
    due = one.next(10)
    assert due.gap is not None and due.reason == "expired"
    assert (due.gap.from_seq, due.gap.to_seq, due.gap.counts) == (1, 2, {E: 2})
    assert seqs(due.entries) == [3]
    assert drain(one) == []


def test_a_client_that_is_overtaken_is_told_as_slow() -> None:
    log = small_log(structured=1)
    one = Subscription(log)
    one.add(["*"])
    append(log, E, E, E)
    due = one.next(10)
    assert due.gap is not None and due.reason == "slow_client"
    assert seqs(due.entries) == [3]


def test_a_client_overtaken_while_it_takes_what_is_kept_is_told_as_slow() -> None:
    log = small_log(structured=3)
    append(log, E, E, E)
    one = Subscription(log)
    one.add(["*"], since=0)
    assert seqs(one.next(1).entries) == [1]
    append(log, E, E)
    due = one.next(1)
    assert due.gap is not None and due.reason == "slow_client"
    assert (due.gap.from_seq, due.gap.to_seq) == (2, 2)
    assert seqs(due.entries) == [3]
    assert drain(one) == [4, 5]


def test_a_resume_after_a_long_quiet_subscription_is_expired_not_slow() -> None:
    log = small_log(structured=1)
    one = Subscription(log)
    one.add(["todo.*"])
    append(log, E, E, E)
    one.add(["system.*"], since=0)
    due = one.next(10)
    assert due.gap is not None and due.reason == "expired"


def test_behind_tells_whether_something_up_to_a_number_is_due() -> None:
    log = small_log()
    append(log, E)
    one = Subscription(log)
    one.add(["*"], since=0)
    assert one.behind(1)
    assert drain(one) == [1]
    assert not one.behind(1)
    append(log, E)
    assert one.behind(2)
    assert not one.behind(1)


PATTERNS = ["*", "claude.*", "system.*", ev.CLAUDE_SCREEN, ev.SYSTEM_ERROR, ev.CLAUDE_OUTPUT]
_appends = st.sampled_from(KINDS).map(lambda kind: ("append", kind))
_reads = st.integers(1, 4).map(lambda limit: ("read", limit))
_subscribes = st.tuples(
    st.just("subscribe"), st.lists(st.sampled_from(PATTERNS), max_size=3), st.none() | st.integers(0, 40)
)
_unsubscribes = st.tuples(st.just("unsubscribe"), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2))


@settings(UNHURRIED, max_examples=500)
@given(
    st.lists(st.one_of(_appends, _appends, _appends, _reads, _subscribes, _unsubscribes), max_size=80),
    st.integers(1, 6),
    st.integers(1, 4),
)
def test_whatever_the_order_each_event_comes_once_or_is_told_as_lost_once(
    steps: list[tuple[object, ...]], structured: int, outputs: int
) -> None:
    log = small_log(structured, outputs)
    due: dict[int, str] = {}  # what the client has a right to, by the rules
    covered: dict[str, int] = {}
    kinds: dict[int, str] = {}
    got: Counter[int] = Counter()
    lost: Counter[str] = Counter()

    one = Subscription(log)

    def read(limit: int) -> bool:
        batch = one.next(limit)
        assert len(batch.entries) <= limit
        got.update(seqs(batch.entries))
        lost.update(batch.gap.counts if batch.gap else {})
        return bool(batch.entries or batch.gap)

    for step in steps:
        if step[0] == "append":
            entry = log.append(make(str(step[1])))
            kinds[entry.seq] = entry.type
            if entry.type in covered:
                due[entry.seq] = entry.type
        elif step[0] == "read":
            assert isinstance(step[1], int)
            read(step[1])
        elif step[0] == "subscribe":
            while one.replaying:  # commands wait for it
                read(2)
            channels, since = step[1], step[2]
            assert isinstance(channels, list) and (since is None or isinstance(since, int))
            now = log.seq
            assert one.add(channels, since) == now
            start = now if since is None else min(since, now)
            for kind in expand(channels):
                until = covered.get(kind, now)
                due.update({seq: k for seq, k in kinds.items() if k == kind and start < seq <= until})
                covered[kind] = min(start, until)
        else:
            while one.replaying or read(3):  # so that the model need not know what was read
                read(3)
            assert isinstance(step[1], list)
            one.remove(step[1])
            gone = covered.keys() - expand(one.patterns)
            for kind in gone:  # forgotten: a later `since` may bring it again
                del covered[kind]
                settle(kind, due, got, lost)
    while read(3):
        pass
    for kind in set(due.values()) | set(lost):
        settle(kind, due, got, lost)
    assert not +got and not +lost


def settle(kind: str, due: dict[int, str], got: Counter[int], lost: Counter[str]) -> None:
    """Check the type's account and close it."""
    mine = [seq for seq, k in due.items() if k == kind]
    assert all(got[seq] <= 1 for seq in mine), "twice"
    missing = [seq for seq in mine if got[seq] == 0]
    if kind not in NEWEST_ONLY:
        assert lost[kind] == len(missing)
    for seq in mine:
        del due[seq]
        del got[seq]
    lost.pop(kind, None)
