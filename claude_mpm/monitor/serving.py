"""What serves without a Claude beside it, a replay or a hub, does while it runs."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from claude_mpm.config import Config
from claude_mpm.system import instances
from claude_mpm.system.poll import wait_ready
from claude_mpm.system.signals import Signals

TOLD_TO_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

log = logging.getLogger(__name__)


@contextmanager
def registered(config: Config, info: Mapping[str, Any]) -> Iterator[None]:
    """Other instances and tools find this one meanwhile."""
    try:
        instances.register(config.state_dir, info, config.token)
    except OSError as error:
        log.warning("other instances and tools do not find this one: %s", error)
    try:
        yield
    finally:
        instances.unregister(config.state_dir, info["instance_id"])


def wait_until_told(signals: Signals) -> None:
    """Block until Ctrl-C, or until somebody asks us to end."""
    while not signals.read() & TOLD_TO_STOP:
        wait_ready([signals.fd])
