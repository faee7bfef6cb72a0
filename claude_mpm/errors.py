"""Every exception of the program.

ClaudeMpmError
├── UsageError          what the user asked for cannot be done; exit code 2
│   └── PortTaken       somebody listens on the port already
├── ClaudeNotFound      no such executable; exit code 127
├── LaunchFailed        the executable is there, the system refused to start it; exit code 126
├── ProtocolError       a client sent something that is not the protocol
│   └── Refused         a handshake that gets an HTTP status instead of a WebSocket
└── ConnectionFailed    the client side: no server there, refused, or lost
    └── ServerUnavailable  nobody listens now, or the server is too busy: the same attempt may succeed later
        └── RedisUnavailable  a Redis does not answer, or does not do what is asked
"""

from __future__ import annotations


class ClaudeMpmError(Exception):
    """Root of the tree. The text is one sentence for the user, with what to do next."""

    exit_code = 1


class UsageError(ClaudeMpmError):
    exit_code = 2


class PortTaken(UsageError):
    pass


class ClaudeNotFound(ClaudeMpmError):
    exit_code = 127


class LaunchFailed(ClaudeMpmError):
    exit_code = 126


class ProtocolError(ClaudeMpmError):
    """A client's message cannot be served; the connection stays open.

    Args:
        code: one of the codes in docs/protocol.md (``invalid_json``, ``unknown_command`` …).
        message: one sentence for the client.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Refused(ProtocolError):
    """A handshake that is answered with an HTTP error; `status` is its status code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("refused", message)
        self.status = status


class ConnectionFailed(ClaudeMpmError):
    pass


class ServerUnavailable(ConnectionFailed):
    pass


class RedisUnavailable(ServerUnavailable):
    """A Redis cannot be used. The text names its URL without the password; `hint` says what to do about it."""

    def __init__(self, sentence: str, hint: str | None) -> None:
        super().__init__(sentence)
        self.hint = hint
