"""`claude-mpm status`: one line for a status bar or a shell prompt. It has to be quick, so it loads very little."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from claude_mpm.cli.instance_states import STATES, InstanceState, all_states
from claude_mpm.cli.terminal_lines import printable
from claude_mpm.config import Config
from claude_mpm.errors import UsageError

if TYPE_CHECKING:
    import argparse

NOBODY_WAITS, SOMEBODY_WAITS = 0, 1  # exit codes
FIELDS = (*STATES, "total")
NOTHING = "no sessions"  # what is said when nothing is running
MAX_LABEL = 60  # characters of a session's name or directory in a tooltip
MAX_LINES = 30  # sessions in a tooltip
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

EPILOG = """\
It says how many sessions need you because Claude asks something, how many are working and how many are idle. With no
session running it says `no sessions`. Instances that do not answer within a second are counted as unknown. A hub that
runs on this machine is asked for all that it knows.

--format TEXT is printed with {needs_you}, {working}, {idle}, {ended}, {unknown} and {total} replaced by numbers; {{ and
}} are braces. Nothing else is special in it.

--json prints one line with one object: `text`, `tooltip` and `class` for waybar's custom module (return-type json),
`counts`, and `instances` [{instance_id, name, working_dir, port, machine, state, waiting_for {kind, tool}, since}].

  ~/.tmux.conf:      set -g status-right '#(claude-mpm status)'
  shell prompt:      PS1='[$(claude-mpm status)] \\w $ '

exit code: 0 nobody waits for you; 1 somebody does; 2 usage
"""


def run(args: Sequence[str]) -> int:
    """Print the line and return the exit code. Blocks for two seconds at most, usually for a few milliseconds."""
    template, as_json = None, False
    if args:  # loading argparse takes a tenth of the time that we may take
        chosen = _parse(args)
        template, as_json = chosen.format, chosen.json
    states = all_states(Config().state_dir)
    counts = count(states)
    if as_json:
        print(as_json_line(states, counts))
    else:
        print(printable(line(counts) if template is None else filled(template, counts)))
    return SOMEBODY_WAITS if counts["needs_you"] else NOBODY_WAITS


def count(states: Sequence[InstanceState]) -> dict[str, int]:
    """How many are in each state, and in total."""
    each = [state.state for state in states]
    return {name: each.count(name) for name in STATES} | {"total": len(each)}


def line(counts: Mapping[str, int]) -> str:
    """What matters first, and nothing that is zero: "2 need you · 3 working"."""
    parts = [f"{counts['needs_you']} need{'s' if counts['needs_you'] == 1 else ''} you"] if counts["needs_you"] else []
    parts += [f"{counts[name]} {name}" for name in STATES[1:] if counts[name]]
    return " · ".join(parts) or NOTHING


def filled(template: str, counts: Mapping[str, int]) -> str:
    """The template with each field replaced.

    Raises:
        UsageError: a field is unknown, or a brace stands alone.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] in FIELDS:
            return str(counts[match[1]])
        names = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise UsageError(f"--format does not know `{printable(match[0])}`; there are {names}, and {{{{ for a brace")

    return _FIELD.sub(value, template)


def as_json_line(states: Sequence[InstanceState], counts: Mapping[str, int]) -> str:
    """One JSON object in ASCII, so that no terminal, bar or locale can be upset by what a session is called."""
    import json

    worst = next((name for name in STATES if counts[name]), "none")
    described: dict[str, Any] = {
        "text": line(counts),
        "tooltip": tooltip(states),
        "class": worst.replace("_", "-"),
        "counts": dict(counts),
        "instances": [state._asdict() for state in states],
    }
    return json.dumps(described, separators=(",", ":"))


def tooltip(states: Sequence[InstanceState]) -> str:
    """A line for each session: what it is called, where it runs, and what it does."""
    several = len({state.machine for state in states}) > 1
    lines = [_described(state, several) for state in states[:MAX_LINES]]
    left_out = len(states) - len(lines)
    return "\n".join([*lines, *([f"and {left_out} more"] if left_out else [])])


def _described(state: InstanceState, with_machine: bool) -> str:
    label = printable(state.name or state.working_dir)
    label = label if len(label) <= MAX_LABEL else f"{label[:MAX_LABEL]}…"
    where = f" on {printable(state.machine)[:MAX_LABEL]}" if with_machine and state.machine else ""
    return f"{label}{where}: {_doing(state)}"


def _doing(state: InstanceState) -> str:
    if state.state != "needs_you":
        return "does not answer" if state.state == "unknown" else state.state
    waiting_for = state.waiting_for or {}
    tool = f" ({printable(str(waiting_for['tool']))[:MAX_LABEL]})" if waiting_for.get("tool") else ""
    return f"needs you: {printable(str(waiting_for.get('kind') or 'a question'))[:MAX_LABEL]}{tool}"


def _parse(args: Sequence[str]) -> argparse.Namespace:
    from claude_mpm.cli.options import command_parser

    parser = command_parser("status", "Say in one line how many sessions need you.", EPILOG)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object instead")
    form.add_argument("--format", metavar="TEXT", help="print TEXT with its {fields} filled in")
    chosen = parser.parse_args(args)
    if chosen.format is not None:
        filled(chosen.format, dict.fromkeys(FIELDS, 0))
    return chosen
