"""Reads the session inside an exported page again. Any thread; blocks on the disk."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from claude_mpm.archive.export.page_bundle import DATA_BEGINS, DATA_ENDS
from claude_mpm.config import Limits
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.sources.files.tail import Lines
from claude_mpm.sources.parse.json_values import record, seconds
from claude_mpm.system.files import read_file

MAX_PAGE = 512 * 1024 * 1024  # bytes; held in memory, as a browser would
CHUNK = 64 * 1024  # bytes inflated at a time: a small file may hold a huge one


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The events in the page, in order, without the pictures of the terminal. What is no event is passed over.

    Raises:
        UsageError: the file cannot be read, or has no session inside.
    """
    try:
        page, _ = read_file(path, MAX_PAGE)
        _, begins, rest = page.partition(DATA_BEGINS)
        data, ends, _ = rest.partition(DATA_ENDS)
        packed = base64.b64decode(data, validate=True)
    except (OSError, ValueError, binascii.Error) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not begins or not ends:
        raise UsageError(f"{path} is not a page that claude-mpm exported")
    return _events(path, packed)


def _events(path: Path, packed: bytes) -> Iterator[dict[str, Any]]:
    inflater, splitter = zlib.decompressobj(31), Lines(Limits().line_bytes)
    try:
        while packed and not inflater.eof:
            for line in splitter.feed(inflater.decompress(packed, CHUNK)):
                entry = record(line)
                is_event = isinstance(entry.get("type"), str) and isinstance(entry.get("data"), dict)
                if is_event and entry["type"] != ev.CLAUDE_SCREEN and seconds(entry.get("timestamp")) is not None:
                    yield dict(entry)
            packed = inflater.unconsumed_tail
    except zlib.error as error:
        raise UsageError(f"{path} is damaged: {error}") from None
