"""Waiting for descriptors, any number of them: select() fails above 1,023."""

from __future__ import annotations

import select
from collections.abc import Iterable

# A hangup or an error makes a descriptor ready: the read or write that follows says which it was.
_FAILED = select.POLLHUP | select.POLLERR | select.POLLNVAL


def wait_ready(
    readers: Iterable[int], writers: Iterable[int] = (), timeout: float | None = None
) -> tuple[set[int], set[int]]:
    """Block until one of the descriptors is ready, or `timeout` seconds have passed (None: no limit).

    Returns:
        the descriptors that can be read, and those that can be written, without blocking.
    """
    wanted: dict[int, int] = dict.fromkeys(readers, select.POLLIN)
    for fd in writers:
        wanted[fd] = wanted.get(fd, 0) | select.POLLOUT
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    # poll() counts whole milliseconds and rounds up, so a deadline is never found too early
    ready = poll.poll(None if timeout is None else max(timeout, 0.0) * 1000)
    readable = {fd for fd, event in ready if event & (select.POLLIN | _FAILED) and wanted[fd] & select.POLLIN}
    writable = {fd for fd, event in ready if event & (select.POLLOUT | _FAILED) and wanted[fd] & select.POLLOUT}
    return readable, writable
