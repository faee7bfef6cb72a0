"""Which events a reader wants: of which types, and of each type from where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from claude_mpm.feed.entry import Entry, Producer


class Scope(NamedTuple):
    """Where wanted events come from: one instance, all of one machine, or everywhere. At most one of the two is set."""

    instance_id: str | None = None
    machine: str | None = None

    def covers(self, producer: Producer) -> bool:
        """Whether the producer's events are meant."""
        if self.instance_id is not None:
            return self.instance_id == producer.instance_id
        return self.machine is None or self.machine == producer.machine


EVERYWHERE = Scope()


class Coverage:
    """For types and scopes, the seq after which a reader gets, or has got, all events. Belongs to one thread."""

    def __init__(self, seqs: Mapping[str, Mapping[Scope, int]] | None = None) -> None:
        self._seqs: dict[str, dict[Scope, int]] = {kind: dict(scopes) for kind, scopes in (seqs or {}).items()}

    def __bool__(self) -> bool:
        return bool(self._seqs)

    def copy(self) -> Coverage:
        """One that stays as it is."""
        return Coverage(self._seqs)

    def get(self, kind: str, scope: Scope, default: int) -> int:
        """The seq after which everything of this type and scope is covered by this scope or by EVERYWHERE."""
        scopes = self._seqs.get(kind, {})
        return min(scopes.get(scope, default), scopes.get(EVERYWHERE, default))

    def put(self, kind: str, scope: Scope, seq: int) -> None:
        """Cover what comes after `seq`."""
        self._seqs.setdefault(kind, {})[scope] = seq

    def keep(self, wanted: Iterable[tuple[str, Scope]]) -> None:
        """Forget everything but these."""
        kept = Coverage()
        for kind, scope in wanted:
            if scope in self._seqs.get(kind, {}):
                kept.put(kind, scope, self._seqs[kind][scope])
        self._seqs = kept._seqs

    def lowest(self) -> dict[str, int]:
        """For each type, the lowest seq of its scopes."""
        return {kind: min(scopes.values()) for kind, scopes in self._seqs.items()}

    @property
    def scoped(self) -> bool:
        """Whether the type of an event does not decide alone."""
        return any(scope != EVERYWHERE for scopes in self._seqs.values() for scope in scopes)

    def covers(self, entry: Entry) -> bool:
        """Whether the reader gets this entry."""
        scopes = self._seqs.get(entry.type, {})
        return any(seq < entry.seq and scope.covers(entry.producer) for scope, seq in scopes.items())

    def __iter__(self) -> Iterator[tuple[str, Scope]]:
        return ((kind, scope) for kind, scopes in self._seqs.items() for scope in scopes)


class Selection:
    """An immutable set of types, each with the scopes it is wanted from. Equal ones may share what is made for them."""

    def __init__(self, wanted: Iterable[tuple[str, Scope]] = ()) -> None:
        self._wanted = frozenset(wanted)
        self._hash = hash(self._wanted)
        self.types = frozenset(kind for kind, _ in self._wanted)
        self._everywhere = frozenset(kind for kind, scope in self._wanted if scope == EVERYWHERE)
        self._instances = frozenset((kind, scope.instance_id) for kind, scope in self._wanted)
        self._machines = frozenset((kind, scope.machine) for kind, scope in self._wanted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selection) and self._wanted == other._wanted

    def __hash__(self) -> int:
        return self._hash

    def __or__(self, other: Selection) -> Selection:
        return Selection(self._wanted | other._wanted)

    def only(self, types: frozenset[str]) -> Selection:
        """The part of it that concerns these types."""
        return Selection((kind, scope) for kind, scope in self._wanted if kind in types)

    @property
    def scoped(self) -> bool:
        """Whether the type of an event does not decide alone."""
        return self._everywhere != self.types

    def types_of(self, producer: Producer) -> frozenset[str]:
        """The types that are wanted from one producer."""
        return frozenset(kind for kind, scope in self._wanted if scope.covers(producer))

    def accepts(self, entry: Entry) -> bool:
        """Whether the entry is wanted."""
        kind, (instance_id, machine) = entry.type, entry.producer
        return kind in self._everywhere or (kind, instance_id) in self._instances or (kind, machine) in self._machines


NOTHING = Selection()
