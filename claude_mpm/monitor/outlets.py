"""What carries a session beyond this machine: each part is loaded by those who ask for it, and follows the log by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from claude_mpm.config import Config
from claude_mpm.feed.log import Log

NOTIFY_TIME = 2.0  # seconds; for the notification of the end


def start_notifier(config: Config, events: Log, info: Mapping[str, Any], parts: ExitStack) -> None:
    """Post to `config.notify_url`. Stopped after the server, by when it has usually sent the end: nobody waits for it."""
    from claude_mpm.fleet.notify.notifier import Notifier  # loads TLS and HTTP

    assert config.notify_url is not None
    notifier = Notifier(events, config.notify_url, lambda instance_id: info, since=0)
    notifier.start()
    parts.callback(notifier.join, NOTIFY_TIME)
    parts.callback(notifier.stop)


def start_publishing(
    config: Config,
    events: Log,
    info: Mapping[str, Any],
    status: Callable[[], Mapping[str, Any]],
    demand: Callable[[frozenset[str]], None],
    parts: ExitStack,
) -> None:
    """Write to the Redis `config.publish`.

    Args:
        status: makes the data of `system.status`; called in the publisher's thread.
        demand: is told which types hubs look at.
    """
    from claude_mpm.monitor.publishing import Publishing

    publishing = Publishing(config, events, info, status, demand)
    publishing.start()
    parts.callback(publishing.stop)
