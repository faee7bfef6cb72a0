from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED

from claude_mpm.feed import event as ev
from claude_mpm.feed import retention
from claude_mpm.feed.entry import Entry, Producer
from claude_mpm.feed.retention import Evicted, Retention, memory_size


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EXACT", 8)
    monkeypatch.setattr(retention, "STRIDE", 2)


def evicted(*numbers: int) -> Evicted:
    found = Evicted()
    for number in numbers:
        found.add("a", number)
    return found


def test_lost_events_are_counted_exactly_from_the_beginning_and_among_the_newest(short_memory: None) -> None:
    gone = evicted(*range(1, 31))
    assert gone.between("a", 0, 30) == (30, 1, 30)
    assert gone.between("a", 25, 30) == (5, 26, 30)
    assert gone.between("a", 25, 28) == (3, 26, 28)
    assert gone.between("a", 30, 30) is None
    assert gone.between("b", 0, 30) is None


def test_of_old_losses_the_count_is_right_to_one_step(short_memory: None) -> None:
    gone = evicted(*range(10, 310, 10))
    for low in range(300):
        exact = [number for number in range(10, 310, 10) if number > low]
        count, first, last = gone.between("a", low, 300) or (0, 0, 0)
        assert len(exact) <= count < len(exact) + 2
        assert low < first <= exact[0] and last == 300
    count, first, last = gone.between("a", 0, 55) or (0, 0, 0)
    assert (count, first, last) == (5, 10, 55)


def test_numbers_no_longer_known_singly_are_not_told_to_who_is_past_them(short_memory: None) -> None:
    gone = evicted(1, 2, 3, 4, 20, 21, 22, 23, 24)  # of the first four every second is known
    assert gone.between("a", 10, 30) == (5, 20, 24)
    assert gone.between("a", 4, 30) == (5, 20, 24)
    assert gone.between("a", 0, 30) == (9, 1, 24)


def test_no_old_loss_is_missed_however_small_the_range(short_memory: None) -> None:
    gone = evicted(*range(10, 310, 10))
    for number in range(10, 310, 10):
        count, first, last = gone.between("a", number - 1, number) or (0, 0, 0)
        assert (count, first, last) == (1, number, number)


def test_memory_of_losses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EXACT", 8)
    monkeypatch.setattr(retention, "STRIDE", 2)
    monkeypatch.setattr(retention, "SAMPLED", 8)
    total = 100_000
    tracemalloc.start()
    gone = Evicted()
    for number in range(1, total + 1):
        gone.add("a", number)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 4096
    assert gone.between("a", 0, total) == (total, 1, total)
    assert gone.between("a", total - 4, total) == (4, total - 3, total)
    count, _, _ = gone.between("a", total // 2, total) or (0, 0, 0)
    assert total // 2 <= count <= total // 2 + 2 * total // 8  # samples are spread over the whole series


@settings(UNHURRIED)
@given(st.lists(st.integers(0, 200), max_size=200), st.integers(200, 4000), st.none() | st.integers(1, 20))
def test_retention_holds_the_newest_that_fit(sizes: list[int], max_bytes: int, max_entries: int | None) -> None:
    kept = Retention(max_bytes, max_entries)
    everything: list[Entry] = []
    gone: list[Entry] = []
    for size in sizes:
        entry = Entry(len(everything) + 1, ev.SYSTEM_ERROR, bytes(size), Producer("run-1"))
        everything.append(entry)
        gone += kept.append(entry)
    left = kept.after(0, len(sizes))
    assert gone + left == everything
    assert kept.size == sum(map(memory_size, left))

    def fits(entries: list[Entry]) -> bool:
        return sum(map(memory_size, entries)) <= max_bytes and len(entries) <= (max_entries or len(entries))

    assert fits(left) or len(left) == 1
    assert not gone or not fits([gone[-1], *left])
    assert kept.oldest_seq() == (left[0].seq if left else None)
    for entry in left:
        assert kept.after(entry.seq, 1) == everything[entry.seq : entry.seq + 1]
        assert kept.before(entry.seq, 2) == [other for other in left if other.seq < entry.seq][-2:]
    assert kept.before(len(sizes) + 1, len(sizes)) == left
