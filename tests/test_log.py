from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import UNHURRIED

from claude_mpm.config import Limits
from claude_mpm.feed import event as ev
from claude_mpm.feed import retention
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import BLOCK, Entry, Gap, Log
from claude_mpm.feed.retention import Retention, memory_size


def make(kind: str, size: int = 1) -> Event:
    """An event of any type, as small as the state allows."""
    if kind == ev.CLAUDE_OUTPUT:
        return ev.claude_output("x" * size, 0)
    if kind == ev.CLAUDE_STATUS:
        return ev.claude_status("running", origin=Origin("process"))
    if kind == ev.CLAUDE_MESSAGE:
        return ev.claude_message("user", "x", origin=Origin("transcript"))
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


AGENTS = {f"agent-{n:012}": {"input": n, "output": n, "cache_read": n, "cache_creation": n} for n in range(100)}
FLOODS: dict[str, tuple[int, Callable[[int], Event]]] = {
    "tiny outputs": (50_000, lambda n: ev.claude_output("x", n)),
    "large outputs": (400, lambda n: ev.claude_output("x" * 65_536, n)),
    "a table in every event": (
        2100,
        lambda n: Event(ev.CLAUDE_USAGE, {"totals": {"input": n}, "agents": AGENTS}, "transcript"),
    ),
    "long todo lists": (
        200,
        lambda n: ev.todo_update(
            [{"id": str(n), "content": "x" * 600, "status": "pending"}] * 300, origin=Origin("hook")
        ),
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
