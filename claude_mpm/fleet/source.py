"""What a hub asks of the places its instances come from: this machine, another one over ssh, or Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from claude_mpm.feed import event as ev

Frame = dict[str, Any]  # one message of docs/protocol.md

ON_REQUEST = frozenset({ev.CLAUDE_OUTPUT, ev.CLAUDE_SCREEN})  # delivered only while somebody wants them; see want()
FIRST_EVENTS = 1_000  # kept events delivered of an instance that is new to a source; `get_history` has the rest


class Source(Protocol):
    """A place that instances come from. It tells all it knows by delivering frames of the protocol:

    - `instances` (data: `instances`), the whole list of `instance_info`, at the beginning and whenever it changes. An
      instance that is missing from it has gone. A list also says that the source can be reached (again).
    - `system.status` without `seq`, with `instance_id`: how that instance stands, before its first event and after each
      interruption. It belongs to an instance of the newest list.
    - events with `instance_id` and `seq`: in order for each instance, each once, and none of ON_REQUEST that nobody
      wants. The first one of an instance is at most FIRST_EVENTS before its newest.
    - `system.gap` with `instance_id`: what a subscriber would have got from that instance and does not.
    - replies: the frames of an instance that carry the `request_id` of a command given to send().
    - `system.error` without `instance_id`: the source itself is impaired; once for each different sentence in a row.

    Attributes:
        name: of the source, as the user wrote it but without any password: "local", "ssh://host", "redis://host/0".
    """

    name: str

    def start(self, deliver: Callable[[Frame], None]) -> None:
        """Begin to deliver, in threads of the source's own. `deliver` takes one frame, from any thread, and is quick.

        Does not block, and raises nothing for what may pass: a source that cannot be reached is tried again with
        growing pauses, and says so with `system.error`.
        """

    def stop(self) -> None:
        """Ask the source to end. Any thread, idempotent; does not block."""

    def join(self, timeout: float) -> bool:
        """Wait until all threads and child processes have ended. Returns False when `timeout` seconds passed first."""

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        """Give a command to an instance. Any thread; blocks for a moment at most.

        Args:
            message: the command, with `instance_id` and `request_id`, a text that is the hub's own.
            trusted: whether whoever asks may act on Claude. The instance decides otherwise by its own rules.

        Raises:
            ServerUnavailable: the instance cannot be reached at the moment.
        """

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool = False) -> None:
        """Say what somebody looks at, and whether he may act. Replaces what was said before.

        Any thread; does not block.

        Args:
            wanted: for each instance, the types of ON_REQUEST; instances that are not listed get none.
            attended: whether somebody is connected who may answer Claude: only then do questions wait for an answer.
        """
