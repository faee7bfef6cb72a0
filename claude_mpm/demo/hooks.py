"""Runs the command hooks that `--settings` names, one after the other, on a thread of its own."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_WAITING = 2000  # hooks in the queue; the whole story has about 200
DRAIN = 10.0  # seconds that the end of the session waits for hooks that have not run yet
HOOK_TIME = 60.0  # seconds; a hook's time limit when the settings name none


def load(settings: str | None) -> dict[str, list[Any]]:
    """The `hooks` of a settings file, or of inline JSON.

    Raises:
        ValueError: there is no such file, or its hooks have the wrong shape; the text is for the user.
    """
    if not settings:
        return {}
    try:
        text = settings if settings.lstrip().startswith("{") else Path(settings).read_text(encoding="utf-8")
        hooks = dict(json.loads(text).get("hooks") or {})
        for event in hooks:
            commands(hooks, {"hook_event_name": event})
        return hooks
    except (OSError, ValueError, AttributeError, TypeError, KeyError, re.error):
        raise ValueError(f"Invalid settings: {settings[:80]}") from None


def commands(hooks: Mapping[str, list[Any]], payload: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The commands that want `payload`, each with its time limit in seconds."""
    wanted: list[tuple[str, float]] = []
    for group in hooks.get(payload["hook_event_name"], ()):
        matcher = group.get("matcher") or "*"
        meant = matcher == "*" or re.fullmatch(matcher, payload.get("tool_name", ""))
        given = [hook for hook in group.get("hooks", ()) if hook.get("type") == "command"]
        lines = [(str(hook["command"]), float(hook.get("timeout", HOOK_TIME))) for hook in given]
        wanted += lines if meant else []
    return wanted


class Hooks:
    """A queue of hook payloads and the thread `demo-hooks` that runs their commands.

    start(), put() and stop() are called from one thread.
    """

    def __init__(self, hooks: Mapping[str, list[Any]], cwd: str, environment: Mapping[str, str]) -> None:
        self._hooks, self._cwd, self._environment = hooks, cwd, {**os.environ, **environment}
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(MAX_WAITING)
        self._child: subprocess.Popen[bytes] | None = None
        self._late = threading.Event()  # set: drop what is still in the queue
        self._thread = threading.Thread(target=self._run_all, name="demo-hooks")

    def start(self) -> None:
        self._thread.start()

    def put(self, payload: Mapping[str, Any]) -> None:
        """Queue the hooks that want `payload`. Blocks while MAX_WAITING are queued."""
        if commands(self._hooks, payload):
            self._queue.put(payload)

    def stop(self) -> None:
        """Let the queued hooks run for at most DRAIN seconds, then kill the running one and join the thread."""
        self._queue.put(None)
        self._thread.join(DRAIN)
        self._late.set()
        if (child := self._child) is not None:
            _kill(child)
        self._thread.join()

    def _run_all(self) -> None:
        while (payload := self._queue.get()) is not None:
            for command, seconds in commands(self._hooks, payload):
                if not self._late.is_set():
                    self._run(command, seconds, json.dumps(payload).encode())

    def _run(self, command: str, seconds: float, payload: bytes) -> None:
        quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
        try:
            child = subprocess.Popen(
                command,
                shell=True,
                stdin=pipe,
                stdout=quiet,
                stderr=quiet,
                start_new_session=True,
                cwd=self._cwd,
                env=self._environment,
            )
        except (
            OSError
        ):  # the directory is gone, or the system has no process left: Claude goes on without the hook, too
            return
        self._child = child
        try:
            child.communicate(payload, timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(child)
            child.wait()
        self._child = None


def _kill(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
