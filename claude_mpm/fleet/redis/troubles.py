"""What can go wrong with a Redis, as a sentence and what to do about it. Nothing here shows a password."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Literal, Protocol

from redis import exceptions

from claude_mpm.errors import RedisUnavailable
from claude_mpm.fleet.redis.url import RedisUrl


class Complain(Protocol):
    """Is told a trouble; any thread. An `error` says that Redis cannot be used at the moment."""

    def __call__(self, sentence: str, hint: str | None, severity: Literal["warning", "error"] = "error") -> None: ...


MAX_ANSWER = 200  # characters of an answer of Redis that are shown
ACL_HINT = "give this user the rights that docs/fleet.md lists"


def trouble(error: BaseException, url: RedisUrl) -> RedisUnavailable:
    """What an exception of redis-py, or of the socket below it, means."""
    if isinstance(error, RedisUnavailable):
        return error
    causes = list(_causes(error))
    for cause in causes:
        sentence, hint = _of_network(cause, url)
        if sentence:
            return RedisUnavailable(f"{url.shown}: {sentence}", hint)
    for cause in causes:
        if isinstance(cause, exceptions.RedisError):
            sentence, hint = _of_redis(cause)
            return RedisUnavailable(f"{url.shown}: {sentence}", hint)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return RedisUnavailable(f"{url.shown}: {_printable(reason or type(error).__name__)}", None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what led to it."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _of_network(error: BaseException, url: RedisUrl) -> tuple[str, str | None]:
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"its TLS certificate is not trusted: {_printable(error.verify_message)}",
                "name the file of your certificate authority: rediss://...?ssl_ca_certs=FILE",
            )
        case ssl.SSLError():
            return "TLS failed", "is it a Redis without TLS? then its URL begins with redis://"
        case socket.gaierror():
            return f"unknown host {url.host}", "correct the name in the URL"
        case ConnectionRefusedError():
            return f"nothing listens on port {url.port}", "start Redis there, or correct the URL"
        case FileNotFoundError() if url.ca_certs:
            return f"there is no file {url.ca_certs}", "correct ssl_ca_certs in the URL"
        case TimeoutError() | exceptions.TimeoutError():
            hint = "is Redis overloaded, or a firewall in the way?"
            return (
                "no answer in time",
                "is it a Redis without TLS? then its URL begins with redis://" if url.tls else hint,
            )
    return "", None


def _of_redis(error: exceptions.RedisError) -> tuple[str, str | None]:
    answer = _printable(str(error))
    match error:
        case exceptions.BusyLoadingError():
            return "Redis is still loading its data", None
        case exceptions.NoPermissionError():
            return f"the Redis user may not do this: {answer}", ACL_HINT
        case exceptions.AuthenticationError():
            return "Redis refused the user or the password", "correct the URL, or CLAUDE_MPM_REDIS_PASSWORD"
        case exceptions.ReadOnlyError():
            return "this Redis is a read-only replica", "give the URL of the primary"
        case exceptions.InvalidResponse():
            return "what answers there is not a Redis", "correct the URL"
        case exceptions.ConnectionError():
            return "the connection was lost", None
    if answer.startswith(("OOM", "command not allowed when used memory")):
        return "Redis is full", "raise its maxmemory, or remove other data"
    if answer.startswith(("NOAUTH", "WRONGPASS", "Authentication required")):
        return "Redis refused the user or the password", "correct the URL, or CLAUDE_MPM_REDIS_PASSWORD"
    if answer.startswith("MISCONF"):
        return "Redis cannot write to its disk, and takes nothing until it can", "see the log of the Redis server"
    return f"Redis answered: {answer}", None


def _printable(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    return shown[:MAX_ANSWER]
