"""The keys in Redis, their bounds, and how long they live. docs/fleet.md describes them. Pure."""

from __future__ import annotations

import zlib

from claude_mpm.feed import event as ev
from claude_mpm.fleet.source import ON_REQUEST

PUBLISHED = frozenset(ev.EVENT_TYPES) - ON_REQUEST - {ev.SYSTEM_STATUS, ev.SYSTEM_GAP}  # in `events:N`
PREFIX = "claude-mpm:"
SHARDS = 16  # streams that all instances share: one XREAD over a stream per instance wakes in 68 ms at 20,000
SHARD_EVENTS = 100_000  # MAXLEN of each, about 100 MB; at 600 events a second it is the last three minutes
OUTPUT_BYTES = 4 * 1024 * 1024  # of output:ID, which MAXLEN can only approximate
COMMANDS = 100  # MAXLEN of commands:ID
REPLIES = 64  # MAXLEN of replies:HUB

RECORD_TIME = 15  # seconds; an instance that does not renew its record in this time is gone
RENEWAL = 5.0  # seconds between two renewals
WANT_TIME = 15  # seconds that a hub's wish for output or pictures holds without being renewed
SHORT_TIME = 60  # seconds; output, commands and replies are gone after that long without a new one
LOOK_BACK = 60.0  # seconds of events that a hub reads when it starts, and that a publisher repeats after a loss

INSTANCES = f"{PREFIX}instances"  # sorted set: instance id, scored with its expiry in seconds by Redis's own clock


def shard(instance_id: str) -> int:
    return zlib.crc32(instance_id.encode()) % SHARDS


def events(number: int) -> str:
    """The stream of one shard."""
    return f"{PREFIX}events:{number}"


def record(instance_id: str) -> str:
    """The instance's `system.status`."""
    return f"{PREFIX}instance:{instance_id}"


def want(instance_id: str) -> str:
    """Sorted set: the event types that hubs want beside the usual ones, scored with the time until they do."""
    return f"{PREFIX}want:{instance_id}"


def output(instance_id: str) -> str:
    """The stream of what is wanted so."""
    return f"{PREFIX}output:{instance_id}"


def commands(instance_id: str) -> str:
    return f"{PREFIX}commands:{instance_id}"


def replies(hub_id: str) -> str:
    return f"{PREFIX}replies:{hub_id}"
