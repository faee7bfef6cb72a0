"""`--notify-url`: tells a URL when a session starts to need somebody, or ends.

The notifier follows the event log with a cursor of its own, in a thread of its own, so a receiver that is slow, gone or
hostile delays nothing. It serves an instance, whose log has the events of one session, as well as a hub.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Log
from claude_mpm.fleet.notify.notification import SETTLE_TIME, TYPES, News, Notification
from claude_mpm.fleet.notify.post import Poster, PostFailed
from claude_mpm.system import json_text
from claude_mpm.system.post_target import Target

log = logging.getLogger(__name__)

MAX_QUEUED = 64  # notifications; of more, the oldest is dropped
TRIES = 8  # of one notification, over about two minutes
FIRST_PAUSE = 1.0  # seconds after a failure; doubled with each further one
LONGEST_PAUSE = 60.0  # seconds
ABORT_TIME = 0.2  # seconds; for the thread to end once its request is given up
BATCH = 256  # events taken from the log at a time


class Notifier:
    """Thread `notifier`: posts what is new until it is stopped.

    What goes wrong is told as one `system.error`, and again only after something has been delivered.

    Args:
        events: the log to follow, of an instance or of a hub.
        url: where to post to; it may hold secrets, so only its scheme and host are ever shown.
        instance: returns `instance_info` for an instance_id, with `machine` where it is known; {} for an unknown one.
        since: the seq to start after; None for what comes from now on.
        settle: seconds a question must be open before it is announced.
        first_pause: seconds; see FIRST_PAUSE.

    Raises:
        UsageError: the URL cannot be used.
    """

    def __init__(
        self,
        events: Log,
        url: str,
        instance: Callable[[str], Mapping[str, Any]],
        *,
        since: int | None = None,
        settle: float = SETTLE_TIME,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._log = events
        self._target = Target(url)
        self._poster = Poster(self._target)
        self._news = News(instance, settle)
        self._since = since
        self._first_pause = first_pause
        self._queue: deque[Notification] = deque()
        self._tries = 0  # of the first in the queue
        self._failures = 0  # in a row
        self._retry_at = 0.0  # time.monotonic()
        self._has_told_drop = False
        self._stopping = threading.Event()
        # A daemon: a thread that looks a name up, or connects, cannot be woken and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    # --- any thread ---

    def start(self) -> None:
        """Begin. Once, by the owner."""
        self._follower = self._log.follow(self._since)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to send what the log holds by now, trying each once, and to end. Does not block; idempotent."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._follower.wake()

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most, then give up what is being sent. Call it after stop().

        Returns False if the thread still hangs in the look-up of a name, or in connecting.
        """
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._poster.abort()
            self._thread.join(ABORT_TIME)
        return not self._thread.is_alive()

    # --- the thread `notifier` ---

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._follow()
                self._send_due()
                self._follower.wait(self._pause())
            self._follow()
            self._send_last()
        except Exception as error:
            log.error("the notifier ended: %s", type(error).__name__)  # no more of it: it may quote the URL
            self._warn(f"Notifications end here: {type(error).__name__}")
        finally:
            self._follower.close()

    def _follow(self) -> None:
        """Take in everything that the log holds now, and then queue what is due."""
        while True:
            batch = self._follower.read(TYPES, BATCH)
            if batch.gap is not None:
                self._news.forget()
            if not batch.entries:
                break
            for entry in batch.entries:
                notification = self._news.note(entry.message(), time.monotonic())
                if notification is not None:
                    self._put(notification)
        for notification in self._news.due(time.monotonic()):
            self._put(notification)

    def _put(self, notification: Notification) -> None:
        self._drop_outdated()
        if len(self._queue) >= MAX_QUEUED:
            self._next()
            if not self._has_told_drop:
                self._has_told_drop = True
                self._warn(f"Notifications to {self._target.where} are dropped: more than {MAX_QUEUED} wait to be sent")
        self._queue.append(notification)

    def _drop_outdated(self) -> None:
        """Forget questions that have been answered meanwhile: nobody wants to be called for them."""
        while self._queue and not self._news.is_current(self._queue[0]):
            self._next()

    def _next(self) -> None:
        """Go on to the next notification in the queue."""
        self._queue.popleft()
        self._tries = 0

    def _pause(self) -> float | None:
        """Seconds until there is something to do without a new event; None for never."""
        times = [] if not self._queue else [self._retry_at]
        if (due := self._news.next_due()) is not None:
            times.append(due)
        return max(min(times) - time.monotonic(), 0.0) if times else None

    def _send_due(self) -> None:
        """Send what is queued, until something fails."""
        while not self._stopping.is_set() and time.monotonic() >= self._retry_at:
            self._drop_outdated()
            if not self._queue:
                return
            self._send_first()
            self._follow()  # a request may have taken seconds

    def _send_last(self) -> None:
        """Try each notification once, ends first, until something fails."""
        self._queue = deque(sorted(filter(self._news.is_current, self._queue), key=lambda each: each.wait is not None))
        while self._queue and self._send_first():
            pass

    def _send_first(self) -> bool:
        """Send the first in the queue, once. Returns whether it was taken."""
        self._tries += 1
        try:
            self._poster.send(json_text.dumps(self._queue[0].body))
        except PostFailed as failure:
            self._failed(failure)
            return False
        self._failures, self._has_told_drop = 0, False
        self._next()
        return True

    def _failed(self, failure: PostFailed) -> None:
        if self._failures == 0:
            self._warn(f"A notification could not be delivered to {self._target.where}: {failure}")
        pause = min(self._first_pause * 2 ** min(self._failures, 10), LONGEST_PAUSE)
        self._failures += 1
        self._retry_at = time.monotonic() + pause
        if failure.is_final or self._tries >= TRIES:
            self._next()

    def _warn(self, sentence: str) -> None:
        log.warning("%s", sentence)
        hint = "this is said once, until a notification has been delivered again"
        self._log.append(ev.system_error(sentence, "notifier", severity="warning", hint=hint))
