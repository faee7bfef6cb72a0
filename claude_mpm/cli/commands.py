"""`claude-mpm instances | watch | attach | monitor | doctor`. Prints: cli.py's other half."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from claude_mpm.cli import main as cli
from claude_mpm.config import DEFAULT_PORT, Config
from claude_mpm.errors import UsageError


def run(name: str, args: Sequence[str]) -> int:
    """Run one command; returns its exit code. May raise ClaudeMpmError."""
    try:
        return {"instances": _instances, "watch": _watch, "attach": _attach, "monitor": _monitor, "doctor": _doctor}[
            name
        ](args)
    except SystemExit as done:  # argparse has printed help or its complaint
        return int(done.code or 0)


def _parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"claude-mpm {name}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _instances(args: Sequence[str]) -> int:
    parser = _parser(
        "instances", "The claude-mpm instances of this user that run now.", "exit code: 0, also when there are none"
    )
    parser.add_argument("--json", action="store_true", help="the list as JSON, as get_instances gives it")
    chosen = parser.parse_args(args)
    found = _live()
    if chosen.json:
        print(json.dumps(found, indent=2))
    elif not found:
        print("No instance runs. Start one with: claude-mpm --websocket", file=sys.stderr)
    for info in [] if chosen.json else found:
        branch = f" ({_plain(info['git_branch'])})" if info.get("git_branch") else ""
        print(
            f"http://localhost:{info['port']}/  pid {info['pid']}  {_plain(info['working_dir'])}{branch}  since {info['started_at']}"
        )
    return 0


def _live() -> list[dict[str, Any]]:
    from claude_mpm.system import instances

    return instances.live(Config().state_dir)


def _plain(text: str) -> str:
    """A name of somebody else's on one line of our terminal: no control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _watch(args: Sequence[str]) -> int:
    from claude_mpm.cli import watch

    return watch.main(args)


def _monitor(args: Sequence[str]) -> int:
    parser = _parser("monitor", "Open the monitor page of what runs; it shows all instances at once.")
    parser.add_argument(
        "port", nargs="?", type=int, help=f"whose page to open (default: {DEFAULT_PORT}, or the first that runs)"
    )
    chosen = parser.parse_args(args)
    ports = [info["port"] for info in _live()]
    if chosen.port is not None and chosen.port not in ports:
        raise UsageError(f"no instance of yours serves port {chosen.port}; `claude-mpm instances` lists what runs")
    if not ports:
        raise UsageError("no instance runs; start one with: claude-mpm --websocket")
    from claude_mpm.cli.browser import open_page
    from claude_mpm.system import instances

    port = chosen.port or (DEFAULT_PORT if DEFAULT_PORT in ports else min(ports))
    url = f"http://localhost:{port}/"
    trouble = open_page(url, instances.token_for(port, Config().state_dir))
    if trouble:
        raise UsageError(trouble)
    print(f"opened {url}")
    return 0


def _attach(args: Sequence[str]) -> int:
    parser = _parser(
        "attach",
        "Watch a claude that already runs, of your own user: everything but its output and its screen.",
        "It goes on untouched when this ends. Ctrl-C stops watching.\nexit code: 0 when that claude ended, 130 after Ctrl-C, 2 when it cannot be watched",
    )
    parser.add_argument(
        "pid", type=int, metavar="PID", help="which claude; `ps -C claude` or `pgrep -a claude` lists them"
    )
    cli.add_server_args(parser)
    chosen = parser.parse_args(args)
    config = cli.server_config(chosen, os.environ)
    from claude_mpm.monitor import run

    cli.require_libraries()
    command = run.attached_command(chosen.pid)
    sockets = cli.bind_port(config)
    cli.announce(config, sockets)
    return run.beside_a_stranger(config, command, chosen.pid, sockets)


def _doctor(args: Sequence[str]) -> int:
    parser = _parser(
        "doctor",
        "What can be seen of a given claude, and what to do about the rest.",
        "exit code: 0 when Claude and its transcript can be followed, 1 when not",
    )
    parser.add_argument("--claude", default=os.environ.get("CLAUDE_MPM_CLAUDE") or "claude", metavar="PATH")
    chosen = parser.parse_args(args)
    from claude_mpm.cli import doctor

    findings = doctor.examine(chosen.claude, os.environ)
    for finding in findings:
        print(f"{'ok     ' if finding.ok else 'missing'}  {finding.name:16}  {finding.says}")
        if finding.hint and not finding.ok:
            print(f"{'':27}{finding.hint}")
    needed = {finding.name: finding.ok for finding in findings}
    return 0 if needed["claude"] and needed.get("config directory", True) else 1
