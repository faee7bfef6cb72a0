"""Serves a hub until it is told to stop."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from claude_mpm.archive.past import Past
from claude_mpm.config import Config
from claude_mpm.fleet.hub.hub import Hub
from claude_mpm.fleet.source import Source
from claude_mpm.monitor.info import instance_info
from claude_mpm.monitor.run_info import RunInfo
from claude_mpm.monitor.serving import registered, wait_until_told
from claude_mpm.system import heap
from claude_mpm.system.signals import Signals


def hub_info(config: Config, port: int, config_dir: Path) -> dict[str, Any]:
    """The hub's own `instance_info`."""
    capabilities = ["hub", *(["control"] if config.control else [])]
    info = instance_info(config, port, RunInfo(config_dir, Path.cwd()), os.getpid())
    return info | {"kind": "hub", "git_branch": None, "capabilities": capabilities}


def serve(
    config: Config, info: dict[str, Any], config_dir: Path, sockets: Sequence[socket.socket], sources: Sequence[Source]
) -> None:
    """Serve the instances of all sources until Ctrl-C. Main thread only; blocks.

    Args:
        info: as hub_info() made it.
        config_dir: Claude's own directory, for the earlier sessions of this machine.
    """
    heap.tune_heap()
    with ExitStack() as undo:
        signals = undo.enter_context(Signals())
        undo.enter_context(registered(config, info))
        past = Past(config_dir, config.recordings_dir, dict)
        undo.callback(past.close)
        hub = Hub(config, info, sockets, sources, past)
        undo.callback(hub.stop)
        hub.start()
        wait_until_told(signals)
