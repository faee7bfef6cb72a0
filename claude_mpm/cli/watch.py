"""Events as lines for people: `claude-mpm watch` and tools/test_websocket.py.

What Claude printed is hostile to a terminal; nothing of it reaches the reader's but printable text.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from claude_mpm.client.client import CONNECTED, LOST, Client
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import ClaudeMpmError
from claude_mpm.feed import event as ev
from claude_mpm.feed.patterns import is_pattern

Data = dict[str, Any]

WIDTH = 160  # characters of one text on a line
INTERRUPTED, READER_GONE = 130, 141  # exit codes: 128 + SIGINT, 128 + SIGPIPE

# CSI, then the strings OSC, DCS, SOS, PM, APC up to their end or the text's, then any other escape
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)

EPILOG = """\
Channels are patterns: `*` (all), `agent.*`, `todo.update`. Several: --channels 'todo.*' 'agent.*', or with commas.
When the connection is lost it is made again, and goes on where it was; what is gone for good is said.
Events go to stdout, everything about the connection to stderr.

exit code: 0 after --help; 1 no claude-mpm there, or refused; 2 usage; 130 Ctrl-C; 141 the reader of stdout left.
"""


def plain(value: object, width: int = WIDTH) -> str:
    """Any text on one line: no escape sequence, nothing that moves the cursor or the reading direction, cut to `width`."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = _ESCAPES.sub("", text[: width * 64])
    text = "".join(c if c.isprintable() else " " if c.isspace() else "" if _is_format(c) else "\ufffd" for c in text)
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_format(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Cc")


def render(event: Data) -> str:
    """One line for one frame of the protocol, whatever is in it. Pure."""
    kind, data = event.get("type"), event.get("data")
    words = _WORDS.get(str(kind))
    try:
        text = words(data) if words and isinstance(data, dict) else plain(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        text = plain(data)  # a later version's shape
    time = plain(str(event.get("timestamp", ""))[11:19], 8)
    number = event.get("seq")
    return f"{time:8} {f'#{number}' if isinstance(number, int) else '':>6}  {plain(str(kind), 40):16}  {text}".rstrip()


# --- the words of each type ------------------------------------------------------------------------


def _join(*parts: object) -> str:
    return "  ".join(plain(part) for part in parts if part not in (None, ""))


def _start(data: Data) -> str:
    info = data["instance_info"]
    port = f"port {data['websocket_port']}"
    return _join(
        data["reason"], data["session_id"] or "no session id yet", info["working_dir"], port, data["launch_method"]
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


def _system_status(data: Data) -> str:
    info, stats = data["instance_info"], data.get("todos", {}).get("stats", {})
    clients = f"{data['connected_clients']} client{'' if data['connected_clients'] == 1 else 's'}"
    todos = f"todos {stats['completed']}/{stats['total']}" if stats.get("total") else None
    pid = f"pid {data['claude_pid']}" if data["claude_pid"] else None
    return _join(f"claude {data['claude_status']}", data.get("activity"), pid, info["working_dir"], todos, clients)


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
    """A tool's input: the value of a single field alone says enough."""
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    return "" if value is None else plain(value)


def _seconds(milliseconds: Any) -> str | None:
    return None if milliseconds is None else f"{milliseconds / 1000:.1f} s"


_WORDS: dict[str, Callable[[Data], str]] = {
    ev.SESSION_START: _start,
    ev.SESSION_END: _end,
    ev.CLAUDE_STATUS: _status,
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


# --- the command -----------------------------------------------------------------------------------


def watch(client: Client, channels: Sequence[str], since: int | None, jsonl: bool, out: TextIO, notes: TextIO) -> int:
    """Write events to `out`, and what happens to the connection to `notes`, until Ctrl-C. Returns the exit code.

    Blocks. Closes the client.

    Raises:
        ClaudeMpmError: nothing to connect to, or refused.
        BrokenPipeError: the reader of `out` left.
    """
    try:
        for frame in client.follow(channels, since):
            to, as_json = (notes, False) if frame["type"] in (CONNECTED, LOST) else (out, jsonl)
            to.write((json.dumps(frame) if as_json else render(frame)) + "\n")  # ASCII: any terminal, any locale
            to.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        client.close()
    return 0


def running_port() -> int:
    """The port to look at when the user named none: the usual one, unless only others are in use by our instances."""
    from claude_mpm.system import instances  # psutil is behind it: not for who names a port and a token

    ports = [int(info["port"]) for info in instances.live(Config().state_dir)]
    return min(ports) if ports and DEFAULT_PORT not in ports else DEFAULT_PORT


def run(args: Sequence[str]) -> int:
    """`claude-mpm watch`."""
    return main(args)


def main(argv: Sequence[str] | None = None, prog: str = "claude-mpm watch") -> int:
    """The command line; returns the exit code. SystemExit as argparse does."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Print the events of a claude-mpm as they come, a line each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("port", nargs="?", type=int, help=f"default: {DEFAULT_PORT}, or the first that runs")
    parser.add_argument("--channels", nargs="+", default=["*"], metavar="PATTERN", help="which events (default: all)")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a line, as the server sent it")
    parser.add_argument("--since", type=int, metavar="SEQ", help="start after this event; 0: with the oldest kept")
    parser.add_argument("--host", default="localhost", help="default localhost")
    parser.add_argument(
        "--token", default=os.environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN"), help="not needed for an instance of your own"
    )
    chosen = parser.parse_args(argv)
    channels = [pattern for text in chosen.channels for pattern in text.split(",") if pattern]
    for pattern in channels:
        if not is_pattern(pattern):
            parser.error(f"{plain(pattern)!r} is no channel; try '*', 'agent.*' or 'todo.update'")
    if chosen.since is not None and chosen.since < 0:
        parser.error("--since is an event's number, or 0")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets `?`, not an end
    try:
        client = Client(running_port() if chosen.port is None else chosen.port, chosen.host, chosen.token)
        return watch(client, channels, chosen.since, chosen.jsonl, sys.stdout, sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes at exit
        return READER_GONE
    except ClaudeMpmError as error:
        sys.stderr.write(f"{prog}: {error}\n")
        return error.exit_code
