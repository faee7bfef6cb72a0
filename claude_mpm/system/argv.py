"""Our own command line, as the process list shows it."""

from __future__ import annotations

import ctypes
import os

_ARG_START, _ARG_END = 47, 48  # fields of /proc/PID/stat, counted from 0 (proc_pid_stat(5))
_BEFORE_COMM = 2  # the fields up to the command's name, which may hold spaces


def hide(secret: str) -> bool:
    """Overwrite `secret` in our command line with asterisks. Returns whether that was done; it can be on Linux only.

    The process list shows what stands in our own memory, which children that are forked later inherit. Until this is
    called, which is some 50 ms after the start, everybody on the machine can read it.
    """
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        start, end = (int(fields[number - _BEFORE_COMM]) for number in (_ARG_START, _ARG_END))
        shown = ctypes.string_at(start, end - start) if 0 < start < end else b""
    except (OSError, ValueError, IndexError):
        return False
    wanted = os.fsencode(secret)
    found = shown.find(wanted)
    if not wanted or found < 0:
        return False
    while found >= 0:
        ctypes.memset(start + found, ord("*"), len(wanted))
        found = shown.find(wanted, found + len(wanted))
    return True
