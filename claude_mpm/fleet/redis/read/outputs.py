"""The output and pictures of those instances that somebody looks at, each from a stream of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.connection import Connection, last_ids
from claude_mpm.fleet.redis.entries import Fields, fields_of
from claude_mpm.fleet.redis.read.roster import Roster

Rows = Sequence[Any]  # [id, [name, value, name, value, ...]] each, as Redis returns them
MORE = 512  # entries asked for at a time, when an answer ended before the output that is needed


class Outputs:
    """Which of these streams are read, and what may be taken of them now. Belongs to the thread that reads.

    Args:
        cursors: of the reader, {stream: id}; those of output come and go.
    """

    def __init__(self, connection: Connection, roster: Roster, cursors: dict[str, str]) -> None:
        self._connection, self._roster, self._cursors = connection, roster, cursors
        self._followed: dict[str, str] = {}  # {stream: instance}

    def __bool__(self) -> bool:
        return bool(self._followed)

    def follow(self, wanted: Mapping[str, frozenset[str]]) -> None:
        """Begin with the output that is wanted by now, and end with what no longer is. Raises as Connection.run()."""
        now = {keys.output(each): each for each, types in wanted.items() if types and each in self._roster}
        if now.keys() == self._followed.keys():
            return
        for stream in self._followed.keys() - now.keys():
            del self._cursors[stream]
            instance = self._roster.get(self._followed[stream])
            if instance is not None:
                instance.output = None
        begun = sorted(now.keys() - self._followed.keys())
        self._followed = {stream: each for stream, each in now.items() if stream in self._followed}
        for stream, newest in zip(begun, last_ids(self._connection, begun), strict=True):
            self._cursors[stream] = newest or "0-0"
        self._followed = now

    def take(self, answer: dict[str, Rows], cut: set[str]) -> dict[str, list[tuple[int, Fields]]]:
        """The entries of output by instance, with their numbers, and in `answer` the rows that they are.

        Where the answer was cut, the order is known up to the last event of the instance in it. Output that is still
        missing before that event is fetched; output that comes after it stays in Redis until the next answer.
        """
        outputs = {}
        for stream in self._followed.keys() & answer.keys():
            instance_id, rows = self._followed[stream], list(answer[stream])
            shard = keys.events(keys.shard(instance_id))
            last_event = _last_number(answer.get(shard, ()), instance_id)
            limit = last_event if shard in cut else None
            if stream in cut and _number(rows[-1]) < last_event:
                limit = last_event
                self._fetch(stream, rows, last_event)
            if limit is not None:
                rows = list(_before(rows, limit))
            answer[stream] = rows
            outputs[instance_id] = [(_number(row), fields_of(row[1])) for row in rows]
        return outputs

    def _fetch(self, stream: str, rows: list[Any], last_event: int) -> None:
        """Add rows until they reach the event, or there are no more."""
        more: Rows = rows
        while more and _number(rows[-1]) < last_event:
            found = self._connection.call("XREAD", "COUNT", MORE, "STREAMS", stream, rows[-1][0])
            more = found[0][1] if found else ()
            rows += more


def _before(rows: Rows, limit: int) -> Iterable[Any]:
    for row in rows:
        if _number(row) >= limit:
            return
        yield row


def _last_number(rows: Rows, instance_id: str) -> int:
    wanted = instance_id.encode()
    return max((_number(row) for row in rows if row[1][1:2] == [wanted]), default=0)


def _number(row: Any) -> int:
    """The number of an entry; 0 for one that has none, which is passed over when its turn comes."""
    flat = row[1]
    try:
        return int(flat[3]) if flat[2] == b"n" else 0
    except (IndexError, ValueError):
        return 0
