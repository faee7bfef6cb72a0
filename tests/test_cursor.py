from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED
from support import TIMEOUT
from test_log import KINDS, make, seqs, small_log

from claude_mpm.feed import event as ev
from claude_mpm.feed.entry import Entry
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import NEWEST_ONLY, Log


def test_a_follower_reads_what_comes_after_it_began() -> None:
    log = small_log()
    log.append(make(ev.SYSTEM_ERROR))
    follower = log.follow()
    log.append(make(ev.SYSTEM_ERROR))
    assert seqs(follower.read(["*"], 10).entries) == [2]
    assert follower.read(["*"], 10).entries == []
    follower.close()


def test_a_follower_may_begin_in_the_past_and_is_awake_then() -> None:
    log = small_log()
    log.append(make(ev.SYSTEM_ERROR))
    follower = log.follow(0)
    assert follower.wait(0)
    assert seqs(follower.read(["*"], 10).entries) == [1]
    follower.close()


def test_a_follower_sleeps_until_an_append_or_a_wake() -> None:
    log = small_log()
    follower = log.follow()
    assert not follower.wait(0)
    log.append(make(ev.SYSTEM_ERROR))
    log.append(make(ev.SYSTEM_ERROR))
    assert follower.wait(0)
    assert not follower.wait(0)
    follower.wake()
    follower.wake()
    assert follower.wait(0)
    assert not follower.wait(0)
    follower.close()


def test_a_follower_is_not_woken_by_what_it_does_not_read() -> None:
    log = small_log()
    follower = log.follow()
    follower.read(["todo.*"], 10)
    log.append(make(ev.SYSTEM_ERROR))
    assert not follower.wait(0)
    log.append(ev.todo_update([], origin=Origin("todo_file")))
    assert follower.wait(0)
    assert seqs(follower.read(["todo.*"], 10).entries) == [2]
    follower.close()


def test_a_closed_follower_is_woken_and_then_forgotten() -> None:
    log = small_log()
    follower = log.follow()
    follower.close()
    assert follower.wait(0)
    log.append(make(ev.SYSTEM_ERROR))
    assert not follower.wait(0)


def test_a_waiting_follower_is_woken_from_another_thread() -> None:
    log = small_log()
    follower = log.follow()
    woken = threading.Event()

    def wait() -> None:
        follower.wait()
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    log.append(make(ev.SYSTEM_ERROR))
    assert woken.wait(TIMEOUT)
    thread.join()
    follower.close()


def test_a_pattern_added_later_brings_what_came_after_the_cursor_only() -> None:
    log = small_log()
    follower = log.follow()
    log.append(make(ev.CLAUDE_OUTPUT))
    log.append(make(ev.SYSTEM_ERROR))
    assert seqs(follower.read(["system.*"], 10).entries) == [2]
    log.append(make(ev.CLAUDE_OUTPUT))
    assert seqs(follower.read(["*"], 10).entries) == [3]
    follower.close()


def test_an_overtaken_follower_is_told_exactly_what_it_missed_and_once() -> None:
    log = small_log(structured=2, outputs=2)
    follower = log.follow()
    for kind in [ev.SYSTEM_ERROR, ev.CLAUDE_OUTPUT, ev.CLAUDE_STATUS, ev.CLAUDE_OUTPUT] * 2:
        log.append(make(kind))
    batch = follower.read(["*"], 1)
    assert batch.gap is not None
    assert (batch.gap.from_seq, batch.gap.to_seq) == (1, 4)
    assert batch.gap.counts == {ev.CLAUDE_OUTPUT: 2, ev.CLAUDE_STATUS: 1, ev.SYSTEM_ERROR: 1}
    assert seqs(batch.entries) == [5]
    rest = follower.read(["*"], 10)
    assert rest.gap is None
    assert seqs(rest.entries) == [6, 7, 8]
    follower.close()


def test_what_was_not_asked_for_is_not_missed() -> None:
    log = small_log(structured=1)
    follower = log.follow()
    for _ in range(5):
        log.append(make(ev.SYSTEM_ERROR))
    assert follower.read(["claude.*"], 10).gap is None
    follower.close()


Steps = st.lists(st.one_of(st.sampled_from(KINDS), st.integers(1, 4)), max_size=120)


@settings(UNHURRIED, max_examples=300)
@given(
    Steps,
    st.integers(1, 6),
    st.integers(1, 4),
    st.sets(st.sampled_from(["*", "claude.*", ev.CLAUDE_SCREEN, ev.SYSTEM_ERROR])),
)
def test_every_event_is_read_once_or_told_as_lost_once(
    steps: list[str | int], structured: int, outputs: int, patterns: set[str]
) -> None:
    """Steps: a type is appended; a number is how much the follower reads then."""
    log = small_log(structured, outputs)
    follower = log.follow()
    wanted = {
        e
        for e in KINDS
        if e != ev.CLAUDE_SCREEN and ("*" in patterns or ("claude.*" in patterns and e.startswith("claude.")))
    }
    wanted |= patterns & set(KINDS)
    appended: list[Entry] = []
    read: list[int] = []
    lost: Counter[str] = Counter()
    told: list[range] = []

    def take(limit: int) -> bool:
        batch = follower.read(patterns, limit)
        assert len(batch.entries) <= limit
        if batch.gap is not None:
            lost.update(batch.gap.counts)
            told.append(range(batch.gap.from_seq, batch.gap.to_seq + 1))
            assert batch.gap.from_seq > max(read, default=0)  # told before the events that follow it
        read.extend(seqs(batch.entries))
        return bool(batch.entries)

    for step in steps:
        if isinstance(step, int):
            take(step)
        else:
            appended.append(log.append(make(step)))
    while take(3):
        pass
    assert read == sorted(set(read))
    due = {entry.seq: entry.type for entry in appended if entry.type in wanted}
    assert set(read) <= set(due)
    missed = {seq: kind for seq, kind in due.items() if seq not in read and kind not in NEWEST_ONLY}
    assert lost == Counter(missed.values())
    assert all(any(seq in span for span in told) for seq in missed)
    assert {edge for span in told for edge in (span[0], span[-1])} <= set(missed)
    follower.close()


def test_followers_in_threads_see_every_event_in_one_order() -> None:
    log = Log("run-1")
    followers = [log.follow() for _ in range(4)]
    total = 2000
    seen: list[list[int]] = [[] for _ in followers]

    def follow(index: int) -> None:
        follower, mine = followers[index], seen[index]
        while len(mine) < total and follower.wait(TIMEOUT):
            while batch := follower.read(["*"], 64).entries:
                mine.extend(seqs(batch))

    def append() -> None:
        for _ in range(total // 4):
            log.append(make(ev.SYSTEM_ERROR))

    threads = [threading.Thread(target=follow, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == list(range(1, total + 1)) for mine in seen)
    for follower in followers:
        follower.close()
