"""A hub: the sources, what they have, and the server that shows it as one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.feed.selection import NOTHING, Selection
from claude_mpm.fleet.hub.relay import Relay
from claude_mpm.fleet.hub.requests import Requests
from claude_mpm.fleet.hub.roster import Roster
from claude_mpm.fleet.notify.notifier import Notifier
from claude_mpm.fleet.source import ON_REQUEST, Source
from claude_mpm.server.commands.session_view import Past, SessionView
from claude_mpm.server.listener import Server

LOG_EVENTS = 100_000  # kept for clients that reconnect; what is older, the instances themselves have
LOG_BYTES = 64 * 1024 * 1024  # memory they may take
SERVER_TIME = 2.0  # seconds; for clients to take their last events
NOTIFY_TIME = 1.0  # seconds; for notifications that are under way
SOURCE_TIME = 5.0  # seconds; for a source to end


class Hub:
    """Serves the instances of its sources. start() and stop() belong to one thread; the rest is called by the parts.

    Args:
        config: what the user chose: the token, control, limits.
        info: the hub's own `instance_info`.
        sockets: listening; the server closes them.
        sources: in the order in which they are preferred for an instance that several have.
        past: the earlier sessions of this machine.
    """

    def __init__(
        self,
        config: Config,
        info: Mapping[str, Any],
        sockets: Sequence[socket.socket],
        sources: Sequence[Source],
        past: Past | None = None,
    ) -> None:
        self.log = Log(
            info["instance_id"], config.limits._replace(structured_events=LOG_EVENTS, structured_bytes=LOG_BYTES)
        )
        self._info = info
        self._control = config.control
        self._sources = list(sources)
        self._started = time.monotonic()
        self._roster = Roster(self._sources)
        self._requests = Requests(self._roster, config.control)
        self._relay = Relay(self._roster, self.log, self._requests, self._tell_sources)
        self._demand_lock = threading.Lock()  # guards the next two, and keeps what sources are told in order
        self._demand = NOTHING
        self._attended = False
        self._server = Server(sockets, self.log, config, self._view(past))
        self._notifier = Notifier(self.log, config.notify_url, self._roster.info) if config.notify_url else None

    def _view(self, past: Past | None) -> SessionView:
        return SessionView(
            status=self.status,
            instances=self._roster.listing,
            screen=lambda: None,
            demand=self._demanded,
            past=past,
            router=self._requests,
            on_demand=ON_REQUEST,
            attended=self._is_attended,
        )

    def start(self) -> None:
        """Serve, and begin to follow the sources."""
        self.log.append(
            ev.claude_status("stopped", origin=Origin("monitor"), message="A hub watches no session of its own.")
        )
        self._requests.start()
        self._server.start()
        if self._notifier is not None:
            self._notifier.start()
        for source in self._sources:
            source.start(partial(self._relay.deliver, source))

    def stop(self) -> None:
        """End everything, the sources first. Blocks for a few seconds at most."""
        for source in self._sources:
            source.stop()
        self._requests.stop()
        self._server.stop()
        self._server.join(SERVER_TIME)
        deadline = time.monotonic() + SOURCE_TIME
        for source in self._sources:
            source.join(max(deadline - time.monotonic(), 0.1))
        self._requests.join(SOURCE_TIME)
        if self._notifier is not None:
            self._notifier.stop()
            self._notifier.join(NOTIFY_TIME)

    def status(self) -> dict[str, Any]:
        """The data of the hub's `system.status`."""
        return self.log.snapshot() | {
            "websocket_port": self._info["port"],
            "instance_info": self._info,
            "launch_method": "unknown",
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "fleet": self._roster.fleet(),
        }

    def _demanded(self, selection: Selection) -> None:
        with self._demand_lock:
            self._demand = selection
        self._tell_sources()

    def _is_attended(self, present: bool) -> None:
        with self._demand_lock:
            self._attended = present and self._control
        self._tell_sources()

    def _tell_sources(self) -> None:
        """Tell every source which of its instances somebody looks at. Any thread."""
        with self._demand_lock:
            for source, producers in self._roster.producers().items():
                wanted = {each.instance_id: self._demand.types_of(each) for each in producers}
                source.want({instance_id: types for instance_id, types in wanted.items() if types}, self._attended)
