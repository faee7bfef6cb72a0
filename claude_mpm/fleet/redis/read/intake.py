"""From the entries that Redis returned to the frames of the protocol: in order, each once, and every hole told.

Redis executes what an instance sends in the order in which it was sent, and answers one XREAD over several streams at one
moment (reader.py says when not). So what one answer holds of an instance's two streams can be sorted by number, unless the answer was cut: then outputs.py takes what can be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from claude_mpm.feed import event as ev
from claude_mpm.fleet.frames import event_frame
from claude_mpm.fleet.redis import entries, keys
from claude_mpm.fleet.redis.entries import BadEntry, Fields, Numbered
from claude_mpm.fleet.redis.read.roster import Instance, Roster
from claude_mpm.fleet.redis.read.sequence import Missing
from claude_mpm.fleet.redis.read.sequence import Sequence as Place
from claude_mpm.fleet.source import ON_REQUEST, Frame

MOST_WARNINGS = 1_000  # kinds of bad entries and their instances that are remembered, so that each is logged once

log = logging.getLogger(__name__)


class Intake:
    """Delivers entries of instances in the roster. Belongs to the thread that reads.

    Attributes:
        stale: the instances that missed something, whose status is to be told anew.
        wanted: the types of ON_REQUEST that are delivered, for each instance.
    """

    def __init__(self, roster: Roster, deliver: Callable[[Frame], None]) -> None:
        self._roster = roster
        self._deliver = deliver
        self._warned: set[tuple[str, str]] = set()
        self.stale: set[str] = set()
        self.wanted: Mapping[str, frozenset[str]] = {}

    def events(self, shard: int, found: Iterable[Fields], output: dict[str, list[tuple[int, Fields]]]) -> None:
        """Take entries of one shard's stream, and between them what `output` has of the same instances."""
        for fields in found:
            try:
                place = entries.numbered(fields)
            except BadEntry as error:
                self._warn(error.kind, fields.get(b"i", b"").decode("ascii", "replace"))
                continue
            instance = self._roster.get(place.instance_id)
            if instance is None:
                continue  # it has gone, or never said that it lives
            if instance.shard != shard:
                self._warn("an entry in the stream of other instances", place.instance_id)
                continue
            if output and place.instance_id in output:
                self._output_before(instance, output[place.instance_id], place.seq)
            self._event(instance, place, fields)

    def rest_of(self, instance: Instance, output: list[tuple[int, Fields]]) -> None:
        """Take what is left of an instance's output."""
        self._output_before(instance, output, None)

    def settle(self, instance: Instance) -> None:
        """Everything that Redis has of the instance has been taken: tell what it has no longer."""
        was_new = instance.sequence.last is None
        missing = instance.sequence.published(instance.published)
        if missing is not None:
            self._tell(instance, missing, {}, "before_start" if was_new else "expired")

    def _event(self, instance: Instance, place: Numbered, fields: Fields) -> None:
        last, was_new = instance.sequence.last or 0, instance.sequence.last is None
        is_new, missing = instance.sequence.take(place.seq, place.previous)
        if missing is not None:
            self._tell(instance, missing, {}, "before_start" if was_new else "expired")
        if not is_new:
            return
        try:
            if b"e" in fields:
                self._deliver(entries.event_of(fields, place, keys.PUBLISHED))
            else:
                gap = entries.gap_of(fields, place)
                missing = Missing(max(gap.from_seq, last + 1), gap.to_seq)  # what came before is not lost to us
                size = missing.to_seq - missing.from_seq + 1
                self._tell(instance, missing, {kind: min(n, size) for kind, n in gap.counts.items()}, "expired")
        except BadEntry as error:
            self._warn(error.kind, place.instance_id)
            self._tell(instance, Missing(place.seq, place.seq), {}, "expired")
        instance.newest = max(instance.newest, place.seq)

    def _output_before(self, instance: Instance, found: list[tuple[int, Fields]], seq: int | None) -> None:
        """Take the output that comes before event `seq`, or all."""
        while found and (seq is None or found[0][0] < seq):
            self._output(instance, found.pop(0)[1])

    def _output(self, instance: Instance, fields: Fields) -> None:
        try:
            place = entries.numbered(fields)
            if place.instance_id != instance.instance_id:
                raise BadEntry("an entry in the stream of other instances")
            is_first = instance.output is None
            instance.output = instance.output or Place()
            is_new, missing = instance.output.take(place.seq, place.previous)
            if not is_new:
                return
            if place.seq <= instance.newest:  # we were behind, and events that follow it have been delivered
                if not is_first:
                    self._tell(instance, Missing(place.seq, place.seq), {}, "slow_client")
                return
            if missing is not None and not is_first:
                self._tell(instance, missing, {}, "expired")
            frame = entries.event_of(fields, place, ON_REQUEST)
        except (BadEntry, KeyError) as error:
            self._warn(error.kind if isinstance(error, BadEntry) else "an entry without an event", instance.instance_id)
            return
        instance.newest = place.seq
        if frame["type"] in self.wanted.get(instance.instance_id, ()):  # not what only another hub wants
            self._deliver(frame)

    def _tell(self, instance: Instance, missing: Missing, counts: Mapping[str, int], reason: ev.GapReason) -> None:
        event = ev.system_gap(missing.from_seq, missing.to_seq, counts, reason)
        self._deliver(event_frame(event, instance_id=instance.instance_id))
        if reason != "before_start":
            self.stale.add(instance.instance_id)

    def _warn(self, kind: str, instance_id: str) -> None:
        shown = instance_id[:64] if instance_id.isprintable() else "?"
        if (kind, shown) not in self._warned and len(self._warned) < MOST_WARNINGS:
            self._warned.add((kind, shown))
            log.warning("passed over %s (instance %s; further ones are not logged)", kind, shown)
