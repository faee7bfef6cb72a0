"""Tells which files changed in watched directories, and runs every callback in one thread, the `file-reader`.

watchdog's own threads only note (directory, name) and wake the file-reader, so that parsing files, and whatever is
built on it, is single-threaded. What has to be observed is worked out again once a second and whenever an event hints
at a change: a directory may be missing at any depth, appear, vanish, or be replaced by another one of the same name.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from claude_mpm.sources.files.observer import ITSELF, POLL, ObservedDirs, system_observer
from claude_mpm.sources.files.watched_dir import OnChange, WatchedDir
from claude_mpm.sources.files.work_queue import Names, Work, WorkQueue

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)

MAX_SENTENCES = 100  # different problems that are told and logged
MAX_SCANS = 8  # scans in a row while directories keep appearing; the scan a second later goes on from there


class Watcher:
    """Calls back, in its thread `file-reader`, when something in a watched directory has changed.

    Args:
        on_error: gets one sentence when watching is impaired, a callback has failed or work was lost; each sentence
            once, in the file-reader.
        poll_interval: seconds between two scans for directories that have appeared or were replaced.
        make_observer: makes the watchdog observer; by default the best one for this system.
    """

    def __init__(
        self,
        on_error: Callable[[str], None],
        poll_interval: float = 1.0,
        *,
        make_observer: Callable[[], BaseObserver] | None = None,
    ) -> None:
        self._on_error = on_error
        self._interval = poll_interval
        self._thread = threading.Thread(target=self._run, name="file-reader")
        self._queue = WorkQueue()
        self._lock = threading.Lock()  # guards replacing `_dirs`
        self._dirs: tuple[WatchedDir, ...] = ()
        self._observed = ObservedDirs(make_observer or system_observer, self._queue.note, self._tell)
        self._seen: set[str] = set()  # directories with events since the previous scan
        self._told: set[str] = set()

    def start(self) -> None:
        """Start the file-reader. Does not block: watchdog is loaded in the new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the file-reader to end; what is still queued is dropped. Any thread, any number of times."""
        self._queue.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the file-reader, and the observer it owns, to end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def stopping(self) -> bool:
        """Whether stop() was called: a callback with a lot left to read should give up. Any thread."""
        return self._queue.closed

    def watch(self, directory: Path, on_change: OnChange) -> None:
        """Call `on_change` with the names that change directly in `directory`. Any thread, at any time.

        None instead of names means "look at everything". That is the first call, which comes soon even if the
        directory does not exist, and every call after the directory appeared, vanished or was replaced, and after
        events were lost.
        """
        watched = WatchedDir(os.path.abspath(directory), on_change)
        with self._lock:
            self._dirs = (*self._dirs, watched)
        self._queue.request_scan()

    def unwatch(self, directory: Path, on_change: OnChange) -> None:
        """Undo the watch() calls with these arguments. Any thread.

        When called in the file-reader, no further call of `on_change` follows; from another thread, one may already
        be under way.
        """
        path = os.path.abspath(directory)
        with self._lock:
            self._dirs = tuple(each for each in self._dirs if (each.path, each.on_change) != (path, on_change))
        self._queue.request_scan()

    def post(self, work: Work) -> bool:
        """Run `work` in the file-reader, in the order of posting. Any thread; does not block.

        Returns False if 10,000 calls wait already, which on_error is told, or if the watcher is stopping.
        """
        return self._queue.post(work)

    def post_after(self, seconds: float, work: Work) -> bool:
        """Run `work` in the file-reader once `seconds` have passed; otherwise like post()."""
        return self._queue.post(work, seconds)

    def post_once(self, work: Work) -> bool:
        """Run `work` in the file-reader unless it is already waiting to run. Any thread; does not block.

        Never refused for want of room, only (False) when the watcher is stopping. See WorkQueue.post_once().
        """
        return self._queue.post_once(work)

    # --- file-reader ---

    def _run(self) -> None:
        try:
            self._observed.open()
            scan_at = time.monotonic()
            while (taken := self._queue.take(scan_at)) is not None:
                if taken.refused:
                    self._tell(f"{taken.refused} calls to the file reader were lost: too many were waiting.")
                for work in taken.work:
                    self._guarded(work)
                scan = self._deliver(taken.names) or taken.scan
                if scan or time.monotonic() >= scan_at:
                    self._scan()
                    scan_at = time.monotonic() + (POLL if self._observed.polling else self._interval)
        except Exception:
            log.exception("the file-reader ended")
            self._tell("Claude's files are no longer watched: the file reader failed.")
        finally:
            self._queue.close()
            self._observed.close()

    def _deliver(self, changed: Names) -> bool:
        """Call back for what has changed. Returns whether a scan is due."""
        scan = False
        self._seen.update(changed)
        for directory, names in changed.items():
            if names is not None and ITSELF in names:
                names.discard(ITSELF)
                self._observed.forget(directory)
                scan = True
            for watched in self._dirs:
                if watched.observed == directory and watched.awaited is not None:
                    scan |= names is None or watched.awaited in names
                elif watched.observed == directory and (names is None or names):
                    self._call(watched, None if names is None else frozenset(names))
        return scan

    def _scan(self) -> None:
        """Locate every directory again, observe what is there now, and call back those that must look at everything."""
        dirs = self._dirs
        for watched in dirs:
            watched.locate(quiet=watched.observed not in self._seen)
        self._seen.clear()
        for _ in range(MAX_SCANS):
            wanted = [watched for watched in dirs if watched.awaited is None or not self._observed.polling]
            fresh = self._observed.observe({watched.observed: watched.inode for watched in wanted})
            if not fresh:
                break
            for watched in dirs:
                watched.full_scan_due |= watched.awaited is None and watched.observed in fresh
                watched.locate()  # again: it may have appeared just before its ancestor was observed
        for watched in dirs:
            if watched.full_scan_due:
                watched.full_scan_due = False
                self._call(watched, None)

    def _call(self, watched: WatchedDir, names: frozenset[str] | None) -> None:
        if watched in self._dirs:  # a callback before this one may have unwatched it
            self._guarded(lambda: watched.on_change(names))

    def _guarded(self, work: Work) -> None:
        try:
            work()
        except Exception as error:
            if self._tell(f"Reading Claude's files went wrong: {type(error).__name__}: {error}"):
                log.exception("a callback of the file-reader failed")

    def _tell(self, sentence: str) -> bool:
        """Log and tell a problem. Returns whether it was a new one."""
        if sentence in self._told or len(self._told) >= MAX_SENTENCES:
            return False
        self._told.add(sentence)
        log.warning("%s", sentence)
        try:
            self._on_error(sentence)
        except Exception:
            log.exception("on_error failed")
        return True
