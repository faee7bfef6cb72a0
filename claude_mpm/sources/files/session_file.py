"""Follows sessions/<pid>.json, in which Claude Code 2.1 says what its terminal interface is doing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.system.files import read_file

MAX_BYTES = 1024 * 1024  # a session file has some hundred bytes


class SessionFile:
    """Hands on the content of one process's session file whenever it may have changed. For the file-reader only.

    Only the file of this very pid is opened: beside it there are other processes' files, and secret `.key` files.

    Args:
        config_dir: Claude's own directory (`~/.claude`).
        on_content: gets the whole file, changed or not; must not raise.

    Attributes:
        pid: Claude's process; nothing is read while it is None.
    """

    def __init__(self, watcher: Watcher, config_dir: Path, on_content: Callable[[bytes], None]) -> None:
        self.pid: int | None = None
        self._watcher = watcher
        self._directory = config_dir / "sessions"
        self._on_content = on_content

    def start(self) -> None:
        """Begin to follow the file."""
        self._watcher.watch(self._directory, self._changed)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._watcher.unwatch(self._directory, self._changed)

    def read(self) -> None:
        """Read the file now, if there is one."""
        if self.pid is None:
            return
        try:
            content, _ = read_file(self._directory / f"{self.pid}.json", MAX_BYTES)
        except (OSError, ValueError):
            return
        self._on_content(content)

    def _changed(self, names: frozenset[str] | None) -> None:
        if names is None or f"{self.pid}.json" in names:
            self.read()
