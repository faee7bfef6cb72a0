"""Serves what is over: one session as if it ran, or nothing but the list of earlier ones.

The page and the API are those of a running session; `instance_info.kind` says what this is.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from claude_mpm.archive.past import Past
from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.monitor.info import instance_info
from claude_mpm.monitor.run_info import RunInfo
from claude_mpm.monitor.serving import registered, wait_until_told
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.listener import Server
from claude_mpm.system import instances
from claude_mpm.system.signals import Signals

log = logging.getLogger(__name__)

Read = Callable[[Mapping[str, Any]], Generator[Event, None, None]]  # gets `instance_info` for `session.start`

LOG_EVENTS = 200_000  # events kept of a replayed session; a running one keeps 10,000
LOG_BYTES = 32 * 1024 * 1024  # memory they may take; what is older is read with `get_session`
JOIN_TIME = 2.0  # seconds


def replay(
    config: Config,
    config_dir: Path,
    about: Mapping[str, Any],
    sockets: Sequence[socket.socket],
    read: Read,
    speed: float | None,
) -> None:
    """Serve one session until Ctrl-C. Main thread only; blocks.

    Args:
        about: what is known of the session, for `instance_info`: `working_dir`, `git_branch`, `claude_version`.
        read: its events.
        speed: how much faster than it was the session passes; None for all at once.
    """
    _serve(
        config, config_dir, {**about, "kind": "replay"}, sockets, lambda events, info: Player(events, read(info), speed)
    )


def overview(config: Config, config_dir: Path, sockets: Sequence[socket.socket]) -> None:
    """Serve the page, the instances and the earlier sessions, and no session of its own, until Ctrl-C. Blocks."""

    def nothing(events: Log, info: Mapping[str, Any]) -> Player:
        stopped = ev.claude_status("stopped", origin=Origin("monitor"), message="No session is watched here.")
        return Player(events, (event for event in (stopped,)), None)

    _serve(config, config_dir, {"kind": "overview"}, sockets, nothing)


class Player:
    """Appends a session's events to a log, at once or in time. The thread is named `replay`.

    Args:
        speed: seconds of the session per second; None for all at once.
    """

    def __init__(self, target: Log, events: Generator[Event, None, None], speed: float | None) -> None:
        self._target = target
        self._events = events
        self._speed = speed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Append nothing more. Any thread; does not block; idempotent."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._play()
        except Exception as error:
            log.exception("the replay ended")
            self._target.append(ev.system_error(f"the session could not be read to its end: {error}", "replay"))
        finally:
            self._events.close()

    def _play(self) -> None:
        began, first, latest = time.monotonic(), None, 0.0
        for event in self._events:
            first = event.time if first is None else first
            if self._speed is not None and first is not None:
                latest = max(latest, ((event.time or first) - first) / self._speed)
                self._stopping.wait(max(began + latest - time.monotonic(), 0.0))
            if self._stopping.is_set():
                return
            try:
                self._target.append(event)
            except (KeyError, TypeError, ValueError) as error:  # a recording that somebody has edited
                log.warning("an event was passed over: %s", error)


def _serve(
    config: Config,
    config_dir: Path,
    about: Mapping[str, Any],
    sockets: Sequence[socket.socket],
    player: Callable[[Log, Mapping[str, Any]], Player],
) -> None:
    run = RunInfo(config_dir, Path(str(about.get("working_dir") or Path.cwd())))
    info = {**instance_info(config, sockets[0].getsockname()[1], run, os.getpid()), **about}
    limits = config.limits._replace(structured_events=LOG_EVENTS, structured_bytes=LOG_BYTES)
    events = Log(info["instance_id"], limits)
    started = time.monotonic()
    past = Past(config_dir, config.recordings_dir, dict)

    def status() -> dict[str, Any]:
        uptime = round(time.monotonic() - started, 1)
        served = {"websocket_port": info["port"], "instance_info": info, "launch_method": "unknown"}
        return events.snapshot() | served | {"uptime_seconds": uptime}

    view = SessionView(
        status=status,
        instances=lambda: instances.live(config.state_dir),
        screen=lambda: _newest_screen(events),
        demand=lambda selection: None,
        past=past,
    )
    with ExitStack() as undo:
        signals = undo.enter_context(Signals())
        undo.callback(past.close)
        undo.enter_context(registered(config, info))
        server = Server(sockets, events, config, view)
        undo.callback(server.join, JOIN_TIME)
        undo.callback(server.stop)
        playing = player(events, info)
        server.start()
        undo.callback(playing.join, JOIN_TIME)
        undo.callback(playing.stop)
        playing.start()
        wait_until_told(signals)


def _newest_screen(events: Log) -> Mapping[str, Any] | None:
    entry = events.newest(ev.CLAUDE_SCREEN)
    data: Mapping[str, Any] | None = entry.message()["data"] if entry is not None else None
    return data
