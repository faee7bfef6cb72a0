"""How far events have been read, so that none is taken twice."""

from __future__ import annotations

from claude_mpm.client.frame_queue import Frame

ORIGINS = 10_000  # instances behind a hub whose newest event is remembered


class Progress:
    """Which events have come, by the server's own numbers and by those of the instances behind it. One thread.

    A hub numbers the events of all its instances anew, and again after a restart; `origin_seq` is the number that the
    instance gave. So what has come is known by both.

    Attributes:
        since: the newest seq that has come, of the server connected now.
    """

    def __init__(self) -> None:
        self.since = 0
        self._origin_seqs: dict[str, int] = {}  # per instance behind a hub, the newest

    def is_new(self, frame: Frame) -> bool:
        """Whether this frame has not come yet; it counts as come from now on. One without numbers is always new."""
        seq, origin_seq, instance_id = frame.get("seq"), frame.get("origin_seq"), frame.get("instance_id")
        if isinstance(seq, int):
            if seq <= self.since:
                return False
            self.since = seq
        if isinstance(origin_seq, int) and isinstance(instance_id, str):
            return self._is_new_of(instance_id, origin_seq)
        return True

    def _is_new_of(self, instance_id: str, origin_seq: int) -> bool:
        newest = self._origin_seqs.pop(instance_id, 0)
        self._origin_seqs[instance_id] = max(origin_seq, newest)  # at the end: the first was heard of longest ago
        if len(self._origin_seqs) > ORIGINS:
            del self._origin_seqs[next(iter(self._origin_seqs))]
        return origin_seq > newest
