"""From the frames of the sources to the hub's log: numbered anew, each event once, in the order of its instance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.fleet import frames
from claude_mpm.fleet.hub.member import Member
from claude_mpm.fleet.hub.requests import Requests
from claude_mpm.fleet.hub.roster import Roster
from claude_mpm.fleet.source import Frame, Source

MAX_SEQ = 2**53  # what JSON clients can count to
MAX_COMPLAINTS = 1_000  # different ones that are logged
_KNOWN = frozenset(ev.EVENT_TYPES)

log = logging.getLogger(__name__)


class Relay:
    """Takes the frames of all sources. deliver() may be called by any thread, and does not block.

    Args:
        roster: the instances.
        target: the hub's log.
        requests: the commands that were passed on; their replies come with the frames.
        changed: called when instances or sources have come or gone.
    """

    def __init__(self, roster: Roster, target: Log, requests: Requests, changed: Callable[[], None]) -> None:
        self._roster = roster
        self._log = target
        self._requests = requests
        self._changed = changed
        self._complaints: set[tuple[str, str]] = set()

    def deliver(self, source: Source, frame: Frame) -> None:
        """One frame of a source; see fleet/source.py."""
        kind, data, instance_id = frame.get("type"), frame.get("data"), frame.get("instance_id")
        if not isinstance(kind, str) or not isinstance(data, dict):
            self._complain(source, "a frame without type or data")
        elif "request_id" in frame:
            self._requests.reply(frame)
        elif kind == "instances":
            self._instances(source, data)
        elif kind == ev.SYSTEM_ERROR and instance_id is None:
            self._trouble(source, data)
        elif (member := self._roster.feeding(instance_id, source)) is not None:
            self._take(source, member, kind, frame)

    def _instances(self, source: Source, data: Mapping[str, Any]) -> None:
        infos = data.get("instances")
        if not isinstance(infos, list):
            self._complain(source, "a list of instances that is none")
            return
        for instance_id in self._roster.update(source, [info for info in infos if isinstance(info, dict)]):
            self._log.forget_instance(instance_id)
            self._requests.give_up(instance_id)
        self._changed()

    def _trouble(self, source: Source, data: Mapping[str, Any]) -> None:
        sentence, hint = str(data.get("error", "")), data.get("hint")
        if data.get("severity") != "warning":
            self._roster.trouble(source, sentence)
            self._changed()
        self._log.append(
            ev.system_error(
                sentence,
                source.name,
                severity="warning" if data.get("severity") == "warning" else "error",
                hint=hint if isinstance(hint, str) else None,
            )
        )

    def _take(self, source: Source, member: Member, kind: str, frame: Frame) -> None:
        """A frame of an instance: how it stands, what was lost, or an event."""
        seq = frame.get("seq")
        with member.lock:
            if kind == ev.SYSTEM_GAP and seq is None:
                self._gap(member, frame)
            elif kind == ev.SYSTEM_STATUS and seq is None:
                member.restore(frame["data"])
            elif not isinstance(seq, int) or isinstance(seq, bool) or not 0 < seq <= MAX_SEQ:
                self._complain(source, f"an event of {member.producer.instance_id} without a number")
            elif kind not in _KNOWN:
                self._complain(source, f"events of the unknown type {kind[:40]!a}; a newer hub may know it")
            elif seq > member.seq:
                if member.changes_to(source) and seq > member.seq + 1 and member.seq:
                    self._tell_gap(member, member.seq + 1, seq - 1, {}, "source_changed")
                self._event(member, kind, seq, frame)

    def _event(self, member: Member, kind: str, seq: int, frame: Frame) -> None:
        message = {**frame, "origin_seq": seq, "machine": member.producer.machine}
        del message["seq"]
        try:
            self._log.relay(kind, message, member.producer)
        except (TypeError, ValueError, RecursionError) as error:
            log.info("%s: event %d cannot be relayed: %s", member.producer.instance_id, seq, error)
            return
        member.seq = seq
        if kind == ev.SYSTEM_STATUS:
            member.restore(frame["data"])
        else:
            member.apply(frame)

    def _gap(self, member: Member, frame: Frame) -> None:
        """What the source lost of this instance, as far as it was not relayed already."""
        data = frame["data"]
        first, last = data.get("from_seq"), data.get("to_seq")
        if not (isinstance(first, int) and isinstance(last, int) and 0 < first <= last <= MAX_SEQ):
            return
        counts, reason = data.get("counts"), data.get("reason")
        if last > member.seq:
            valid = isinstance(counts, dict) and all(isinstance(count, int) for count in counts.values())
            self._tell_gap(member, max(first, member.seq + 1), last, counts if valid else {}, str(reason or "expired"))
            member.seq = last

    def _tell_gap(self, member: Member, first: int, last: int, counts: Mapping[str, int], reason: str) -> None:
        data = {"from_seq": first, "to_seq": last, "counts": dict(counts), "reason": reason}
        whose = {"instance_id": member.producer.instance_id, "machine": member.producer.machine}
        self._log.relay(ev.SYSTEM_GAP, frames.frame(ev.SYSTEM_GAP, data, source="monitor", **whose), member.producer)

    def _complain(self, source: Source, what: str) -> None:
        """Log each different complaint once."""
        complaint = (source.name, what)
        if complaint not in self._complaints and len(self._complaints) < MAX_COMPLAINTS:
            self._complaints.add(complaint)
            log.warning("%s: passed over %s", source.name, what)
