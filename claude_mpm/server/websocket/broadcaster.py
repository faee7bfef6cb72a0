"""One thread sends new events to all clients that are up to date, so that no other thread has to wake up for them."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from claude_mpm.feed import event as ev
from claude_mpm.feed.log import Follower, Log
from claude_mpm.feed.selection import NOTHING, Selection
from claude_mpm.server.websocket.tape import Tape

ROUND_PAUSE = 0.01  # seconds between two rounds; too short to be noticed, and it halves the cost of many clients
MAX_TAPES = 8  # one for each selection; clients with further ones read the log themselves

log = logging.getLogger(__name__)


class Listener(Protocol):
    """A client as the broadcaster sees it: a Sender."""

    @property
    def selection(self) -> Selection:
        """The events that the client subscribes to."""

    @property
    def cursor(self) -> int:
        """The seq up to which the client has been sent everything."""

    def offer(self, tape: Tape | None) -> bool:
        """Send what comes next from `tape`, or from the log if that is None. Does not block. Returns whether there is more."""


class Broadcaster:
    """Follows the log for all clients. start(), stop(), add(), remove() and wake() may be called from any thread.

    If every event woke a thread per client, waking would take longer than sending: with 200 clients, the interpreter
    lock changes hands 200 times for one event. Here the frames of a batch are joined once and sent to one client after
    the other without blocking. A client whose socket is full, or that is too far behind for the tape, is left to its
    own sender thread until it has caught up.
    """

    def __init__(self, log: Log, max_batch: int) -> None:
        """`max_batch`: the number of events read from the log at once."""
        self._log = log
        self._max_batch = max_batch
        self._follower: Follower | None = None
        self._thread = threading.Thread(target=self._run, name="broadcaster")
        self._stopped = False
        self._no_pause = threading.Event()
        self._lock = threading.Lock()  # guards the next
        self._clients: dict[Listener, None] = {}  # in the order in which they came
        # The thread's own.
        self._tapes: dict[Selection, Tape] = {}
        self._wanted: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begin to follow the log."""
        self._follower = self._log.follow()
        self._follower.want({})
        self._thread.start()

    def stop(self) -> None:
        """Send no more. The thread ends within a round. Idempotent; does not block."""
        self._stopped = True
        self.hurry()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end. Returns False on timeout."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def add(self, client: Listener) -> None:
        """Include the client in every round from now on."""
        with self._lock:
            self._clients[client] = None

    def remove(self, client: Listener) -> None:
        """Make the client no more offers. One may still be under way when this returns."""
        with self._lock:
            self._clients.pop(client, None)
        self.wake()

    def hurry(self) -> None:
        """As wake(), but skip the pause: a client has emptied a full socket, and may be waiting for more."""
        self.wake()
        self._no_pause.set()

    def wake(self) -> None:
        """Make a round soon: a client wants other types, or has lent its socket while events are waiting for it."""
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
        """Offer every client what is new. Returns whether there is more."""
        groups = self._groups()
        self._tapes = {selection: tape for selection, tape in self._tapes.items() if selection in groups}
        more = False
        for selection, clients in groups.items():
            tape = self._tape(selection, clients)
            if tape is not None:
                tape.advance()
                more |= tape.cursor < self._log.seq
            for client in clients:
                more |= client.offer(tape)
        return more

    def _groups(self) -> dict[Selection, list[Listener]]:
        """The clients, grouped by what they subscribe to. From now on the log wakes this thread for all these types."""
        with self._lock:
            clients = list(self._clients)
        groups: dict[Selection, list[Listener]] = {}
        for client in clients:
            groups.setdefault(client.selection, []).append(client)
        groups.pop(NOTHING, None)
        wanted = frozenset().union(*(selection.types for selection in groups))
        if wanted != self._wanted:
            self._wanted = wanted
            assert self._follower is not None
            self._follower.want(dict.fromkeys(wanted, 0))
        return groups

    def _tape(self, selection: Selection, clients: list[Listener]) -> Tape | None:
        """The tape of these events; None when their clients have to read the log themselves.

        There is none for pictures of the terminal: only the newest counts, and a client that is behind skips the rest.
        """
        tape = self._tapes.get(selection)
        if tape is None and ev.CLAUDE_SCREEN not in selection.types and len(self._tapes) < MAX_TAPES:
            start = min(client.cursor for client in clients)
            tape = self._tapes[selection] = Tape(self._log, selection, start, self._max_batch)
        return tape
