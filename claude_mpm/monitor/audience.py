"""What somebody looks at: the clients of our own server, and hubs that read from Redis."""

from __future__ import annotations

from collections.abc import Callable


class Audience:
    """The event types that are made only while somebody wants them. Any thread; does not block.

    Args:
        activate: is told the types wanted by anybody, whenever that may have changed.
    """

    def __init__(self, activate: Callable[[frozenset[str]], None]) -> None:
        self._activate = activate
        self._clients: frozenset[str] = frozenset()
        self._hubs: frozenset[str] = frozenset()

    def of_clients(self, types: frozenset[str]) -> None:
        self._clients = types
        self.tell()

    def of_hubs(self, types: frozenset[str]) -> None:
        self._hubs = types
        self.tell()

    def tell(self) -> None:
        """Tell it now, and again if another thread changed it meanwhile: the last word is then the newest."""
        told = None
        while (types := self._clients | self._hubs) != told:
            self._activate(types)
            told = types
