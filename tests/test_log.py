from __future__ import annotations

import json
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED
from support import TIMEOUT

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed import retention
from claude_mpm.feed.event import Event
from claude_mpm.feed.log import BLOCK, NEWEST_ONLY, Entry, Gap, Log
from claude_mpm.feed.retention import Evicted, Retention, memory_size


def make(kind: str, size: int = 1) -> Event:
    """An event of any type, as small as the state allows."""
    if kind == ev.CLAUDE_OUTPUT:
        return ev.claude_output("x" * size, 0)
    if kind == ev.CLAUDE_STATUS:
        return ev.claude_status("running", source="process")
    if kind == ev.CLAUDE_MESSAGE:
        return ev.claude_message("user", "x", source="transcript")
    return Event(kind, {}, "monitor")


KINDS = [ev.CLAUDE_OUTPUT, ev.CLAUDE_STATUS, ev.CLAUDE_MESSAGE, ev.SYSTEM_ERROR, ev.SYSTEM_STATUS, ev.CLAUDE_SCREEN]


def seqs(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


def small_log(structured: int = 5, outputs: int = 3) -> Log:
    """A log that keeps so many structured events, and so many of the smallest outputs."""
    smallest = memory_size(Log("run-1", wall_clock=lambda: 0.0).append(make(ev.CLAUDE_OUTPUT))) + 4  # longer numbers
    limits = Limits(structured_events=structured, output_bytes=outputs * smallest)
    return Log("run-1", limits, wall_clock=lambda: 0.0)


def test_numbers_begin_at_one_and_have_no_holes() -> None:
    log = small_log()
    assert [log.append(make(kind)).seq for kind in KINDS] == [1, 2, 3, 4, 5, 6]
    assert log.seq == 6


def test_an_entry_is_stamped_with_its_events_time_or_else_with_now() -> None:
    log = Log("run-1", wall_clock=lambda: 1.5)
    assert log.append(make(ev.SYSTEM_ERROR)).message()["timestamp"] == "1970-01-01T00:00:01.500Z"
    assert (
        log.append(Event(ev.SYSTEM_ERROR, {}, "monitor", time=2.0)).message()["timestamp"] == "1970-01-01T00:00:02.000Z"
    )


@pytest.mark.parametrize("absurd", [1e30, -1e30, float("nan"), float("inf")])
def test_an_absurd_time_from_a_file_is_replaced_by_now(absurd: float) -> None:
    log = Log("run-1", wall_clock=lambda: 1.5)
    assert (
        log.append(Event(ev.SYSTEM_ERROR, {}, "monitor", time=absurd)).message()["timestamp"]
        == "1970-01-01T00:00:01.500Z"
    )


def test_an_entry_carries_the_current_session() -> None:
    log = small_log()
    assert "session_id" not in log.append(make(ev.SYSTEM_ERROR)).message()
    info = {"port": 1, "host": "localhost", "working_dir": "/"}
    log.append(ev.session_start("s-1", info, "exec", 0.0))
    assert log.append(make(ev.SYSTEM_ERROR)).message()["session_id"] == "s-1"
    assert log.append(Event(ev.SYSTEM_ERROR, {}, "monitor", session_id="s-2")).message()["session_id"] == "s-2"


def test_the_json_of_an_entry_is_the_whole_message() -> None:
    entry = small_log().append(ev.claude_output("é \ud800 \x1b[0m", 0))
    assert (entry.seq, entry.type) == (1, "claude.output")
    assert json.loads(entry.json) == {
        "type": "claude.output",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "seq": 1,
        "instance_id": "run-1",
        "source": "pty",
        "data": {"content": "é ? \x1b[0m", "stream": "stdout", "offset": 0},
    }
    assert entry.message() == json.loads(entry.json)


def test_an_event_the_state_cannot_fold_takes_no_number() -> None:
    log = small_log()
    with pytest.raises(KeyError):
        log.append(Event(ev.SESSION_START, {}, "monitor"))
    assert log.append(make(ev.SYSTEM_ERROR)).seq == 1


def test_output_never_evicts_structured_events_nor_they_output() -> None:
    log = small_log(structured=2, outputs=2)
    log.append(make(ev.SYSTEM_ERROR))
    for _ in range(10):
        log.append(make(ev.CLAUDE_OUTPUT))
    assert seqs(log.read(0, ["*"], 100)) == [1, 10, 11]
    for _ in range(10):
        log.append(make(ev.SYSTEM_ERROR))
    assert seqs(log.read(0, ["*"], 100)) == [10, 11, 20, 21]


def test_output_is_kept_by_its_size() -> None:
    log = Log("run-1", Limits(output_bytes=10_000))
    log.append(make(ev.CLAUDE_OUTPUT, 6000))
    log.append(make(ev.CLAUDE_OUTPUT, 3000))
    log.append(make(ev.CLAUDE_OUTPUT, 3000))
    assert seqs(log.read(0, ["*"], 100)) == [2, 3]


def test_one_output_larger_than_the_limit_is_kept_while_it_is_the_newest() -> None:
    log = small_log()
    log.append(make(ev.CLAUDE_OUTPUT, 5000))
    assert seqs(log.read(0, ["*"], 100)) == [1]


def test_of_the_newest_only_kinds_one_is_kept_and_the_older_is_not_a_loss() -> None:
    log = small_log()
    for _ in range(3):
        log.append(make(ev.SYSTEM_STATUS))
    assert seqs(log.read(0, ["*"], 100)) == [3]
    assert log.gap(0, ["*"]) is None
    newest = log.newest(ev.SYSTEM_STATUS)
    assert newest is not None and newest.seq == 3
    assert log.newest(ev.CLAUDE_SCREEN) is None


def test_oldest_seq_is_the_next_number_while_nothing_is_kept() -> None:
    log = small_log(structured=2)
    assert log.oldest_seq() == 1
    for _ in range(5):
        log.append(make(ev.SYSTEM_ERROR))
    assert log.oldest_seq() == 4
    assert log.snapshot() | {"seq": 5, "oldest_seq": 4} == log.snapshot()


def test_read_begins_after_since_and_ends_at_until_or_limit() -> None:
    log = small_log(structured=100)
    for kind in [ev.SYSTEM_ERROR, ev.CLAUDE_OUTPUT] * 3:
        log.append(make(kind))
    assert seqs(log.read(2, ["*"], 100)) == [3, 4, 5, 6]
    assert seqs(log.read(0, ["*"], 100, until=3)) == [1, 2, 3]
    assert seqs(log.read(0, ["system.*"], 2)) == [1, 3]
    assert log.read(0, ["agent.*"], 100) == []


def test_history_is_the_newest_before_a_number_and_says_whether_there_is_more() -> None:
    log = small_log(structured=100)
    for _ in range(6):
        log.append(make(ev.SYSTEM_ERROR))
    assert [seqs(log.history(["*"], 2)[0]), log.history(["*"], 2)[1]] == [[5, 6], True]
    assert [seqs(log.history(["*"], 2, before=3)[0]), log.history(["*"], 2, before=3)[1]] == [[1, 2], False]
    assert seqs(log.history(["*"], 10, since=4)[0]) == [5, 6]
    assert log.history(["*"], 0) == ([], True)
    assert log.history(["todo.*"], 10) == ([], False)


def test_history_tells_the_screen_only_by_name() -> None:
    log = small_log()
    log.append(make(ev.CLAUDE_SCREEN))
    assert log.history(["*"], 10)[0] == []
    assert log.history(["claude.*"], 10)[0] == []
    assert seqs(log.history(["claude.screen"], 10)[0]) == [1]


# --- followers -------------------------------------------------------------------------------------


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
    log.append(ev.todo_update([], source="todo_file"))
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
        entry = Entry(len(everything) + 1, ev.SYSTEM_ERROR, bytes(size))
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


AGENTS = {f"agent-{n:012}": {"input": n, "output": n, "cache_read": n, "cache_creation": n} for n in range(100)}
FLOODS: dict[str, tuple[int, Callable[[int], Event]]] = {
    "tiny outputs": (60_000, lambda n: ev.claude_output("x", n)),
    "large outputs": (400, lambda n: ev.claude_output("x" * 65_536, n)),
    "usage of many agents": (
        2400,
        lambda n: ev.claude_usage(source="transcript", model="m", tokens={}, totals={"input": n}, agents=AGENTS),
    ),
    "long todo lists": (
        200,
        lambda n: ev.todo_update([{"id": str(n), "content": "x" * 600, "status": "pending"}] * 300, source="hook"),
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_full_log_takes_the_memory_that_its_limits_say(flood: str) -> None:
    count, make_event = FLOODS[flood]
    limits = Limits()
    assert limits.output_bytes == limits.structured_bytes == 16 * 1024 * 1024
    log = Log("0" * 36, limits)
    tracemalloc.start()
    for number in range(count):
        log.append(make_event(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert log.oldest_seq() > 1, "the log is not full"
    assert held < 1.05 * limits.output_bytes


def test_structured_events_are_bounded_by_their_size_and_by_their_number() -> None:
    log = Log("run-1", Limits(structured_events=3, structured_bytes=10_000))
    for size in (1, 1, 1, 1, 5000, 6000):
        log.append(ev.system_error("x" * size, "test"))
    assert seqs(log.read(0, ["*"], 100)) == [6]
    assert log.gap(0, ["*"]) == Gap(1, 5, {ev.SYSTEM_ERROR: 5})
    for _ in range(5):
        log.append(ev.system_error("x", "test"))
    assert seqs(log.read(0, ["*"], 100)) == [9, 10, 11]


def test_what_is_changed_after_it_was_appended_does_not_change_the_log() -> None:
    log = small_log()
    data = {"error": "a", "component": "b", "severity": "warning"}
    entry = log.append(Event(ev.SYSTEM_ERROR, data, "monitor"))
    data["error"] = "changed"
    assert entry.message()["data"]["error"] == "a"


# --- history ---------------------------------------------------------------------------------------


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the entries that are taken from the log, and those that a binary search compares."""
    count: Counter[str] = Counter()
    by_seq = retention._seq

    def counted(entry: Entry) -> int:
        count["compared"] += 1
        return int(by_seq(entry))

    def counting(method: str) -> None:
        original = getattr(Retention, method)

        def wrapper(self: Retention, seq: int, limit: int) -> list[Entry]:
            entries: list[Entry] = original(self, seq, limit)
            count["taken"] += len(entries)
            return entries

        monkeypatch.setattr(Retention, method, wrapper)

    monkeypatch.setattr(retention, "_seq", counted)
    counting("after")
    counting("before")
    return count


@pytest.mark.parametrize(
    ("patterns", "limit", "before", "taken"),
    [
        (["*"], 1, None, 2 * BLOCK),  # a block of outputs and one of structured events
        (["*"], 1, 10_000, 2 * BLOCK),
        ([ev.CLAUDE_OUTPUT], 1, None, BLOCK),
        ([ev.CLAUDE_OUTPUT], 500, None, 500 + BLOCK),
        (["agent.*"], 1, None, 10),  # outputs are not looked at, structured events that do not match are
        (["todo.*"], 9, None, 10),
    ],
)
def test_history_looks_at_what_it_returns_and_little_more(
    looked_at: Counter[str], patterns: list[str], limit: int, before: int | None, taken: int
) -> None:
    log = Log("run-1")
    for _ in range(10):
        log.append(make(ev.SYSTEM_ERROR))
    for _ in range(20_000):
        log.append(make(ev.CLAUDE_OUTPUT))
    looked_at.clear()
    log.history(patterns, limit, before=before)
    assert looked_at["taken"] <= taken
    assert looked_at["compared"] <= 40 + limit


@settings(UNHURRIED)
@given(
    st.lists(st.sampled_from(KINDS), max_size=150),
    st.sets(st.sampled_from(["*", "claude.*", ev.CLAUDE_SCREEN, ev.SYSTEM_ERROR])),
    st.integers(0, 160),
    st.integers(0, 160),
    st.none() | st.integers(0, 160),
    st.none() | st.integers(0, 2000),
)
def test_history_is_the_end_of_what_read_returns(
    kinds: list[str], patterns: set[str], limit: int, since: int, before: int | None, max_bytes: int | None
) -> None:
    log = small_log(structured=70, outputs=20)
    for kind in kinds:
        log.append(make(kind))
    matching = [e for e in log.read(since, patterns, 1000) if before is None or e.seq < before]
    entries, more = log.history(patterns, limit, since, before, max_bytes)
    assert entries == matching[len(matching) - len(entries) :]
    assert more == (len(entries) < len(matching))
    size = sum(len(entry.json) for entry in entries)
    assert max_bytes is None or size <= max_bytes or len(entries) == 1
    if more and len(entries) < limit:
        assert max_bytes is not None and size + len(matching[-len(entries) - 1].json) > max_bytes


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
