"""Publishing a session to a Redis: the parts that do it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from claude_mpm.config import Config
from claude_mpm.feed.log import Log
from claude_mpm.fleet.redis.publish.commands import CommandReader
from claude_mpm.fleet.redis.publish.publisher import Publisher
from claude_mpm.monitor.redis_url import redis_url
from claude_mpm.system.sockets import reached_at

FLUSH_TIME = 1.0  # seconds; for sending what the log still holds


class Publishing:
    """The publisher, and the reader of hubs' commands. Main thread only.

    Args:
        info: `instance_info`.
        status, demand: as Publisher's.
    """

    def __init__(
        self,
        config: Config,
        events: Log,
        info: Mapping[str, Any],
        status: Callable[[], Mapping[str, Any]],
        demand: Callable[[frozenset[str]], None],
    ) -> None:
        assert config.publish is not None
        url = redis_url(config.publish, os.environ)
        self._publisher = Publisher(events, status, demand, url)
        where = (reached_at(info["host"]), int(info["port"]), config.token)
        self._commands = CommandReader(url, events.instance_id, where, self._publisher.look_at_wants)

    def start(self) -> None:
        self._publisher.start()
        self._commands.start()

    def stop(self) -> None:
        """Take no more commands, and send what the log holds by now. Blocks for twice FLUSH_TIME at most."""
        self._commands.stop()
        self._publisher.stop()
        self._publisher.join(FLUSH_TIME)
        self._commands.join(FLUSH_TIME)
