"""This user's instances on this machine, as a source: found in the registry, each followed as a client."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from claude_mpm.config import Config
from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.fleet.follower import Follower
from claude_mpm.fleet.frames import event_frame, frame
from claude_mpm.fleet.source import Frame
from claude_mpm.system import instances

LOOK_INTERVAL = 1.0  # seconds between two looks at the registry
LEAVE_TIME = 10.0  # seconds an instance that is registered no more has for its last events; it needs two
PASSED_OVER = ("hub", "overview")  # kinds of instances that have no session of their own

log = logging.getLogger(__name__)


class LocalSource:
    """The instances of this user, see Source. `deliver` may block: the instance it comes from is then pushed back.

    Args:
        state_dir: where the registry is; None for the user's own.
        since: for instances that are known already, the newest seq that was delivered.
    """

    name = "local"

    def __init__(self, state_dir: Path | None = None, since: Mapping[str, int] | None = None) -> None:
        self._state_dir = state_dir or Config().state_dir
        self._since = dict(since or {})
        self._machine = socket.gethostname()
        self._receive: Callable[[Frame], None] = lambda frame: None
        self._followers: dict[str, Follower] = {}
        self._missing_since: dict[str, float] = {}  # monotonic; instances that are registered no more
        self._listed: list[dict[str, Any]] | None = None
        self._wanted: Mapping[str, frozenset[str]] = {}
        self._attended = False
        self._lock = threading.Lock()  # guards `_followers` against send(); only the watcher changes it
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fleet-local")

    def start(self, deliver: Callable[[Frame], None]) -> None:
        self._receive = deliver
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def join(self, timeout: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        with self._lock:
            follower = self._followers.get(str(message.get("instance_id")))
        if follower is None:
            raise ServerUnavailable("there is no such session on this machine")
        follower.send(message, trusted)

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool = False) -> None:
        self._wanted, self._attended = dict(wanted), attended
        self._wake.set()

    # --- the watcher's thread ---

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._look()
                self._wake.wait(LOOK_INTERVAL)
                self._wake.clear()
        except Exception as error:  # the top of a thread
            log.exception("watching the registry failed")
            sentence = f"sessions of this machine are not watched any more: {type(error).__name__}: {error}"
            self._deliver(event_frame(ev.system_error(sentence, "fleet", hint="restart claude-mpm hub")))
        finally:
            for follower in self._followers.values():
                follower.stop()
            for follower in self._followers.values():
                follower.join(threading.TIMEOUT_MAX)

    def _look(self) -> None:
        """Follow who is new, let go who has ended, and say what is wanted."""
        registered = {
            info["instance_id"]: info for info in instances.live(self._state_dir) if info.get("kind") not in PASSED_OVER
        }
        kept = {name: follower for name, follower in self._followers.items() if not follower.has_ended}
        for name in (self._followers.keys() - kept.keys()) & registered.keys():  # it ended too early: it goes on
            if (since := self._followers[name].since) is not None:
                self._since[name] = since
        for name in self._followers.keys() - kept.keys():
            self._followers[name].join(threading.TIMEOUT_MAX)
        new = {name: self._follower(info) for name, info in registered.items() if name not in kept}
        with self._lock:
            self._followers = {**kept, **new}
        self._note_missing(registered)
        self._list()
        for follower in new.values():
            follower.start()
        for name, follower in self._followers.items():
            follower.want(self._wanted.get(name, frozenset()), self._attended)

    def _follower(self, info: Mapping[str, Any]) -> Follower:
        def token() -> str | None:
            return instances.token_for(info["port"], self._state_dir)

        return Follower(info, token, self._since.pop(info["instance_id"], None), self._deliver, self._wake.set)

    def _note_missing(self, registered: Mapping[str, Any]) -> None:
        """An instance leaves the registry before its last events are out, so its follower goes on for a while."""
        now = time.monotonic()
        missing = [name for name in self._followers if name not in registered]
        self._missing_since = {name: self._missing_since.get(name, now) for name in missing}
        for name, follower in self._followers.items():
            was_registered, follower.is_registered = follower.is_registered, name in registered
            if was_registered and not follower.is_registered:
                follower.hurry()
            if now - self._missing_since.get(name, now) > LEAVE_TIME:
                follower.stop()

    def _list(self) -> None:
        """Deliver the list of instances if it has changed."""
        listed = sorted(
            (self._placed(follower.info) for follower in self._followers.values()),
            key=lambda info: (str(info["started_at"]), info["instance_id"]),
        )
        if listed != self._listed:
            self._listed = listed
            self._deliver(frame("instances", {"instances": listed}))

    # --- any thread ---

    def _deliver(self, message: Frame) -> None:
        """Deliver a frame; where it describes an instance, say on which machine that runs."""
        info = message["data"].get("instance_info")
        if isinstance(info, dict):
            message = {**message, "data": {**message["data"], "instance_info": self._placed(info)}}
        self._receive(message)

    def _placed(self, info: Mapping[str, Any]) -> dict[str, Any]:
        return {"machine": self._machine, **info}
