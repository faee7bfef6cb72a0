"""The instances in a Redis, as one hub knows them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from claude_mpm.fleet.redis import keys
from claude_mpm.fleet.redis.read.sequence import Sequence
from claude_mpm.fleet.source import FIRST_EVENTS
from claude_mpm.system import json_text

MAX_INSTANCES = 20_000  # that one hub follows
MAX_RECORD = 2 * 1024 * 1024  # bytes
REMEMBERED = 10_000  # instances that have gone: one that comes back goes on where it was
_NEEDED = {"port": int, "host": str, "working_dir": str}


@dataclass
class Instance:
    """An instance, and the place reached in its events.

    Attributes:
        info: `instance_info`.
        published: the number of the newest event in Redis, as its record said when it was new to us.
        newest: the greatest number delivered, of any type.
        output: the place reached in output:ID; None before its first entry.
    """

    instance_id: str
    info: dict[str, Any]
    published: int
    sequence: Sequence
    newest: int = 0
    output: Sequence | None = None
    shard: int = field(init=False)

    def __post_init__(self) -> None:
        self.shard = keys.shard(self.instance_id)


class Roster:
    """The instances that are there. Belongs to one thread; others may ask whether one is there, and for the list."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._gone: OrderedDict[str, Instance] = OrderedDict()

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._instances

    def get(self, instance_id: str) -> Instance | None:
        return self._instances.get(instance_id)

    def ids(self) -> set[str]:
        return set(self._instances)

    def infos(self) -> list[dict[str, Any]]:
        """`instance_info` of each, the oldest first. Any thread."""
        infos = [instance.info for instance in list(self._instances.values())]  # another thread may add one
        return sorted(infos, key=lambda info: str(info.get("started_at")))

    def add(self, instance_id: str, frame: dict[str, Any], published: int) -> Instance | None:
        """Note an instance by its record. None when there are too many."""
        if len(self._instances) >= MAX_INSTANCES:
            return None
        instance = self._gone.pop(instance_id, None)
        if instance is None:
            first = max(published - FIRST_EVENTS + 1, 0)
            instance = Instance(instance_id, {}, published, Sequence(first))
        instance.info, instance.published = frame["data"]["instance_info"], published
        self._instances[instance_id] = instance
        return instance

    def remove(self, instance_id: str) -> None:
        instance = self._instances.pop(instance_id, None)
        if instance is not None:
            self._gone[instance_id] = instance
            if len(self._gone) > REMEMBERED:
                self._gone.popitem(last=False)


def read_record(text: bytes | None, instance_id: str) -> tuple[dict[str, Any], int] | None:
    """The `system.status` in a record, and how far the instance has published. None: gone, or not a record."""
    if text is None or len(text) > MAX_RECORD:
        return None
    try:
        frame = json_text.loads(text)
        published = frame.pop("published")
        info = frame["data"]["instance_info"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    is_record = (
        frame.get("type") == "system.status"
        and frame.get("instance_id") == instance_id
        and isinstance(published, int)
        and published >= 0
        and isinstance(info, dict)
        and info.get("instance_id") == instance_id
        and all(isinstance(info.get(name), kind) for name, kind in _NEEDED.items())
    )
    return (frame, published) if is_record else None
