"""A URL that notifications are posted to: checked before Claude starts, and never shown whole."""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit

from claude_mpm import __version__
from claude_mpm.errors import UsageError


class Target:
    """Where to post to. `where` is all that may be shown of it: a path, a query or a password can be a secret.

    Raises:
        UsageError: no URL that could be used.
    """

    def __init__(self, url: str) -> None:
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise UsageError("a URL holds printable ASCII characters only, and no spaces")
        try:
            parts = urlsplit(url)
            self.host = parts.hostname or ""
            self.is_tls = parts.scheme == "https"
            self.port = parts.port or (443 if self.is_tls else 80)
            self.host.encode("idna")
        except (ValueError, UnicodeError):
            raise UsageError("this is not a URL; give one such as https://example.org/path") from None
        if parts.scheme not in ("http", "https") or not self.host:
            raise UsageError("it must be an http:// or https:// URL with a host")
        self.where = f"{parts.scheme}://[{self.host}]" if ":" in self.host else f"{parts.scheme}://{self.host}"
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.headers = {
            "Content-Type": "application/json",
            "User-Agent": f"claude-mpm/{__version__}",
            "Connection": "close",
        }
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
