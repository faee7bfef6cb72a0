"""Which instances a hub has, from which source each can be reached, and which of the sources answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.feed.entry import Producer
from claude_mpm.fleet.hub.member import Member
from claude_mpm.fleet.source import Source

MAX_MEMBERS = 100_000  # instances; further ones are left out, so that a hostile publisher cannot fill the memory
LISTED_BYTES = 3 * 1024 * 1024  # of statuses in one list; instances beyond are listed without theirs


class Roster:
    """The instances of all sources. Any thread may call any method; none blocks for long.

    Args:
        sources: in the user's order. An instance that several of them have is followed through the first that answers.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)
        self._lock = threading.Lock()  # guards all below, and `offers` of every member
        self._members: dict[str, Member] = {}
        self._reachable: dict[Source, bool] = dict.fromkeys(sources, False)
        self._troubles: dict[Source, str] = {}

    def update(self, source: Source, infos: Sequence[Mapping[str, Any]]) -> list[str]:
        """A source lists its instances, so it can be reached. Returns the ids of those that no source has any more."""
        listed = {str(info["instance_id"]): info for info in infos if isinstance(info.get("instance_id"), str)}
        with self._lock:
            self._reachable[source] = True
            self._troubles.pop(source, None)
            for instance_id, info in listed.items():
                self._offer(source, instance_id, info)
            gone = []
            for instance_id, member in list(self._members.items()):
                if instance_id not in listed and member.offers.pop(source, None) is not None and not member.offers:
                    del self._members[instance_id]
                    gone.append(instance_id)
            return gone

    def _offer(self, source: Source, instance_id: str, info: Mapping[str, Any]) -> None:
        assert self._lock.locked()
        member = self._members.get(instance_id)
        if member is None:
            if len(self._members) >= MAX_MEMBERS:
                return
            machine = info.get("machine") or info.get("hostname")
            member = self._members[instance_id] = Member(instance_id, machine if isinstance(machine, str) else "")
        offers = {**member.offers, source: info}
        member.offers = {each: offers[each] for each in self._sources if each in offers}

    def trouble(self, source: Source, sentence: str) -> None:
        """A source cannot be reached: its instances are shown as unreachable until it lists them again."""
        with self._lock:
            self._reachable[source] = False
            self._troubles[source] = sentence

    def member(self, instance_id: object) -> Member | None:
        """The instance of this id."""
        return self._members.get(instance_id) if isinstance(instance_id, str) else None

    def info(self, instance_id: str) -> Mapping[str, Any]:
        """`instance_info` of an instance, with `machine`; {} for one that no source has."""
        member = self.member(instance_id)
        if member is None:
            return {}
        return {**next(iter(member.offers.values()), {}), "machine": member.producer.machine}

    def feeding(self, instance_id: object, source: Source) -> Member | None:
        """The instance, if frames from this source count for it."""
        member = self.member(instance_id)
        with self._lock:
            return member if member is not None and member.feeds(source, self._reachable) else None

    def source_of(self, member: Member) -> Source | None:
        """The source that commands to the instance go to; None when none of its sources answers."""
        with self._lock:
            return member.way(self._reachable)

    def producers(self) -> dict[Source, list[Producer]]:
        """For each source, the instances that are followed through it."""
        with self._lock:
            members = list(self._members.values())
            return {
                source: [member.producer for member in members if member.feeds(source, self._reachable)]
                for source in self._sources
            }

    # --- what clients are told ---

    def listing(self) -> list[dict[str, Any]]:
        """`get_instances`: `instance_info` with `machine`, `source`, `reachable` and a summary of `system.status`."""
        size = 0
        listed: list[dict[str, Any]] = []
        for member, source, reachable in self._where():
            info = dict(member.offers.get(source) or {}) if source is not None else {}
            info |= {
                "instance_id": member.producer.instance_id,
                "machine": member.producer.machine,
                "source": source.name if source is not None else "",
                "reachable": reachable,
            }
            if size < LISTED_BYTES:
                _, info["status"], bytes_ = member.summary()
                size += bytes_
            listed.append(info)
        return listed

    def fleet(self) -> dict[str, Any]:
        """The part of a hub's `system.status` that counts: instances by how they stand, machines, and sources."""
        counts = {"instances": 0, "needs_you": 0, "working": 0, "idle": 0, "ended": 0, "unreachable": 0}
        machines: set[str] = set()
        of_source = dict.fromkeys(self._sources, 0)
        for member, source, reachable in self._where():
            stands, _, _ = member.summary()
            counts["instances"] += 1
            counts[stands if reachable else "unreachable"] += 1
            machines.add(member.producer.machine)
            if source is not None:
                of_source[source] += 1
        with self._lock:
            sources = [
                {
                    "name": source.name,
                    "reachable": self._reachable[source],
                    "instances": of_source[source],
                    **({"error": self._troubles[source]} if source in self._troubles else {}),
                }
                for source in self._sources
            ]
        return {**counts, "machines": len(machines), "sources": sources}

    def _where(self) -> list[tuple[Member, Source | None, bool]]:
        """Every instance with the source it is followed through, and whether that answers."""
        with self._lock:
            found: list[tuple[Member, Source | None, bool]] = []
            for member in self._members.values():
                way = member.way(self._reachable)
                found.append((member, way or next(iter(member.offers), None), way is not None))
            return found
