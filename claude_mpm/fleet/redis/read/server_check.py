"""Whether a Redis is set up so that it may lose what instances wrote."""

from __future__ import annotations

from claude_mpm.fleet.redis.connection import Connection

EVICTS = "Redis may drop events when its memory is full: its maxmemory-policy is %s"
EVICTS_HINT = "set it with: redis-cli CONFIG SET maxmemory-policy noeviction"


def server_warning(connection: Connection) -> tuple[str, str] | None:
    """What to tell the user of this Redis, and what to do about it. None: all is well, or we may not ask.

    Raises:
        RedisUnavailable: the connection was lost.
    """
    answer = connection.attempt("INFO", "memory")
    if not isinstance(answer, bytes):
        return None
    told = dict(line.split(":", 1) for line in answer.decode("utf-8", "replace").splitlines() if ":" in line)
    policy = told.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or told.get("maxmemory", "0") == "0":
        return None
    return EVICTS % policy[:40], EVICTS_HINT
