"""JSON as it is written and read everywhere here: compact UTF-8, and never a value that is not JSON."""

from __future__ import annotations

import json
from typing import Any


def dumps(value: object) -> bytes:
    """Compact JSON as UTF-8. Lone surrogates (legal in JSON text, not in UTF-8) become `?`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def loads(text: bytes | str) -> Any:
    """JSON text to a value. NaN and infinities, which are not JSON, become None.

    Raises:
        ValueError: whatever is wrong with the text (bad UTF-8, nesting too deep, a number too long).
    """
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deep") from None
