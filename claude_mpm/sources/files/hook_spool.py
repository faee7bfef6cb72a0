"""The directory into which Claude's hooks put their payloads, one file each; see launch/command/hook_settings.py."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from claude_mpm.sources.files.transcripts import names_in
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.system.files import read_file
from claude_mpm.system.state_dir import HOOK_SUFFIX

log = logging.getLogger(__name__)


class HookSpool:
    """Takes payloads out of the spool in the order in which the hooks ran. For the file-reader only.

    Args:
        directory: the private directory the hooks write to.
        on_payload: gets a payload and the time its hook ran, in seconds since the epoch; must not raise.
        max_bytes: a larger payload is skipped.
    """

    def __init__(
        self, watcher: Watcher, directory: Path, on_payload: Callable[[bytes, float], None], max_bytes: int
    ) -> None:
        self._watcher = watcher
        self._directory = directory
        self._on_payload = on_payload
        self._max_bytes = max_bytes

    def start(self) -> None:
        """Begin to take payloads; those that wait already come first."""
        self._watcher.watch(self._directory, self._changed)

    def stop(self) -> None:
        """Take nothing any more."""
        self._watcher.unwatch(self._directory, self._changed)

    def read_everything(self) -> None:
        """Take all that waits now."""
        waiting = []
        for name in names_in(self._directory):
            if name.endswith(HOOK_SUFFIX):
                try:
                    waiting.append((os.stat(self._directory / name).st_mtime_ns, len(name), name))
                except OSError:
                    continue
        for mtime_ns, _, name in sorted(waiting):  # of the same instant, the one with the smaller pid is older
            payload = self._take(self._directory / name)
            if payload is not None:
                self._on_payload(payload, mtime_ns / 1e9)

    def _changed(self, names: frozenset[str] | None) -> None:
        self.read_everything()

    def _take(self, path: Path) -> bytes | None:
        """Read and remove one payload; what cannot be removed is not used, or it would be told again and again."""
        payload = None
        try:
            payload, _ = read_file(path, self._max_bytes)
        except (OSError, ValueError) as error:
            log.warning("a hook's payload was skipped: %s: %s", path, error)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a hook's payload could not be removed and was skipped: %s", error)
            return None
        return payload
