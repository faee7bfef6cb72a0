"""One line of text for each event, for people who read them in a terminal. Pure.

What Claude prints is hostile to a terminal: only printable characters of it reach the reader's.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from claude_mpm.client import CONNECTED, LOST
from claude_mpm.feed import event as ev

Data = dict[str, Any]

WIDTH = 160  # characters of one text on a line; longer ones are cut

# CSI sequences; then the strings OSC, DCS, SOS, PM and APC, up to their terminator or the end of the text; then any
# other escape sequence (ECMA-48, 8-bit forms included).
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)


def plain(value: object, width: int = WIDTH) -> str:
    """Return any value as printable text on one line, cut to `width` characters.

    Escape sequences are removed, and so is everything that moves the cursor or changes the reading direction.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = _ESCAPES.sub("", text[: width * 64])
    text = "".join(c if c.isprintable() else " " if c.isspace() else "" if _is_format(c) else "\ufffd" for c in text)
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_format(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Cc")


def render(event: Data) -> str:
    """Return one line for one frame of the protocol: time, seq, type, and what it says. Accepts any shape of data.

    From a hub, the machine and the beginning of the instance's id follow the type.
    """
    kind, data = event.get("type"), event.get("data")
    summarize = _SUMMARIES.get(str(kind))
    try:
        text = summarize(data) if summarize and isinstance(data, dict) else plain(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        text = plain(data)  # the shape of a later version
    time = plain(str(event.get("timestamp", ""))[11:19], 8)
    number = event.get("seq")
    seq = f"#{number}" if isinstance(number, int) else ""
    where = (
        f"{plain(event['machine'], 20)}:{plain(event.get('instance_id', ''), 9)[:8]}  " if "machine" in event else ""
    )
    return f"{time:8} {seq:>6}  {plain(str(kind), 40):16}  {where}{text}".rstrip()


# --- the summary of each type ------------------------------------------------------------------------


def _join(*parts: object) -> str:
    return "  ".join(plain(part) for part in parts if part not in (None, ""))


def _start(data: Data) -> str:
    info = data["instance_info"]
    port = f"port {data['websocket_port']}"
    return _join(
        data["reason"],
        info.get("name"),
        data["session_id"] or "no session id yet",
        info["working_dir"],
        port,
        data["launch_method"],
    )


def _end(data: Data) -> str:
    how = data["signal"] or (None if data["exit_code"] is None else f"exit code {data['exit_code']}")
    return _join(data["reason"], how, f"after {data['duration_seconds']:.1f} s")


def _status(data: Data) -> str:
    waiting = data.get("waiting_for")
    what = waiting and f"for {waiting.get('kind')} {waiting.get('tool', '')} {_short(waiting.get('input'))}"
    pid = f"pid {data['pid']}" if "pid" in data else None
    code = f"exit code {data['exit_code']}" if "exit_code" in data else None
    return _join(data["status"], data.get("activity"), what, data.get("message"), pid, code, data.get("signal"))


def _question(data: Data) -> str:
    what = f"{data['tool']} {_short(data.get('input'))}" if "tool" in data else None
    client = f"by {data['client']}" if "client" in data else None
    return _join(data["state"], data["request_id"], what, data.get("decision"), client, data.get("reason"))


def _output(data: Data) -> str:
    content = data["content"]
    text = plain(content)
    stream = None if data["stream"] == "stdout" else data["stream"]
    return _join(stream, text or f"({len(content)} characters that draw nothing)")


def _message(data: Data) -> str:
    return f"{_join(_agent(data), data['role'])}: {plain(data['text'])}"


def _tool_start(data: Data) -> str:
    return _join(_agent(data), data["tool"], _short(data["input"]))


def _tool_end(data: Data) -> str:
    return _join(
        _agent(data),
        data["tool"],
        "ok" if data["ok"] else "failed",
        _seconds(data.get("duration_ms")),
        data.get("summary"),
    )


def _delegation(data: Data) -> str:
    tokens = f"{data['tokens']} tokens" if "tokens" in data else None
    return _join(
        data["agent"], data["status"], data["task"], _seconds(data.get("duration_ms")), tokens, data.get("reason")
    )


def _agents(data: Data) -> str:
    active = ", ".join(f"{a['agent']}: {a['task']}" for a in data["active_agents"])
    return _join(f"{len(data['active_agents'])} active", active)


def _todos(data: Data) -> str:
    stats = data["stats"]
    doing = [t.get("active_form") or t["content"] for t in data["todos"] if t["status"] == "in_progress"]
    count = f"{stats['completed']} of {stats['total']} done"
    return _join(_agent(data), count, f"now: {'; '.join(doing)}" if doing else None)


def _usage(data: Data) -> str:
    tokens, totals = data["tokens"], data["totals"]
    cost = (
        f"${data['cost_usd']:.2f}{' (estimate)' if data.get('cost_is_estimate') else ''}"
        if "cost_usd" in data
        else None
    )
    context = f"context {data['context_percent']:.0f} %" if "context_percent" in data else None
    used = f"{tokens.get('input', 0)} in, {tokens.get('output', 0)} out"
    return _join(
        data["model"], used, f"total {totals.get('input', 0)} in, {totals.get('output', 0)} out", context, cost
    )


def _screen(data: Data) -> str:
    return _join(f"{data['cols']}×{data['rows']}", f"{len(data['lines'])} lines", data["title"])


def _fleet(fleet: Data) -> str:
    counts = [f"{fleet[key]} {word}" for key, word in _STANDINGS if fleet[key]]
    sessions, machines = fleet["instances"], fleet["machines"]
    size = f"{sessions} session{'' if sessions == 1 else 's'} on {machines} machine{'' if machines == 1 else 's'}"
    missing = [f"{source['name']} cannot be reached" for source in fleet["sources"] if not source["reachable"]]
    return _join(f"hub of {size}{':' if counts else ''}", ", ".join(counts), "; ".join(missing))


def _system_status(data: Data) -> str:
    if "fleet" in data:
        return _fleet(data["fleet"])
    info, stats = data["instance_info"], data.get("todos", {}).get("stats", {})
    clients = f"{data['connected_clients']} client{'' if data['connected_clients'] == 1 else 's'}"
    todos = f"todos {stats['completed']}/{stats['total']}" if stats.get("total") else None
    pid = f"pid {data['claude_pid']}" if data["claude_pid"] else None
    where = (info.get("name"), info["working_dir"])
    return _join(f"claude {data['claude_status']}", data.get("activity"), pid, *where, todos, clients)


def _error(data: Data) -> str:
    return _join(f"{data['severity']} in {data['component']}:", data["error"], data.get("hint"))


def _gap(data: Data) -> str:
    lost = ", ".join(f"{count} {kind}" for kind, count in data["counts"].items())
    return _join(f"#{data['from_seq']} to #{data['to_seq']} are gone", lost, data["reason"])


def _control(data: Data) -> str:
    return _join(data["command"], f"by {data['client']}", data.get("detail"))


def _connected(data: Data) -> str:
    return _join("to a new instance" if data["new_instance"] else "connected", _system_status(data["status"]))


def _lost(data: Data) -> str:
    why = _join(data["reason"] or "", f"({data['code']})" if data["code"] else "")
    return _join("connection lost", why, "trying again; Ctrl-C ends")


def _agent(data: Data) -> str | None:
    return f"[{data['agent_id']}]" if data.get("agent_id") else None


def _short(value: Any) -> str:
    """A tool's input; if it has a single field, the value without the name."""
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    return "" if value is None else plain(value)


def _seconds(milliseconds: Any) -> str | None:
    return None if milliseconds is None else f"{milliseconds / 1000:.1f} s"


_STANDINGS = (
    ("needs_you", "need you"),
    ("working", "working"),
    ("idle", "idle"),
    ("ended", "ended"),
    ("unreachable", "unreachable"),
)
_SUMMARIES: dict[str, Callable[[Data], str]] = {
    ev.SESSION_START: _start,
    ev.SESSION_END: _end,
    ev.CLAUDE_STATUS: _status,
    ev.CLAUDE_QUESTION: _question,
    ev.CLAUDE_OUTPUT: _output,
    ev.CLAUDE_MESSAGE: _message,
    ev.TOOL_START: _tool_start,
    ev.TOOL_END: _tool_end,
    ev.AGENT_DELEGATION: _delegation,
    ev.AGENT_STATUS: _agents,
    ev.TODO_UPDATE: _todos,
    ev.CLAUDE_USAGE: _usage,
    ev.CLAUDE_SCREEN: _screen,
    ev.SYSTEM_STATUS: _system_status,
    ev.SYSTEM_ERROR: _error,
    ev.SYSTEM_GAP: _gap,
    ev.SYSTEM_CONTROL: _control,
    CONNECTED: _connected,
    LOST: _lost,
}
