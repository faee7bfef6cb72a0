"""Where a monitor begins: it registers before it loads its parts, so that the next run knows who has the port."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from claude_mpm.config import Config
from claude_mpm.monitor.info import instance_info
from claude_mpm.monitor.run_info import RunInfo
from claude_mpm.system import heap, instances, state_dir
from claude_mpm.system.signals import Signals


def beside_child(
    config: Config, run: RunInfo, sockets: Sequence[socket.socket], front_pid: int, control_fd: int, data_fd: int
) -> None:
    """Watch the child of the front `front_pid` until it ends, the front dies, or we are told to stop. Blocks."""
    with _registered(config, run, sockets, pid=front_pid, watched_pid=front_pid) as (run, info, signals):
        from claude_mpm.monitor import watch

        watch.beside_child(config, run, info, sockets, signals, control_fd, data_fd)


def beside_exec(
    config: Config, run: RunInfo, sockets: Sequence[socket.socket], front_pid: int, control_fd: int
) -> None:
    """Watch the process `front_pid`, which becomes Claude, until it ends or we are told to stop. Blocks."""
    with _registered(config, run, sockets, pid=os.getpid(), watched_pid=front_pid) as (run, info, signals):
        from claude_mpm.monitor import watch

        watch.beside_exec(config, run, info, sockets, signals, front_pid, control_fd)


def beside_process(config: Config, run: RunInfo, sockets: Sequence[socket.socket], pid: int) -> bool:
    """Watch a Claude that already runs. Returns whether it ended (False: we were told to stop). Blocks."""
    with _registered(config, run, sockets, pid=os.getpid(), watched_pid=pid) as (run, info, signals):
        from claude_mpm.monitor import watch

        return watch.beside_process(config, run, info, sockets, signals, pid)


@contextmanager
def _registered(
    config: Config, run: RunInfo, sockets: Sequence[socket.socket], pid: int, watched_pid: int
) -> Iterator[tuple[RunInfo, Mapping[str, Any], Signals]]:
    """The run, `instance_info`, which is registered meanwhile, and our signals. At the end, what was made is removed.

    Signals are collected from here on: while modules load, Python would lose a Ctrl-C in one of its own callbacks.
    """
    info = instance_info(config, sockets[0].getsockname()[1], run, pid)
    try:
        with Signals() as signals:
            try:
                instances.register(config.state_dir, info, config.token, watched_pid)
                if run.spool is not None:
                    state_dir.own_spool(run.spool)
            except OSError as error:
                trouble = f"Other instances and tools do not find this one: {error}"
                run = replace(run, troubles=(*run.troubles, ("registry", trouble)))
            heap.tune_heap()
            yield run, info, signals
    finally:
        instances.unregister(config.state_dir, info["instance_id"])
        for directory in run.temporary:
            shutil.rmtree(directory, ignore_errors=True)
