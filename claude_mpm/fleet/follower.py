"""Follows one instance as its client, through interruptions, from a first look to the end of its last event."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from claude_mpm.client import Client, ConnectionFailed, ProtocolError
from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.fleet.commands import refusal
from claude_mpm.fleet.frames import event_frame, frame
from claude_mpm.fleet.source import FIRST_EVENTS, ON_REQUEST, Frame
from claude_mpm.system.backoff import Backoff
from claude_mpm.system.sockets import reached_at

RETRY_FIRST, RETRY_MOST = 0.25, 5.0  # seconds between attempts to connect: doubled each time, up to the second
QUIET_FAILURES = 3  # attempts in a row; an instance that starts or ends refuses one or two
QUEUE_CHARS = 1024 * 1024  # of JSON text received and not delivered; a source may follow hundreds of instances

log = logging.getLogger(__name__)


def _always_followed() -> list[str]:
    """Patterns of all types that nobody has to ask for, later ones of the same families included."""
    families = dict.fromkeys(kind.partition(".")[0] for kind in ev.EVENT_TYPES)
    divided = {kind.partition(".")[0] for kind in ON_REQUEST}
    whole = [f"{family}.*" for family in families if family not in divided]
    return whole + [k for k in ev.EVENT_TYPES if k.partition(".")[0] in divided and k not in ON_REQUEST]


CHANNELS = _always_followed()


class Follower:
    """One instance. Starts with start(); ends after stop(), or once it is not registered and its connection is over.

    Args:
        info: `instance_info` of the registry.
        token: returns the instance's token, if it has one.
        since: the seq after which to go on; None for a first look.
        deliver: takes each frame, in the follower's thread; it may block, and the instance is then pushed back.
        changed: called by the follower's thread when it has connected, has lost the connection, or has ended.

    Attributes:
        since: the seq of the newest event delivered; None before the first look.
        is_registered: set by the owner.
        has_ended: whether the last frame was delivered; the thread is about to end, or has.
    """

    def __init__(
        self,
        info: Mapping[str, Any],
        token: Callable[[], str | None],
        since: int | None,
        deliver: Callable[[Frame], None],
        changed: Callable[[], None],
    ) -> None:
        self.info = info
        self.is_registered = True
        self.has_ended = False
        self.instance_id: str = info["instance_id"]
        self._port: int = info["port"]
        self.since = since
        self._token, self._deliver, self._changed = token, deliver, changed
        self._wanted: frozenset[str] = frozenset()
        self._subscribed: frozenset[str] | None = None  # of ON_REQUEST; None while not subscribed to anything
        self._attended = self._attended_there = False  # what is to be said, and what the instance was told
        self._lock = threading.Lock()  # guards the four above, and `_client`
        self._client: Client | None = None  # connected
        self._connecting: Client | None = None  # the same or, before, the one that is to become it
        self._failures = 0  # attempts in a row
        self._told = ""  # why the last of them failed, if it was told
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"follow-{self.instance_id[:8]}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the connection. Idempotent, any thread. Blocks for a second at most, if the instance does not answer."""
        self._stopping = True
        self._wake.set()
        connecting = self._connecting
        if connecting is not None:
            connecting.close()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end. Returns False when `timeout` seconds passed first."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def hurry(self) -> None:
        """Look at once at what would be looked at after a pause: the owner has changed `is_registered`."""
        self._wake.set()

    # --- the owner's thread ---

    def want(self, wanted: frozenset[str], attended: bool) -> None:
        """Follow these types of ON_REQUEST from now on, and no others, and say whether somebody attends.

        The owner's thread only: calls must not cross.
        """
        with self._lock:
            self._wanted, self._attended = wanted, attended
            client = self._client
            if client is None or self._subscribed is None:
                return
            more, less = wanted - self._subscribed, self._subscribed - wanted
            has_changed = attended != self._attended_there
            self._subscribed, self._attended_there = wanted, attended
        try:  # the replies are of no interest
            for command, channels in (("subscribe", more), ("unsubscribe", less)):
                if channels:
                    client.post({"command": command, "channels": sorted(channels)})
            if has_changed:
                client.post({"command": "attend", "present": attended})
        except ServerUnavailable:
            pass  # the next connection begins with them

    # --- any thread ---

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        """As Source.send()."""
        refused = refusal(message, trusted)
        if refused is not None:
            self._deliver(refused)
            return
        with self._lock:
            client = self._client
        if client is None:
            raise ServerUnavailable("the session cannot be reached at the moment")
        client.post(message)

    # --- the follower's thread ---

    def _run(self) -> None:
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        while not self._stopping:
            try:
                self._follow()
                backoff.reset()
                self._failures, self._told = 0, ""
            except (ConnectionFailed, ProtocolError) as error:
                self._note(str(error).partition(";")[0])  # what follows is for whoever wants to start an instance
            except Exception as error:  # a defect of ours, which may pass
                log.exception("following %s failed", self.instance_id)
                self._note(f"{type(error).__name__}: {error}")
            if not self.is_registered:
                break
            self._wake.wait(backoff.next())
            self._wake.clear()
        self.has_ended = True
        self._changed()

    def _note(self, reason: str) -> None:
        """Count an attempt that failed, and tell why if that goes on."""
        self._failures += 1
        if self._failures < QUIET_FAILURES or not self.is_registered or reason == self._told:
            return
        self._told = reason
        name = self.info.get("name") or self.info["working_dir"]
        error = ev.system_error(f"the session {name} cannot be followed: {reason}", "fleet", severity="warning")
        self._deliver(event_frame(error))

    def _follow(self) -> None:
        """Connect, and deliver frames until the connection ends.

        Raises:
            ConnectionFailed: not connected.
            ProtocolError: the instance refused what every instance does.
        """
        host = reached_at(self.info["host"])
        client = self._connecting = Client(self._port, host, self._token(), queue_chars=QUEUE_CHARS, attending=False)
        try:
            client.connect()
            if self._stopping:
                return
            if client.instance_id != self.instance_id:
                raise ServerUnavailable(f"port {self._port} is another session's")
            with self._lock:
                self._client = client
            self._deliver(frame(ev.SYSTEM_STATUS, client.greeting, instance_id=self.instance_id))
            self._subscribe(client)
            for each in client:
                self._pass_on(each)
        finally:
            with self._lock:
                self._client = self._subscribed = None
            client.close()
            self._changed()

    def _subscribe(self, client: Client) -> None:
        """Begin where delivery ended or, at first, with what history() returns."""
        if self.since is None:
            self._look(client.get_history(CHANNELS, FIRST_EVENTS)["events"])
        with self._lock:
            wanted = self._wanted
        client.subscribe([*CHANNELS, *sorted(wanted)], self.since)
        with self._lock:
            self._subscribed, self._attended_there = wanted, False
        self._changed()

    def _look(self, events: Iterable[Frame]) -> None:
        """Deliver the events of the first look; the first of them may not be the first of the session."""
        for event in events:
            if self.since is None and event["seq"] > 1:
                gap = ev.system_gap(1, event["seq"] - 1, {}, "before_start")
                self._deliver(event_frame(gap, instance_id=self.instance_id))
            self._pass_on(event)
        if self.since is None:
            self.since = 0

    def _pass_on(self, each: Frame) -> None:
        """Deliver an event once, a gap, or a reply; the replies to our own commands are left out."""
        seq = each.get("seq")
        if isinstance(seq, int):
            if self.since is not None and seq <= self.since:
                return
            self._deliver(each)
            self.since = seq
        elif "request_id" in each or each["type"] == ev.SYSTEM_GAP:
            self._deliver(each)
