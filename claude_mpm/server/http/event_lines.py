"""History as lines of JSON, read from the log while the client takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from claude_mpm.feed.log import Cursor, Entry, Log
from claude_mpm.feed.patterns import expand
from claude_mpm.server.commands.replies import gap_message

PIECE_EVENTS = 256  # events taken from the log at a time
PIECE_BYTES = 64 * 1024  # of history sent at a time, unless one event is larger


def event_lines(log: Log, types: list[str], since: int | None, limit: int | None) -> Iterator[bytes]:
    """The kept events after `since`, or the newest `limit` of them, as lines, and the gaps before and between them.

    Reads the log piece by piece while the client takes them, so a slow client holds a piece in memory and not the log.
    What it loses meanwhile is told as `slow_client`; what was lost before, only when it named a `since`.
    """
    kinds = expand(types)
    low, end = since or 0, log.seq
    start = low if limit is None else _before_newest(log, types, limit, low)
    gap = log.gap(low, types, start) if since is not None else None
    cursor = Cursor(log, start, dict.fromkeys(kinds, start), dict.fromkeys(kinds, end))
    reason: Literal["slow_client", "expired"] = "expired"
    while True:
        batch = cursor.next(PIECE_EVENTS)
        if batch.gap is not None and (since is not None or reason == "slow_client"):
            gap = batch.gap if gap is None else gap | batch.gap
        if gap is not None:
            yield gap_message(log.instance_id, gap, reason) + b"\n"
        if not batch.entries:
            return
        yield from _pieces(batch.entries)
        gap, reason = None, "slow_client"


def _before_newest(log: Log, types: list[str], limit: int, since: int) -> int:
    """The number after which the newest `limit` events begin."""
    entries, more = log.history(types, limit, since)
    if not more:
        return since
    return entries[0].seq - 1 if entries else log.seq


def _pieces(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The entries as lines, joined to pieces that are worth a system call."""
    lines: list[bytes] = []
    size = 0
    for entry in entries:
        lines += (entry.json, b"\n")
        size += len(entry.json) + 1
        if size >= PIECE_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)
