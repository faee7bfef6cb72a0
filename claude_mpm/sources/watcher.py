"""Directories that change: one watchdog observer, and one thread in which every callback runs.

watchdog's own threads only note (directory, name) and wake the `file-reader`; all file parsing, and
whatever is built on it, is single-threaded there. What is to be observed is worked out anew by
`_look`, once a second and whenever an event hints at it: a directory may be missing at any depth,
appear, go, or be replaced by another of the same name.
"""

from __future__ import annotations

import errno
import heapq
import importlib
import itertools
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

OnChange = Callable[["frozenset[str] | None"], None]
Work = Callable[[], None]
Identity = tuple[int, int]  # st_dev, st_ino

MAX_WORK = 10_000  # calls waiting for the file-reader, timed ones included
MAX_NAMES = 1_000  # names waiting for one directory; more are told as None
MAX_SENTENCES = 100  # different troubles told and logged
SETTLE = 8  # looks in a row while directories appear under our eyes; the next second goes on
POLL = 0.5  # seconds between two snapshots where there is no inotify
CLOSE_TIME = 5.0  # seconds watchdog's threads get to end; they are daemons
OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM)  # inotify instances or watches
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
        self._wake = threading.Condition(threading.Lock())  # guards the next seven
        self._asked: list[_Asked] = []
        self._pending: dict[str, set[str] | None] = {}
        self._work: deque[Work] = deque()
        self._timed: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._look_now = True
        self._stopping = False
        self._observed = _Observed(make_observer or _system_observer, self._note, self._tell)  # file-reader only, as:
        self._seen: set[str] = set()  # directories with events since the last look
        self._told: set[str] = set()

    def start(self) -> None:
        """Start watching. Does not block: watchdog is loaded in the new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; what is still waiting is dropped. Any thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread, and the observer it owns, to end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def watch(self, directory: Path, on_change: OnChange) -> None:
        """Call `on_change` with the names changed in `directory` (not below it) from now on. Any thread, any time.

        None instead of names means "look at everything": the first call, which comes soon even if the directory does
        not exist; the directory appeared, went or was replaced; events were lost.
        """
        with self._wake:
            self._asked = [*self._asked, _Asked(os.path.abspath(directory), on_change)]
            self._look_now = True
            self._wake.notify()

    def unwatch(self, directory: Path, on_change: OnChange) -> None:
        """Undo one watch(). In the file-reader: no call comes after it; elsewhere one may be under way."""
        path = os.path.abspath(directory)
        with self._wake:
            for asked in self._asked:
                if asked.path == path and asked.on_change == on_change:
                    self._asked = [other for other in self._asked if other is not asked]
                    self._look_now = True
                    self._wake.notify()
                    return

    def post(self, work: Work) -> bool:
        """Run `work` in the file-reader, in order of posting. False: too much is waiting, or it is stopping."""
        return self.post_after(0.0, work)

    def post_after(self, seconds: float, work: Work) -> bool:
        """Run `work` in the file-reader after `seconds`. False as for post()."""
        with self._wake:
            if self._stopping or len(self._work) + len(self._timed) >= MAX_WORK:
                return False
            if seconds > 0:
                heapq.heappush(self._timed, (time.monotonic() + seconds, next(self._order), work))
            else:
                self._work.append(work)
            self._wake.notify()
        return True

    def _note(self, directory: str, name: str) -> None:
        """Called by watchdog's threads."""
        with self._wake:
            names = self._pending.setdefault(directory, set())
            if names is not None:
                names.add(name)
                if len(names) > MAX_NAMES:
                    self._pending[directory] = None
            self._wake.notify()

    # --- file-reader ---

    def _run(self) -> None:
        try:
            self._observed.open()
            look_at = time.monotonic()
            while self._wait(look_at):
                work, pending, look = self._take()
                for call in work:
                    self._guarded(call)
                look |= self._deliver(pending)
                if look or time.monotonic() >= look_at:
                    self._look()
                    look_at = time.monotonic() + self._interval
        except Exception:
            log.exception("the file-reader ended")
            self._tell("Claude's files are not watched any more: the file reader failed.")
        finally:
            self.stop()
            self._observed.close()

    def _wait(self, look_at: float) -> bool:
        """Block until there is something to do. False: stop."""
        with self._wake:
            while not (self._stopping or self._work or self._pending or self._look_now):
                due = min(look_at, self._timed[0][0]) if self._timed else look_at
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
            return not self._stopping

    def _take(self) -> tuple[list[Work], dict[str, set[str] | None], bool]:
        with self._wake:
            work, pending, look = list(self._work), self._pending, self._look_now
            self._work.clear()
            self._pending, self._look_now = {}, False
            now = time.monotonic()
            while self._timed and self._timed[0][0] <= now:
                work.append(heapq.heappop(self._timed)[2])
        return work, pending, look

    def _deliver(self, pending: dict[str, set[str] | None]) -> bool:
        """Call back for what changed. True: a look is due."""
        look = False
        self._seen.update(pending)
        for directory, noted in pending.items():
            names = None if noted is None else frozenset(noted - {ITSELF})
            if noted is None or ITSELF in noted:
                look = True
            if noted is not None and ITSELF in noted:
                self._observed.forget(directory)
            for asked in self._asked:
                if asked.observed != directory:
                    continue
                if asked.awaited is not None:
                    look |= names is None or asked.awaited in names
                elif names is None or names:
                    self._call(asked, names)
        return look

    def _look(self) -> None:
        """Find every directory again, observe what is there now, and tell who has to look at everything."""
        every = self._asked
        for asked in every:
            asked.find(lost_events=asked.observed not in self._seen)
        self._seen.clear()
        for _ in range(SETTLE):
            fresh = self._observed.observe({asked.observed: asked.observed_identity for asked in every})
            if not fresh:
                break
            for asked in every:
                asked.everything |= asked.awaited is None and asked.observed in fresh
                asked.find()  # again: it may have appeared just before its ancestor was observed
        for asked in every:
            if asked.everything:
                asked.everything = False
                self._call(asked, None)

    def _call(self, asked: _Asked, names: frozenset[str] | None) -> None:
        if asked in self._asked:  # a callback before this one may have unwatched it
            self._guarded(lambda: asked.on_change(names))

    def _guarded(self, work: Work) -> None:
        try:
            work()
        except Exception as error:
            sentence = f"Reading Claude's files went wrong: {type(error).__name__}: {error}"
            if sentence not in self._told:
                log.exception("a callback of the file-reader failed")
            self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        if sentence in self._told or len(self._told) >= MAX_SENTENCES:
            return
        self._told.add(sentence)
        log.warning("%s", sentence)
        try:
            self._on_error(sentence)
        except Exception:
            log.exception("on_error failed")


class _Asked:
    """One watch(): where its directory is, or which existing ancestor is observed until it appears."""

    def __init__(self, path: str, on_change: OnChange) -> None:
        self.path = path
        self.on_change = on_change
        self.everything = True  # tell it to look at everything
        self.observed = ""  # real path
        self.observed_identity: Identity = (0, 0)
        self.awaited: str | None = ""  # the name in `observed` that brings it nearer; None: `observed` is it
        self._mtime_ns = 0
        self._suspect = False

    def find(self, lost_events: bool = False) -> None:
        """Look where it is now. A few os.stat calls.

        `lost_events`: no event came since the last look. If its time stamp moved all the same, and still none comes
        until the next look, then events are lost (the kernel's queue overflowed, a network file system).
        """
        path, awaited = self.path, None
        while (found := _directory(path)) is None:
            parent, awaited = os.path.split(path)
            if parent == path:
                return  # not even "/": nothing to be done
            path = parent
        identity = (found.st_dev, found.st_ino)
        if (identity, awaited) != (self.observed_identity, self.awaited):
            self.everything |= awaited is None or self.awaited is None
            self.observed, self.observed_identity, self.awaited = os.path.realpath(path), identity, awaited
            self._suspect = False
        elif awaited is None and lost_events:
            self.everything |= self._suspect
            self._suspect = found.st_mtime_ns != self._mtime_ns
        else:
            self._suspect = False
        self._mtime_ns = found.st_mtime_ns


def _directory(path: str) -> os.stat_result | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found if stat.S_ISDIR(found.st_mode) else None


class _Observed:
    """The directories under watchdog's eyes. For the file-reader only, and never called with a lock held."""

    def __init__(
        self,
        make_observer: Callable[[], BaseObserver],
        note: Callable[[str, str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._make_observer = make_observer
        self._note = note
        self._tell = tell
        self._observer: BaseObserver | None = None
        self._polling = False
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
        if observer is not None:
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
            try:
                self._observer.unschedule(watch)
            except (KeyError, OSError, RuntimeError) as error:  # it died by itself
                log.debug("unschedule %s: %r", path, error)

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
            if self._polling or (isinstance(error, OSError) and error.errno not in OUT_OF):
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
        self._polling = True
        self._observer = PollingObserver(timeout=POLL)
        self._observer.start()


class _Handler:
    """What watchdog calls. Opens nothing (that would be an event again), never raises (that would end its thread)."""

    def __init__(self, directory: str, note: Callable[[str, str], None]) -> None:
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

    Its inotify observers hold back a MOVED_FROM, and all behind it, for half a second to pair it with its MOVED_TO.
    Claude renames every file it writes, and to us the two halves are two names: no delay.
    """
    from watchdog.observers import Observer

    for module, grouper in (
        ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),
        ("inotify_buffer", "InotifyBuffer"),  # before watchdog 7
    ):
        try:
            getattr(importlib.import_module(f"watchdog.observers.{module}"), grouper).delay = 0.0
        except (ImportError, AttributeError, OSError):
            continue
    return Observer()
