"""How a session stands, in a word. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Standing = Literal["needs_you", "working", "idle", "ended"]


def standing(status: Mapping[str, Any]) -> Standing:
    """What somebody who watches many sessions wants to know first.

    Args:
        status: the data of a `system.status`, or a part of it that has `claude_status`, `activity` and `ended`.
    """
    if status.get("ended") or status.get("claude_status") in ("stopped", "error"):
        return "ended"
    if status.get("activity") == "waiting":
        return "needs_you"
    # Until the first prompt, some versions of Claude record nothing at all.
    return "working" if status.get("activity") == "working" else "idle"
