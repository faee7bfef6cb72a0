"""What a publisher sends: batches of the log as commands for Redis, and how far Redis has confirmed them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from claude_mpm.feed.entry import Batch, Entry, Gap
from claude_mpm.fleet.redis import entries, keys
from claude_mpm.fleet.redis.entries import Command
from claude_mpm.fleet.source import ON_REQUEST

PIPELINE_BYTES = 1024 * 1024  # of events sent at once
FEWEST = 16  # MAXLEN of output:ID, however large its entries are


class Pipeline:
    """Commands that Redis executes as one, so that a connection that ends in between leaves all of them or none.

    Attributes:
        commands: from MULTI to EXEC.
        newest: index of the last event's answer among those of EXEC; None when there is no event.
    """

    def __init__(self) -> None:
        self.commands: list[Command] = [("MULTI",)]
        self.newest: int | None = None

    def add(self, command: Command, is_event: bool = False) -> None:
        if is_event:
            self.newest = len(self.commands) - 1
        self.commands.append(command)

    def finished(self) -> list[Command]:
        return [*self.commands, ("EXEC",)]


class Outbox:
    """Numbers the entries of one instance, and makes the commands that write them. Belongs to one thread."""

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._events = keys.events(keys.shard(instance_id))
        self._output = keys.output(instance_id)
        self._output_size = 4096.0  # mean bytes of an entry of output:ID
        self.previous = 0  # of the newest entry in the events' stream
        self._previous_output = 0  # the same of output:ID; 0: no number to refer to

    def restart(self, after: int) -> None:
        """Write on, or again, from the entry after number `after`."""
        self.previous = after
        self._previous_output = 0

    def forget_output(self) -> None:
        """Nobody wants output any more: what comes later continues nothing."""
        self._previous_output = 0

    def fill(self, pipeline: Pipeline, batch: Sequence[Entry]) -> None:
        """Add the entries of a batch, in order."""
        wrote_output = False
        for entry in batch:
            if entry.type in ON_REQUEST:
                pipeline.add(self._output_command(entry))
                wrote_output = True
            else:
                pipeline.add(self._event_command(entry), is_event=True)
        if wrote_output:
            pipeline.add(("EXPIRE", self._output, keys.SHORT_TIME))

    def gap(self, pipeline: Pipeline, gap: Gap) -> None:
        """Add what the log no longer has."""
        command = entries.gap_command(self._events, keys.SHARD_EVENTS, self._instance_id, gap, self.previous)
        pipeline.add(command, is_event=True)
        self.previous = gap.to_seq

    def output_lost(self, to_seq: int) -> None:
        """Some output up to that number was lost; whoever reads the next entry sees the hole."""
        self._previous_output = max(self._previous_output, to_seq)

    def _event_command(self, entry: Entry) -> Command:
        previous, self.previous = self.previous, entry.seq
        return entries.event_command(
            self._events, keys.SHARD_EVENTS, self._instance_id, entry.seq, previous, entry.json
        )

    def _output_command(self, entry: Entry) -> Command:
        previous, self._previous_output = self._previous_output, entry.seq
        self._output_size += (len(entry.json) - self._output_size) / 32
        most = max(FEWEST, int(keys.OUTPUT_BYTES / self._output_size))
        return entries.event_command(self._output, most, self._instance_id, entry.seq, previous, entry.json)


def chunks(batch: Batch) -> Iterator[list[Entry]]:
    """The entries in runs of at most PIPELINE_BYTES each; one that is larger comes alone."""
    run: list[Entry] = []
    size = 0
    for entry in batch.entries:
        if run and size + len(entry.json) > PIPELINE_BYTES:
            yield run
            run, size = [], 0
        run.append(entry)
        size += len(entry.json)
    if run or batch.gap is not None:
        yield run


class Progress:
    """How far Redis has confirmed, now and LOOK_BACK seconds before that. Belongs to one thread."""

    def __init__(self) -> None:
        self.seq = 0  # everything up to here is in Redis
        self.entry_id: bytes | None = None  # of the newest event there
        self.at = 0.0  # time.monotonic() when it was confirmed
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])  # (when, seq), about one a second

    def confirm(self, seq: int, entry_id: bytes, now: float) -> None:
        """Redis has everything up to `seq`."""
        self.seq, self.entry_id, self.at = seq, entry_id, now
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, seq))
            while len(self._marks) > 1 and self._marks[1][0] <= now - keys.LOOK_BACK:
                self._marks.popleft()

    def rewind(self) -> int:
        """Redis has lost what it had: the number after which to send again, so that no reader misses anything.

        A reader that is further behind than LOOK_BACK finds the hole and tells it.
        """
        earlier = [seq for at, seq in self._marks if at <= self.at - keys.LOOK_BACK]
        self.seq = earlier[-1] if earlier else 0
        self.entry_id = None
        return self.seq
