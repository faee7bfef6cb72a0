"""Directories that change: one watchdog observer, and one thread in which every callback runs.

watchdog's own threads only note (directory, name) and wake the `file-reader`; all file parsing, and
whatever is built on it, is single-threaded there. What is to be observed is worked out anew by
`_look`, once a second and whenever an event hints at it: a directory may be missing at any depth,
appear, go, or be replaced by another of the same name.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from claude_mpm.sources.files.watched_dir import Identity, OnChange, Place
from claude_mpm.sources.files.work_queue import Inbox, Names, Work

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

Note = Callable[[str, str], None]  # a directory, a name in it

MAX_SENTENCES = 100  # different troubles told and logged
SETTLE = 8  # looks in a row while directories appear under our eyes; the next second goes on
POLL = 0.5  # seconds between two snapshots where there is no inotify
CLOSE_TIME = 5.0  # seconds watchdog's threads get to end; they are daemons
OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM)  # inotify instances or watches
MOVE_GROUPERS = (("inotify_move_event_grouper", "InotifyMoveEventGrouper"), ("inotify_buffer", "InotifyBuffer"))  # 7, 5
ITSELF = ""  # as a name: the directory itself is gone


class Watcher:
    """Calls back, in its thread `file-reader`, when something in a directory changed.

    Args:
        on_error: gets one sentence when watching is impaired or a callback failed, each sentence once; in `file-reader`.
        poll_interval: seconds between two looks for directories that appeared or were replaced.
        make_observer: makes the watchdog observer; the default is the system's best.
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
        self._inbox = Inbox()
        self._lock = threading.Lock()  # guards replacing `_places`
        self._places: tuple[Place, ...] = ()
        self._observed = _Observed(make_observer or _system_observer, self._inbox.note, self._tell)
        self._seen: set[str] = set()  # directories with events since the last look
        self._told: set[str] = set()

    def start(self) -> None:
        """Start watching. Does not block: watchdog is loaded in the new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; what is still waiting is dropped. Any thread."""
        self._inbox.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread, and the observer it owns, to end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def watch(self, directory: Path, on_change: OnChange) -> None:
        """Call `on_change` with the names changed in `directory` (not below it) from now on. Any thread, any time.

        None instead of names means "look at everything": the first call, which comes soon even if the directory does
        not exist; the directory appeared, went or was replaced; events were lost.
        """
        place = Place(os.path.abspath(directory), on_change)
        with self._lock:
            self._places = (*self._places, place)
        self._inbox.hint()

    def unwatch(self, directory: Path, on_change: OnChange) -> None:
        """Undo the watch() calls with these arguments. Any thread.

        In the file-reader: no call comes after it. Elsewhere one may be under way.
        """
        path = os.path.abspath(directory)
        with self._lock:
            self._places = tuple(p for p in self._places if (p.path, p.on_change) != (path, on_change))
        self._inbox.hint()

    def post(self, work: Work) -> bool:
        """Run `work` in the file-reader, in order of posting. False: 10,000 calls wait already, or it is stopping."""
        return self._inbox.post(work)

    def post_after(self, seconds: float, work: Work) -> bool:
        """Run `work` in the file-reader after `seconds`. False as for post()."""
        return self._inbox.post(work, seconds)

    # --- file-reader ---

    def _run(self) -> None:
        try:
            self._observed.open()
            look_at = time.monotonic()
            while (taken := self._inbox.take(look_at)) is not None:
                for work in taken.work:
                    self._guarded(work)
                look = self._deliver(taken.names) or taken.hint
                if look or time.monotonic() >= look_at:
                    self._look()
                    look_at = time.monotonic() + (POLL if self._observed.polling else self._interval)
        except Exception:
            log.exception("the file-reader ended")
            self._tell("Claude's files are not watched any more: the file reader failed.")
        finally:
            self._inbox.close()
            self._observed.close()

    def _deliver(self, changed: Names) -> bool:
        """Call back for what changed. True: a look is due."""
        look = False
        self._seen.update(changed)
        for directory, noted in changed.items():
            if noted is not None and ITSELF in noted:
                noted.discard(ITSELF)
                self._observed.forget(directory)
                look = True
            for place in self._places:
                if place.observed == directory and place.awaited is not None:
                    look |= noted is None or place.awaited in noted
                elif place.observed == directory and (noted is None or noted):
                    self._call(place, None if noted is None else frozenset(noted))
        return look

    def _look(self) -> None:
        """Find every directory again, observe what is there now, and tell who has to look at everything."""
        places = self._places
        for place in places:
            place.find(quiet=place.observed not in self._seen)
        self._seen.clear()
        for _ in range(SETTLE):
            wanted = [place for place in places if place.awaited is None or not self._observed.polling]
            fresh = self._observed.observe({place.observed: place.identity for place in wanted})
            if not fresh:
                break
            for place in places:
                place.everything |= place.awaited is None and place.observed in fresh
                place.find()  # again: it may have appeared just before its ancestor was observed
        for place in places:
            if place.everything:
                place.everything = False
                self._call(place, None)

    def _call(self, place: Place, names: frozenset[str] | None) -> None:
        if place in self._places:  # a callback before this one may have unwatched it
            self._guarded(lambda: place.on_change(names))

    def _guarded(self, work: Work) -> None:
        try:
            work()
        except Exception as error:
            sentence = f"Reading Claude's files went wrong: {type(error).__name__}: {error}"
            if self._tell(sentence):
                log.exception("a callback of the file-reader failed")

    def _tell(self, sentence: str) -> bool:
        """Whether it was new."""
        if sentence in self._told or len(self._told) >= MAX_SENTENCES:
            return False
        self._told.add(sentence)
        log.warning("%s", sentence)
        try:
            self._on_error(sentence)
        except Exception:
            log.exception("on_error failed")
        return True


class _Observed:
    """The directories under watchdog's eyes. For the file-reader only, and never called with a lock held."""

    def __init__(self, make_observer: Callable[[], BaseObserver], note: Note, tell: Callable[[str], bool]) -> None:
        self._make_observer = make_observer
        self._note = note
        self._tell = tell
        self._observer: BaseObserver | None = None
        self.polling = False  # then ancestors, which may be large, are left to the looks
        self._watches: dict[str, tuple[ObservedWatch, Identity]] = {}

    def open(self) -> None:
        try:
            self._observer = self._make_observer()
            self._observer.start()
        except (OSError, RuntimeError) as error:  # EMFILE; "can't start new thread"
            self._poll_instead(error)

    def close(self) -> None:
        observer, self._observer = self._observer, None
        self._watches.clear()
        if observer is None:
            return
        with suppress(OSError, RuntimeError):  # a watch that died by itself
            observer.stop()
        if observer.ident is not None:
            observer.join(CLOSE_TIME)

    def observe(self, wanted: dict[str, Identity]) -> set[str]:
        """Make these the observed directories. Returns those whose observation is new."""
        assert self._observer is not None
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        for path, (watch, identity) in list(self._watches.items()):
            if wanted.get(path) != identity or watch not in alive:
                self.forget(path)
        return {path for path in wanted.keys() - self._watches.keys() if self._schedule(path, wanted[path])}

    def forget(self, path: str) -> None:
        watch, _ = self._watches.pop(path, (None, None))
        if watch is not None and self._observer is not None:
            with suppress(KeyError, OSError, RuntimeError):  # it died by itself
                self._observer.unschedule(watch)

    def _schedule(self, path: str, identity: Identity) -> bool:
        if not os.access(path, os.R_OK | os.X_OK):  # watchdog's inotify observer ignores EACCES: no error, no events
            self._tell(f"{path} cannot be read: permission denied.")
            return False
        assert self._observer is not None
        try:
            watch = self._observer.schedule(cast(Any, _Handler(path, self._note)), path, event_filter=_wanted_events())
        except (FileNotFoundError, NotADirectoryError):
            return False  # gone again
        except (OSError, RuntimeError) as error:
            if self.polling or (isinstance(error, OSError) and error.errno not in OUT_OF):
                self._tell(f"{path} cannot be watched: {error}.")
                return False
            self._poll_instead(error)
            return self._schedule(path, identity)
        self._watches[path] = (watch, identity)
        for thread in threading.enumerate():
            if type(thread).__module__.startswith("watchdog.") and thread.name.startswith("Thread-"):
                thread.name = f"file-{type(thread).__name__}"
        return True

    def _poll_instead(self, error: Exception) -> None:
        from watchdog.observers.polling import PollingObserver

        self._tell(
            f"The system has no file watches left ({error}); Claude's files are looked at every {POLL:g} s instead. "
            "A higher fs.inotify.max_user_watches or max_user_instances helps."
        )
        self.close()
        self.polling = True
        self._observer = PollingObserver(timeout=POLL)
        self._observer.start()


class _Handler:
    """What watchdog calls. Opens nothing (that would be an event again), never raises (that would end its thread)."""

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


def _wanted_events() -> list[type[FileSystemEvent]]:
    """Not: opened, closed after reading, attributes, and "the directory was modified", which repeats the others."""
    from watchdog import events as of

    files = [of.FileCreatedEvent, of.FileModifiedEvent, of.FileMovedEvent, of.FileDeletedEvent, of.FileClosedEvent]
    return [*files, of.DirCreatedEvent, of.DirMovedEvent, of.DirDeletedEvent]


def _system_observer() -> BaseObserver:
    """watchdog's best for this system.

    Its inotify observers hold back half a rename whose other half is elsewhere, and every event behind it, for half
    a second. To us the halves are two names anyway: no delay. They also log as an error that an event came for a
    watch that was just given up, which says nothing.
    """
    from watchdog.observers import Observer

    importlib.import_module("watchdog.observers.polling")  # needed when descriptors ran out: too late to load it then
    logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)
    for module, grouper in MOVE_GROUPERS:
        with suppress(ImportError, AttributeError):
            getattr(importlib.import_module(f"watchdog.observers.{module}"), grouper).delay = 0.0
    return Observer()
