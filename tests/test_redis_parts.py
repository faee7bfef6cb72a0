"""The pure parts between a log and a Redis: numbers, entries, progress, pace, records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_server import info_of
from serving import UNHURRIED

from claude_mpm.feed.entry import Batch, Entry, Gap, Producer
from claude_mpm.fleet.redis import entries, keys
from claude_mpm.fleet.redis.entries import BadEntry
from claude_mpm.fleet.redis.publish.outbox import PIPELINE_BYTES, Outbox, Pipeline, Progress, chunks
from claude_mpm.fleet.redis.read.pace import FEWEST, LARGE, MOST, Pace
from claude_mpm.fleet.redis.read.roster import Roster, read_record
from claude_mpm.fleet.redis.read.sequence import Missing, Sequence
from claude_mpm.system import json_text

# --- numbers --------------------------------------------------------------------------------------


@UNHURRIED
@given(
    numbers=st.sets(st.integers(1, 60), min_size=1).map(sorted),
    lost=st.sets(st.integers(1, 60)),
    restarts=st.lists(st.integers(0, 60), max_size=3),
)
def test_every_published_number_comes_once_in_order_or_is_missing(
    numbers: list[int], lost: set[int], restarts: list[int]
) -> None:
    """Entries are lost and sent again from anywhere; nothing is lost in silence, and nothing comes twice."""
    chain = list(zip(numbers, [0, *numbers], strict=False))
    starts = [0, *restarts]
    sent = [entry for start in starts for entry in chain if entry[1] >= start]
    sequence, taken, missing = Sequence(), list[int](), set[int]()
    for seq, previous in (entry for entry in sent if entry[0] not in lost):
        is_new, hole = sequence.take(seq, previous)
        missing |= set(range(hole.from_seq, hole.to_seq + 1)) if hole else set()
        taken += [seq] if is_new else []
    hole = sequence.published(numbers[-1])
    missing |= set(range(hole.from_seq, hole.to_seq + 1)) if hole else set()
    assert taken == sorted(set(taken))
    assert set(taken) | missing >= set(numbers)
    assert not set(taken) & missing


ONE = Producer("run-1")


def test_a_first_look_skips_what_is_too_long_ago_and_says_so() -> None:
    sequence = Sequence(first=8)
    assert [sequence.take(seq, seq - 1) for seq in (7, 8, 9)] == [
        (False, None),
        (True, Missing(1, 7)),
        (True, None),
    ]


# --- entries --------------------------------------------------------------------------------------


def written(command: entries.Command) -> dict[bytes, bytes]:
    """The fields of an XADD, as Redis returns them."""
    flat = [part if isinstance(part, bytes) else str(part).encode() for part in command[6:]]
    return dict(entries.fields_of(flat))


def test_an_event_is_read_as_it_was_written() -> None:
    event = {"type": "claude.message", "seq": 5, "instance_id": "a", "data": {"text": "ü"}}
    fields = written(entries.event_command("s", 9, "a", 5, 3, json_text.dumps(event)))
    place = entries.numbered(fields)
    assert place == ("a", 5, 3)
    assert entries.event_of(fields, place, frozenset({"claude.message"})) == event


def test_a_gap_is_read_as_it_was_written() -> None:
    gap = Gap(2, 9, {"tool.end": 3})
    fields = written(entries.gap_command("s", 9, "a", gap, 1))
    assert entries.gap_of(fields, entries.numbered(fields)) == gap


@UNHURRIED
@given(fields=st.dictionaries(st.sampled_from([b"i", b"n", b"p", b"e", b"g"]), st.binary(max_size=40)))
def test_no_entry_raises_anything_else_than_that_it_is_bad(fields: dict[bytes, bytes]) -> None:
    try:
        place = entries.numbered(fields)
        if b"e" in fields:
            entries.event_of(fields, place, frozenset())
        else:
            entries.gap_of(fields, place)
    except BadEntry as error:
        assert error.kind


# --- what is sent ---------------------------------------------------------------------------------


def test_large_batches_are_divided_and_every_entry_names_the_one_before() -> None:
    batch = Batch([Entry(n, "tool.end", b"x" * (PIPELINE_BYTES // 3), ONE) for n in range(1, 8)], Gap(1, 1, {}))
    runs = list(chunks(batch))
    assert [[entry.seq for entry in run] for run in runs] == [[1, 2, 3], [4, 5, 6], [7]]
    outbox, pipeline = Outbox("a"), Pipeline()
    for run in runs:
        outbox.fill(pipeline, run)
    assert [entries.numbered(written(command))[1:] for command in pipeline.commands[1:]] == [
        (n, n - 1) for n in range(1, 8)
    ]
    assert list(chunks(Batch([], Gap(1, 1, {})))) == [[]]


def test_output_is_bounded_by_its_size_and_does_not_count_among_the_events() -> None:
    outbox, pipeline = Outbox("a"), Pipeline()
    outbox.fill(pipeline, [Entry(n, "claude.output", b"x" * 65536, ONE) for n in range(1, 200)])
    outbox.fill(pipeline, [Entry(200, "tool.end", b"{}", ONE)])
    *_, last_output, expire, event = pipeline.commands
    assert int(last_output[4]) * 65536 < 1.2 * keys.OUTPUT_BYTES
    assert expire == ("EXPIRE", keys.output("a"), keys.SHORT_TIME)
    assert entries.numbered(written(event)) == ("a", 200, 0)
    assert pipeline.newest == len(pipeline.commands) - 2


def test_after_a_loss_it_is_sent_again_from_a_minute_before_the_last_confirmation() -> None:
    progress = Progress()
    for second in range(1000, 1200):
        progress.confirm(second - 999, b"1-1", float(second))
    assert progress.rewind() == 140
    assert progress.entry_id is None


def test_after_a_loss_a_young_instance_sends_everything_again() -> None:
    progress = Progress()
    progress.confirm(5, b"1-1", 1000.0)
    assert progress.rewind() == 0


# --- how much is taken ----------------------------------------------------------------------------


def test_more_is_taken_when_there_is_more_and_less_when_it_is_large() -> None:
    pace = Pace()
    for _ in range(9):
        pace.note([[[b"1-1", [b"e", b"x"]]]], was_cut=True)
    assert pace.count == MOST
    for _ in range(9):
        pace.note([[[b"1-1", [b"e", b"x" * (LARGE + 1)]]]], was_cut=True)
    assert pace.count == FEWEST


# --- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"type": "tool.end"}, {"instance_id": "b"}, {"published": -1}, {"published": "9"}, {"data": None},
        {"data": {"instance_info": {**info_of("a"), "port": "x"}}}, {"data": {"instance_info": info_of("b")}},
    ],
)  # fmt: skip
def test_what_is_no_record_is_no_instance(change: dict[str, object]) -> None:
    record = {"type": "system.status", "instance_id": "a", "published": 9, "data": {"instance_info": info_of("a")}}
    assert read_record(json_text.dumps(record), "a") is not None
    assert read_record(json_text.dumps(record | change), "a") is None


def test_an_instance_that_comes_back_goes_on_where_it_was() -> None:
    roster = Roster()
    record = read_record(
        json_text.dumps(
            {"type": "system.status", "instance_id": "a", "published": 9, "data": {"instance_info": info_of("a")}}
        ),
        "a",
    )
    assert record is not None
    instance = roster.add("a", *record)
    assert instance is not None
    instance.sequence.take(12, 11)
    roster.remove("a")
    assert "a" not in roster
    assert roster.add("a", *record) is instance
