"""The directories watchdog observes: the only module that knows watchdog.

An observer that cannot be had, because the system's inotify instances or watches are used up, is replaced by one that
polls. watchdog is loaded on first use, which is after Claude was started.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from claude_mpm.sources.files.watched_dir import Inode

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

Note = Callable[[str, str], None]  # (directory, name in it that changed)

POLL = 0.5  # seconds between two snapshots where there is no inotify
CLOSE_TIME = 5.0  # seconds watchdog's threads get to end; they are daemons
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM)  # no inotify instance or watch left
ITSELF = ""  # noted as a name when the directory itself is gone

# Where the versions of watchdog that setup.py allows keep the delay of half a rename; see system_observer().
MOVE_GROUPERS = (
    ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),  # 7
    ("inotify_buffer", "InotifyBuffer"),  # 5 and 6
)


class ObservedDirs:
    """Keeps one watchdog observer on a set of directories. For the file-reader, and never called with a lock held.

    Args:
        make_observer: makes the watchdog observer.
        note: gets what changed, in a thread of watchdog's; must neither raise nor block.
        tell: gets one sentence for each thing that cannot be observed as it should be.
    """

    def __init__(self, make_observer: Callable[[], BaseObserver], note: Note, tell: Callable[[str], object]) -> None:
        self.polling = False  # then a scan once a second finds what appears in ancestors, which may be large
        self._make_observer = make_observer
        self._note = note
        self._tell = tell
        self._observer: BaseObserver | None = None
        self._watches: dict[str, tuple[ObservedWatch, Inode]] = {}

    def open(self) -> None:
        """Start the observer, or one that polls."""
        try:
            self._observer = self._make_observer()
            self._observer.start()
        except (OSError, RuntimeError) as error:  # EMFILE; "can't start new thread"
            self._poll_instead(error)

    def close(self) -> None:
        """Stop the observer. Blocks for up to CLOSE_TIME."""
        observer, self._observer = self._observer, None
        self._watches.clear()
        if observer is None:
            return
        with suppress(OSError, RuntimeError):  # a watch that has ended by itself
            observer.stop()
        if observer.ident is not None:
            observer.join(CLOSE_TIME)

    def observe(self, wanted: dict[str, Inode]) -> set[str]:
        """Observe exactly these directories. Returns those that were not observed before, or not since a failure."""
        assert self._observer is not None
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        for path, (watch, inode) in list(self._watches.items()):
            if wanted.get(path) != inode or watch not in alive:
                self.forget(path)
        return {path for path in wanted.keys() - self._watches.keys() if self._schedule(path, wanted[path])}

    def forget(self, path: str) -> None:
        """Stop observing one directory, if it is observed."""
        watch, _ = self._watches.pop(path, (None, None))
        if watch is not None and self._observer is not None:
            with suppress(KeyError, OSError, RuntimeError):  # it has ended by itself
                self._observer.unschedule(watch)

    def _schedule(self, path: str, inode: Inode) -> bool:
        if not os.access(path, os.R_OK | os.X_OK):  # watchdog's inotify observer ignores EACCES: no error, no events
            self._tell(f"{path} cannot be read: permission denied.")
            return False
        assert self._observer is not None
        try:
            watch = self._observer.schedule(cast(Any, _Handler(path, self._note)), path, event_filter=_wanted_events())
        except (FileNotFoundError, NotADirectoryError):
            return False  # gone again
        except (OSError, RuntimeError) as error:
            if self.polling or (isinstance(error, OSError) and error.errno not in EXHAUSTED):
                self._tell(f"{path} cannot be watched: {error}.")
                return False
            self._poll_instead(error)
            return self._schedule(path, inode)
        self._watches[path] = (watch, inode)
        _name_watchdog_threads()
        return True

    def _poll_instead(self, error: Exception) -> None:
        from watchdog.observers.polling import PollingObserver

        self._tell(
            f"The system has no file watches left ({error}); Claude's files are looked at every {POLL:g} s instead. "
            "Raising fs.inotify.max_user_watches or fs.inotify.max_user_instances helps."
        )
        self.close()
        self.polling = True
        self._observer = PollingObserver(timeout=POLL)
        self._observer.start()


class _Handler:
    """What watchdog calls. It opens no file, which would be another event, and never raises, which would end
    watchdog's thread."""

    def __init__(self, directory: str, note: Note) -> None:
        self._directory = directory
        self._note = note

    def dispatch(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            directory, name = os.path.split(os.fsdecode(path))
            if path == self._directory:
                self._note(self._directory, ITSELF)
            elif directory == self._directory:
                self._note(self._directory, name)


def _name_watchdog_threads() -> None:
    """Name the threads watchdog has started, so that a stack dump or `ps -T` says whose they are."""
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("watchdog.") and thread.name.startswith("Thread-"):
            thread.name = f"file-{type(thread).__name__}"


def _wanted_events() -> list[type[FileSystemEvent]]:
    """All but "opened", "closed after reading", and "the directory was modified", which repeats the others."""
    from watchdog import events as of

    files = [of.FileCreatedEvent, of.FileModifiedEvent, of.FileMovedEvent, of.FileDeletedEvent, of.FileClosedEvent]
    return [*files, of.DirCreatedEvent, of.DirMovedEvent, of.DirDeletedEvent]


def system_observer() -> BaseObserver:
    """Make the best observer watchdog has for this system.

    watchdog's inotify observers hold back one half of a rename, and every event behind it, for up to half a second
    while they wait for the other half. Here the two halves are just two names that changed, so that delay is set to
    zero. watchdog offers no public way to do so; setup.py therefore caps its version.

    They also log an error when an event arrives for a watch that has just been given up, which is harmless here.
    """
    from watchdog.observers import Observer

    importlib.import_module("watchdog.observers.polling")  # it could not be loaded once descriptors have run out
    logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)
    for module, grouper in MOVE_GROUPERS:
        with suppress(ImportError, AttributeError):  # another version, or another system
            getattr(importlib.import_module(f"watchdog.observers.{module}"), grouper).delay = 0.0
    return Observer()
