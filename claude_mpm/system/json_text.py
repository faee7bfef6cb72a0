"""JSON text as the whole program reads and writes it: compact UTF-8, and only values that JSON has (RFC 8259).

Python's `json` accepts and produces NaN and Infinity, which RFC 8259 section 6 excludes and browsers reject: one such
number would make a whole message unreadable. Here each becomes null, on the way in and on the way out.
"""

from __future__ import annotations

import json
import math
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dumps(value: object) -> bytes:
    """Encode `value` as compact UTF-8 JSON.

    A number that is not finite becomes null. A lone surrogate, which JSON text may contain and UTF-8 may not, becomes `?`.

    Raises:
        TypeError: `value` holds something that has no JSON form.
        ValueError: `value` is nested too deeply, contains itself, or holds an integer of more than 4,300 digits, which is
            Python's limit for converting one to text.
    """
    try:
        try:
            text = _encode(value)
        except ValueError:  # rare, so only the failure pays for the copy
            text = _encode(_finite(value))
    except RecursionError:
        raise ValueError("nested too deep") from None
    return text.encode("utf-8", "replace")


def loads(text: bytes | str) -> Any:
    """Decode JSON text. NaN, Infinity and numbers too large for a float, such as 1e999, become None.

    Raises:
        ValueError: the text is not JSON, not UTF-8, nested too deeply, or holds an integer of more than 4,300 digits.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=_parse_float)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _parse_float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _finite(value: Any) -> Any:
    """A copy of `value` in which every number is finite or None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_finite(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
