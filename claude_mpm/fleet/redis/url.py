"""The URL of a Redis: redis://[[user][:password]@]host[:port][/db], or rediss:// for TLS. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from claude_mpm.errors import UsageError

PASSWORD_VARIABLE = "CLAUDE_MPM_REDIS_PASSWORD"  # used where a URL has no password
DEFAULT_PORT = 6379
SCHEMES = ("redis", "rediss")
FORM = "redis://[user[:password]@]host[:port][/db], or rediss:// for TLS"


class RedisUrl(NamedTuple):
    """Where a Redis is and who we are there. `shown` is the only form of it that may be printed."""

    host: str
    port: int
    db: int
    user: str | None
    password: str | None
    tls: bool
    ca_certs: str | None  # a file of certificates to trust; None: those of the system

    @property
    def shown(self) -> str:
        """The URL without its password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            f"redis{'s' if self.tls else ''}://{host}{'' if self.port == DEFAULT_PORT else f':{self.port}'}/{self.db}"
        )

    def __repr__(self) -> str:
        return f"<RedisUrl {self.shown}>"  # a NamedTuple would show the password in every traceback and assertion


def parse_url(text: str, environ: Mapping[str, str]) -> RedisUrl:
    """Read a URL; the password may be in PASSWORD_VARIABLE of `environ` instead.

    Raises:
        UsageError: it is not such a URL. The text never repeats what may be a password.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"the Redis URL cannot be read: its form is {FORM}") from None
    if parts.scheme not in SCHEMES:
        raise UsageError(f"the Redis URL must begin with redis:// or rediss://: its form is {FORM}")
    if not parts.hostname or not text.isprintable() or " " in text or parts.fragment:
        raise UsageError(f"the Redis URL names no host, or has characters to be written as %XX: its form is {FORM}")
    return RedisUrl(
        host=parts.hostname,
        port=DEFAULT_PORT if port is None else port,
        db=_db(parts.path),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else environ.get(PASSWORD_VARIABLE) or None,
        tls=parts.scheme == "rediss",
        ca_certs=_ca_certs(parts),
    )


def password_in(text: str) -> str | None:
    """The password as it is written in a URL, percent signs and all; None where there is none."""
    try:
        return urlsplit(text).password or None
    except ValueError:
        return None


def _db(path: str) -> int:
    number = path.removeprefix("/")
    if number and not (number.isascii() and number.isdigit() and len(number) <= 6):
        raise UsageError(f"the Redis URL ends with a database number, as in redis://host/0: its form is {FORM}")
    return int(number or 0)


def _ca_certs(parts: SplitResult) -> str | None:
    """The one parameter there is: `?ssl_ca_certs=FILE`, named as in redis-py."""
    given = parse_qs(parts.query, keep_blank_values=True)
    unknown = given.keys() - {"ssl_ca_certs"}
    if unknown:
        raise UsageError(f"the Redis URL takes no parameter but ssl_ca_certs=FILE: its form is {FORM}")
    return given["ssl_ca_certs"][-1] if given else None
