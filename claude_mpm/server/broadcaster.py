"""One thread that sends new events to every client that is up to date, so that no other thread has to wake for them."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Follower, Log
from claude_mpm.server.tape import Tape

ROUND_PAUSE = 0.01  # seconds between two rounds; nobody sees it, and it halves the cost of many clients
MAX_TAPES = 8  # sets of types with a tape of their own; clients of further sets read the log themselves

FEW = 16  # clients; so many catch up faster each in its own thread, since the kernel copies on several cores at once

log = logging.getLogger(__name__)


class Listener(Protocol):
    """A client as the broadcaster sees it."""

    @property
    def types(self) -> frozenset[str]:
        """The event types it subscribes to."""

    @property
    def cursor(self) -> int:
        """The seq up to which it has been sent everything."""

    def offer(self, tape: Tape | None) -> bool:
        """Send what comes next from the tape; without one, see to it itself. Does not block. True: there is more."""


class Broadcaster:
    """Follows the log for all clients. start(), stop(), add(), remove() and wake() may be called from any thread.

    A thread for each client, woken by each event, would spend more time on waking than on sending: with 200 clients
    the interpreter was handed on 200 times for one event. Here the frames of a batch are joined once, and sent to one
    client after the other without waiting. A client whose socket is full, or that is further behind than the tape
    reaches, is left to its own sender thread until it has caught up.
    """

    def __init__(self, log: Log, max_batch: int) -> None:
        """`max_batch`: events read from the log at once."""
        self._log = log
        self._max_batch = max_batch
        self._follower: Follower | None = None
        self._thread = threading.Thread(target=self._run, name="broadcaster")
        self._stopped = False
        self._no_pause = threading.Event()
        self._lock = threading.Lock()  # guards the next
        self._clients: dict[Listener, None] = {}  # in the order in which they came
        # The thread's own.
        self._tapes: dict[frozenset[str], Tape] = {}
        self._wanted: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begin to follow the log."""
        self._follower = self._log.follow()
        self._follower.want({})
        self._thread.start()

    def stop(self) -> None:
        """Send no more. The thread ends within a round; idempotent, does not block."""
        self._stopped = True
        self.hurry()

    def join(self, timeout: float) -> bool:
        """Wait for the thread. False when time ran out."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def add(self, client: Listener) -> None:
        with self._lock:
            self._clients[client] = None

    def remove(self, client: Listener) -> None:
        """Offer the client no more, except for an offer under way."""
        with self._lock:
            self._clients.pop(client, None)
        self.wake()

    def hurry(self) -> None:
        """As wake(), but without the pause: a client has taken what filled its socket, and may be waiting for more."""
        self.wake()
        self._no_pause.set()

    def wake(self) -> None:
        """Make a round soon: a client wants other types, or lends its socket and lacks events."""
        if self._follower is not None:
            self._follower.wake()

    # --- the thread ---

    def _run(self) -> None:
        assert self._follower is not None
        try:
            while not self._stopped:
                self._follower.wait()
                while not self._stopped and self._round():
                    pass
                self._no_pause.wait(ROUND_PAUSE)
                self._no_pause.clear()
        except Exception as error:
            log.error("the broadcaster ended: %s: %s", type(error).__name__, error)
            log.debug("the broadcaster ended", exc_info=True)
            hint = "restart claude-mpm; the history can still be read"
            self._log.append(ev.system_error(f"clients get no more events: {error}", "server", hint=hint))
        finally:
            self._follower.close()

    def _round(self) -> bool:
        """Offer every client what is new. True: there is more."""
        groups = self._groups()
        self._tapes = {types: tape for types, tape in self._tapes.items() if types in groups}
        more = False
        for types, clients in groups.items():
            tape = self._tape(types, clients)
            if tape is not None:
                tape.advance()
                if tape.cursor < self._log.seq:
                    more = True
                    tape = tape if len(clients) > FEW else None
            for client in clients:
                more |= client.offer(tape)
        return more

    def _groups(self) -> dict[frozenset[str], list[Listener]]:
        """The clients by what they subscribe to; from now on the log wakes us for these types."""
        with self._lock:
            clients = list(self._clients)
        groups: dict[frozenset[str], list[Listener]] = {}
        for client in clients:
            groups.setdefault(client.types, []).append(client)
        groups.pop(frozenset(), None)
        wanted = frozenset().union(*groups)
        if wanted != self._wanted:
            self._wanted = wanted
            assert self._follower is not None
            self._follower.want(dict.fromkeys(wanted, 0))
        return groups

    def _tape(self, types: frozenset[str], clients: list[Listener]) -> Tape | None:
        """The tape of these types; None where each client is to read the log itself.

        Of the terminal's picture only the newest counts, so a client that is behind is to skip the older ones.
        """
        tape = self._tapes.get(types)
        if tape is None and ev.CLAUDE_SCREEN not in types and len(self._tapes) < MAX_TAPES:
            start = min(client.cursor for client in clients)
            tape = self._tapes[types] = Tape(self._log, types, start, self._max_batch)
        return tape
