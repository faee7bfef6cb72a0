from __future__ import annotations

from test_log import make, small_log

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Entry, Log
from claude_mpm.feed.selection import EVERYWHERE, Selection
from claude_mpm.server.websocket.frames import text_frame
from claude_mpm.server.websocket.tape import TAPE_BYTES, Tape

E, O = ev.SYSTEM_ERROR, ev.CLAUDE_OUTPUT  # noqa: E741


def tape_of(log: Log, *types: str, start: int = 0) -> Tape:
    return Tape(log, Selection((kind, EVERYWHERE) for kind in types), start, max_events=4)


def frames(*entries: Entry) -> bytes:
    return b"".join(text_frame(entry.json) for entry in entries)


def taken(tape: Tape, seq: int, max_size: int = 1 << 20) -> tuple[bytes, int] | None:
    found = tape.after(seq, max_size)
    return None if found is None else (b"".join(found[0]), found[1])


def test_a_client_anywhere_on_the_tape_gets_exactly_what_it_lacks() -> None:
    log = small_log(structured=100)
    entries = [log.append(make(E)) for _ in range(9)]
    tape = tape_of(log, E)
    tape.advance()
    for seq in range(10):
        assert taken(tape, seq) == (frames(*entries[seq:]), 9)
    assert taken(tape, 10) is None


def test_other_types_are_passed_over() -> None:
    log = small_log()
    log.append(make(O))
    wanted = log.append(make(E))
    log.append(make(O))
    tape = tape_of(log, E)
    tape.advance()
    assert taken(tape, 0) == taken(tape, 1) == (frames(wanted), 3)
    assert taken(tape, 2) == (b"", 3)


def test_frames_are_made_once_and_shared() -> None:
    log = small_log()
    log.append(make(E))
    tape = tape_of(log, E)
    tape.advance()
    (one,), (two,) = (found[0] for found in (tape.after(0, 1), tape.after(0, 1)) if found is not None)
    assert one.obj is two.obj


def test_a_client_that_lacks_much_gets_it_in_parts() -> None:
    log = small_log(structured=100)
    entries = [log.append(make(E)) for _ in range(40)]
    tape = tape_of(log, E)
    tape.advance()
    data, seq, parts = b"", 0, 0
    while (found := taken(tape, seq, max_size=1)) is not None and found[0]:
        data, seq, parts = data + found[0], found[1], parts + 1
    assert (data, seq) == (frames(*entries), 40)
    assert parts >= 10


def test_the_oldest_frames_go_when_the_tape_is_full() -> None:
    log = Log("run-1")
    size = TAPE_BYTES // 8
    for number in range(20):
        log.append(ev.claude_output("x" * size, number))
    tape = Tape(log, Selection([(O, EVERYWHERE)]), 0, max_events=1)
    while tape.cursor < log.seq:
        tape.advance()
    assert taken(tape, 0) is None
    assert 12 <= tape.start < 20
    found = tape.after(tape.start, 1 << 30)
    assert found is not None
    assert sum(map(len, found[0])) <= TAPE_BYTES


def test_what_the_log_has_lost_is_left_to_each_client() -> None:
    """Only the client knows whether it was told of the loss already, and why it happened."""
    log = small_log(structured=2)
    tape = tape_of(log, E)
    log.append(make(E))
    tape.advance()
    newest = [log.append(make(E)) for _ in range(5)][-2:]
    tape.advance()
    assert taken(tape, 1) is None
    assert taken(tape, 4) == (frames(*newest), 6)
