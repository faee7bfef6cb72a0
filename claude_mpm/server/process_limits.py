"""How many connections the process can hold: the configured limits, and the file descriptors they need."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

from claude_mpm.config import Limits

RESERVED = 40  # descriptors; for the channel to the front, watched files, and modules still to be loaded


@dataclass(frozen=True)
class Capacity:
    """How many connections of each kind the server holds at once. A connection beyond that gets no thread."""

    clients: int  # WebSocket clients; two threads each
    handshakes: int  # connections whose request has not been read and judged; one thread each
    responses: int  # HTTP responses being sent; one thread each


def capacity(limits: Limits, descriptors: int) -> Capacity:
    """The configured numbers, or fewer when the process has few `descriptors`.

    A connection may need a second descriptor besides its socket: for a page, or to find out who the peer is.
    """
    room = max(descriptors - RESERVED, 0) // 2
    if limits.clients + limits.handshakes + limits.responses <= room:
        return Capacity(limits.clients, limits.handshakes, limits.responses)
    other = max(room // 6, 1)
    handshakes, responses = min(limits.handshakes, other), min(limits.responses, other)
    return Capacity(max(min(limits.clients, room - handshakes - responses), 1), handshakes, responses)


def raise_descriptor_limit(limits: Limits) -> int:
    """Raise the soft limit on open files if `limits` need more, and return the number of files that may be open.

    The limit is never lowered and never exceeds the hard limit. Child processes started later inherit it.
    """
    wanted = RESERVED + 2 * (limits.clients + limits.handshakes + limits.responses)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(
            OSError, ValueError
        ):  # macOS: the kernel caps the number although the hard limit is unlimited
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
    return soft
