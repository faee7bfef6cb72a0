"""Proof, to a page opened from disk, that a claude-mpm which knows the token answers on a port.

Such a page may send requests to a port of this machine but cannot read the answers, and whoever listens there first
might not be a claude-mpm. One thing a page can read across origins is the size of an image. So the page draws a nonce
and asks for images whose sizes are bits of HMAC-SHA256(key, "PORT:NONCE"), before it takes the token anywhere. The port
is part of the message: another server cannot pass the proof by asking us for it. Any web page can ask, too, so the key
is stretched: the proof must not make a token that a person thought up easy to guess offline.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from functools import lru_cache

PATH = "/proof.svg"
PARTS = 2  # images of 32 bits each
IDENTITY = (397, 211)  # pixels; the image without a nonce, which every claude-mpm serves
STRETCHING = 200_000  # rounds of PBKDF2; about 0.1 s, once for a server and once for a page
_SALT = b"claude-mpm proof"
_NONCE = re.compile(r"[0-9a-f]{32}")


def size(token: str | None, port: int, nonce: str, part: str) -> tuple[int, int]:
    """Return the width and height, in pixels, of the image that was asked for.

    The first proof for a token takes about 0.1 s, without holding the interpreter.

    Args:
        token: the server's own; None if it has none, which is proved like an empty one.
        port: the one the request arrived on.
        nonce: 32 hexadecimal digits, or "" for IDENTITY.
        part: the number of the image, from 0.

    Raises:
        ValueError: the nonce or the part is not of these shapes.
    """
    if not nonce:
        return IDENTITY
    if not _NONCE.fullmatch(nonce) or part not in map(str, range(PARTS)):
        raise ValueError("nonce is 32 hexadecimal digits, and part 0 or 1")
    digest = hmac.digest(_key(token or ""), f"{port}:{nonce}".encode(), "sha256")
    width, height = struct.unpack_from("!HH", digest, 4 * int(part))
    return width + 1, height + 1


def svg(width: int, height: int) -> bytes:
    """An empty image of that size."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"/>\n'.encode()


@lru_cache(maxsize=4)
def _key(token: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", token.encode("utf-8", "replace"), _SALT, STRETCHING)
