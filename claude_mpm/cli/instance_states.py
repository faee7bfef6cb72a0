"""What each instance of this user is doing at the moment: asked of a hub if one runs here, else of each instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from claude_mpm.feed.standing import standing
from claude_mpm.system import instances
from claude_mpm.system.json_text import loads
from claude_mpm.system.local_http import Get, get_all

ANSWER_TIME = 1.0  # seconds; whoever takes longer counts as unknown
ANSWER_BYTES = 256 * 1024  # of one instance's answer; a few hundred are usual
HUB_BYTES = 16 * 1024 * 1024  # of a hub's, which is about a kilobyte for each instance
NO_SESSION = ("hub", "overview", "replay")  # kinds of instances without a running Claude
STATES = ("needs_you", "working", "idle", "ended", "unknown")

Local = tuple[dict[str, Any], str | None]  # `instance_info`, and the token


class InstanceState(NamedTuple):
    """One instance.

    Attributes:
        machine: the name of its host.
        state: one of STATES.
        waiting_for: `kind` and `tool` of what Claude waits for, with `needs_you`.
        since: when this began, as in the protocol; None where it is not known.
    """

    instance_id: str
    name: str | None
    working_dir: str
    port: int
    machine: str | None
    state: str
    waiting_for: dict[str, Any] | None
    since: str | None


def all_states(state_dir: Path) -> list[InstanceState]:
    """All instances that can be found, those that need somebody first. Blocks for twice ANSWER_TIME at most.

    Instances of this machine whose status no hub tells are asked themselves.
    """
    local = instances.live_with_tokens(state_dir)
    states = _ask_hubs([each for each in local if each[0].get("kind") == "hub"])
    known = {name for name, state in states.items() if state.state != "unknown"}
    rest = [each for each in local if each[0].get("kind") not in NO_SESSION and each[0]["instance_id"] not in known]
    states |= {state.instance_id: state for state in _ask_instances(rest)}
    return sorted(states.values(), key=lambda each: STATES.index(each.state))


def _ask_hubs(hubs: Sequence[Local]) -> dict[str, InstanceState]:
    """By instance_id, what the hubs of this machine know. Of an instance that a hub cannot reach, it knows the past only."""
    found: dict[str, InstanceState] = {}
    for data in _ask(hubs, "/instances", HUB_BYTES):
        for info in _listed(data):
            if info.get("kind") not in NO_SESSION and info["instance_id"] not in found:
                status = info.get("status") if info.get("reachable") is not False else None
                found[info["instance_id"]] = _state_of(info, status if isinstance(status, dict) else {})
    return found


def _ask_instances(local: Sequence[Local]) -> Iterator[InstanceState]:
    for (info, _), data in zip(local, _ask(local, "/activity", ANSWER_BYTES), strict=True):
        yield _state_of(info, data)


def _ask(local: Sequence[Local], path: str, max_bytes: int) -> list[Mapping[str, Any]]:
    """`data` of each answer; empty where there was none."""
    gets = [Get(info["host"], info["port"], path, token) for info, token in local]
    return [_data(body) for body in get_all(gets, ANSWER_TIME, max_bytes)]


def _data(body: bytes | None) -> Mapping[str, Any]:
    try:
        frame = loads(body or b"")
    except ValueError:
        return {}
    data = frame.get("data") if isinstance(frame, dict) else None
    return data if isinstance(data, dict) else {}


def _listed(data: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The entries of `instances` that have what we need."""
    listed = data.get("instances")
    for info in listed if isinstance(listed, list) else ():
        if isinstance(info, dict) and isinstance(info.get("instance_id"), str) and isinstance(info.get("port"), int):
            yield info


def _state_of(info: Mapping[str, Any], status: Mapping[str, Any]) -> InstanceState:
    """`status`: `system.status` or a part of it; empty if the instance did not answer."""
    state = standing(status) if isinstance(status.get("claude_status"), str) else "unknown"
    waiting_for = status.get("waiting_for")
    asked = {name: waiting_for.get(name) for name in ("kind", "tool")} if isinstance(waiting_for, dict) else None
    return InstanceState(
        instance_id=info["instance_id"],
        name=_text(info.get("name")),
        working_dir=_text(info.get("working_dir")) or "",
        port=info["port"],
        machine=_text(info.get("machine")) or _text(info.get("hostname")),
        state=state,
        waiting_for=asked if state == "needs_you" else None,
        since=_since(state, status),
    )


def _since(state: str, status: Mapping[str, Any]) -> str | None:
    if state == "ended":
        ended = status.get("ended")
        return _text(ended.get("end_time")) if isinstance(ended, dict) else None
    return _text(status.get("activity_since"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
