"""The Redis to publish to, read before Claude takes the screen. Loads nothing that the front does not need."""

from __future__ import annotations

from collections.abc import Mapping

from claude_mpm.fleet.redis.connection import require_redis
from claude_mpm.fleet.redis.url import RedisUrl, parse_url
from claude_mpm.fleet.redis.url import password_in as password_in


def redis_url(text: str, environ: Mapping[str, str]) -> RedisUrl:
    """Read the URL; the password may be in CLAUDE_MPM_REDIS_PASSWORD instead.

    Raises:
        UsageError: it cannot be used, or redis-py is not installed.
    """
    url = parse_url(text, environ)
    require_redis()
    return url
