"""What the stand-in's terminal shows: a view that follows the story and draws itself as lines. Pure."""

from __future__ import annotations

import re
import unicodedata

from claude_mpm.demo.story import Step

LABEL = "DEMO — a stand-in, not Claude"
MAX_LOG = 500  # lines kept; no terminal has more rows
RESET, BOLD, DIM, STRIKE = "\x1b[0m", "\x1b[1m", "\x1b[38;5;246m", "\x1b[9m"
ORANGE, GREEN, RED, WHITE, BACK = (
    "\x1b[38;5;174m",
    "\x1b[38;5;114m",
    "\x1b[38;5;211m",
    "\x1b[38;5;231m",
    "\x1b[48;5;237m",
)
SPINNER = "·✢✳✶✻✽"
SIGN = {"completed": f"{GREEN}✔{RESET} {DIM}{STRIKE}", "in_progress": f"{ORANGE}◼{RESET} {BOLD}", "pending": "◻ "}
_SGR = re.compile(r"(\x1b\[[0-9;]*m)")


def width(text: str) -> int:
    """The columns that `text` takes: wide characters take two; joiners and combining marks take none."""
    return sum(
        0 if unicodedata.combining(c) or c in "\u200d\ufe0f" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def fit(line: str, cols: int) -> str:
    """`line` cut to `cols` columns, with its colours, and with a reset at its end."""
    out, left = "", cols
    for part in _SGR.split(line):
        if part.startswith("\x1b"):
            out += part
            continue
        for c in part:
            left -= width(c)
            if left < 0:
                return out + RESET
            out += c
    return out + RESET


def burst(size: int) -> str:
    """Box-drawing text of exactly `size` bytes in UTF-8; the same every time."""
    rows = size // 242 + 1  # a row is 80 characters of three bytes, CR and LF
    text = "".join("┌─┐│└┘├┤┬┴┼═║╔╗╚"[row % 16] * 80 + "\r\n" for row in range(rows)).encode()[:size]
    whole = text.decode(errors="ignore")
    return whole + "." * (size - len(whole.encode()))


def _diff(call: Step) -> list[str]:
    """The lines that a call of Edit, MultiEdit or Write takes away and adds."""
    given = call.input
    if "content" in given:
        return [f"{GREEN}+ {line}" for line in given["content"].splitlines()]
    edits = given.get("edits") or ([given] if "old_string" in given else [])
    lines = []
    for edit in edits:
        lines += [f"{RED}- {line}" for line in edit["old_string"].splitlines()]
        lines += [f"{GREEN}+ {line}" for line in edit["new_string"].splitlines()]
    return lines


class View:
    """What there is to see. One thread.

    Attributes:
        typed: what the user has typed into the prompt; set by the caller.
        hint: a line for the user instead of the usual one; set by the caller.
        busy: whether Claude works.
        dialog: the call that a permission dialog asks about.
        tokens: of the answers so far.
    """

    def __init__(self, url: str = "") -> None:
        self._url = url  # of the monitor page
        self.typed = ""
        self.hint = ""
        self.busy = False
        self.dialog: Step | None = None
        self.tokens = 0
        self._log: list[str] = []
        self._tasks: list[tuple[str, str, str]] = []  # subject, active form, status
        self._agents: dict[str, Step] = {}
        self._calls: dict[str, Step] = {}

    def apply(self, step: Step) -> None:
        """Show the step."""
        self.tokens += 40 + len(step.text)
        if step.kind in ("call", "task", "spawn"):
            self._calls[step.use] = step
        show = getattr(self, f"_{step.kind}", None)
        if show is not None and (not step.by or step.kind in ("spawn", "done")):
            show(step)
        if step.kind in ("prompt", "news"):
            self.busy = True
        elif step.kind in ("stop", "done"):
            self.busy = bool(self._agents) or (self.busy and step.kind == "done")
        del self._log[:-MAX_LOG]

    def interrupt(self) -> None:
        """Show that the user has interrupted the turn."""
        self.busy, self.dialog = False, None
        self._log += [f"  {DIM}⎿  {RED}Interrupted{DIM} · the story goes on in a moment", ""]

    def lines(self, cols: int, rows: int, frame: int, seconds: int) -> list[str]:
        """Exactly `rows` lines of at most `cols` columns. `frame` turns the spinner, `seconds` is the turn's age."""
        rule = "─" * max(cols - 2, 0)
        head = self._head(cols, rule)
        foot = self._foot(rule, frame, seconds)
        room = rows - len(head) - len(foot)
        if room < 3:  # too low for everything: the label and the prompt are what matters
            head = [f"{BOLD}{RED}{LABEL}{RESET}{f' · {self._url}' if self._url else ''}"]
            room = rows - 1 - min(len(foot), max(rows - 1, 0))
        body = self._log[-room:] if room > 0 else []
        shown = [*head, *body, *[""] * (room - len(body)), *foot[-max(rows - len(head), 0) :]]
        return [fit(line, cols) for line in shown[:rows]]

    def _head(self, cols: int, rule: str) -> list[str]:
        """A box as wide as the terminal, closed on its right side."""
        story = "claude-mpm --demo · a fixed story ✨ 日本語"
        texts = [f"{BOLD}{RED}{LABEL}", f"{DIM}{story}"]
        if self._url:
            texts.insert(1, f"{WHITE}watch it at {self._url}")
        sides = [fit(f"{ORANGE}│{RESET} {text}", max(cols - 2, 0)) for text in texts]
        pads = (" " * max(cols - 1 - width(_SGR.sub("", side)), 0) for side in sides)
        closed = [f"{side}{pad}{ORANGE}│" for side, pad in zip(sides, pads, strict=True)]
        return [f"{ORANGE}╭{rule}╮", *closed, f"{ORANGE}╰{rule}╯"]

    def _foot(self, rule: str, frame: int, seconds: int) -> list[str]:
        foot = [""]
        if self.busy:
            doing = next((active for _, active, status in self._tasks if status == "in_progress"), "Thinking")
            spinner = SPINNER[frame % len(SPINNER)]
            foot = [f"{ORANGE}{spinner} {doing}… {DIM}({seconds}s · ↓ {self.tokens / 1000:.1f}k tokens)"]
        foot += [
            f"  {DIM}{'⎿ ' if n == 0 else '  '}{RESET}{SIGN[s]}{subject}"
            for n, (subject, _, s) in enumerate(self._tasks)
        ]
        foot += [f"  {DIM}◯ {a.input['subagent_type']}  {a.input['description']}" for a in self._agents.values()]
        if self.dialog is not None:
            what = self.dialog.input.get("file_path") or self.dialog.input.get("command")
            foot += [f"{ORANGE}{rule}", f" {BOLD}{self.dialog.tool}{RESET} {what}"]
            foot += [*(f"   {line}" for line in _diff(self.dialog)), " Do you want to go on?"]
            foot += [f" {GREEN}❯ 1. Yes{DIM} (Enter; in this demo also by itself)", f" {DIM}  Esc to reject"]
        foot += [f"{DIM}{rule}", f"❯ {self.typed}\x1b[7m {RESET}", f"{DIM}{rule}"]
        return [
            *foot,
            f"  {RED}DEMO{DIM} · {self.hint or 'q or Ctrl-C twice ends it · Esc interrupts · type something'}",
        ]

    # --- steps ---

    def _prompt(self, step: Step) -> None:
        self._log += [f"{BACK}{DIM}❯ {WHITE}{step.text}", ""]

    def _say(self, step: Step) -> None:
        first, *rest = step.text.split("\n")
        self._log += [f"{WHITE}●{RESET} {first}", *(f"  {line}" for line in rest), ""]

    def _call(self, step: Step) -> None:
        what = step.input.get("command") or step.input.get("file_path") or step.input.get("query", "")
        self._log.append(f"{GREEN}●{RESET} {BOLD}{step.tool}{RESET}({what})")

    def _result(self, step: Step) -> None:
        colour = "" if step.ok else RED
        lines = [f"{colour}{line}" for line in step.text.split("\n")] + _diff(self._calls[step.use])
        self._log += [f"  {DIM}{'⎿ ' if n == 0 else '  '} {line}" for n, line in enumerate(lines)]
        self._log.append("")

    def _task(self, step: Step) -> None:
        given = step.input
        if step.tool == "TaskCreate":
            self._tasks.append((given["subject"], given["activeForm"], "pending"))
        else:
            number = int(given["taskId"]) - 1
            self._tasks[number] = (*self._tasks[number][:2], given["status"])

    def _ask(self, step: Step) -> None:
        self.dialog = self._calls[step.use]

    def _answer(self, step: Step) -> None:
        self.dialog = None

    def _spawn(self, step: Step) -> None:
        self._agents[step.use] = step
        if not step.by:
            self._log += [
                f"{GREEN}●{RESET} {BOLD}Agent{RESET}({step.input['description']})",
                f"  {DIM}⎿  Backgrounded agent",
                "",
            ]

    def _done(self, step: Step) -> None:
        agent = self._agents.pop(step.by)
        self._log += [f"{GREEN}●{RESET} Agent “{agent.input['description']}” finished", f"  {DIM}⎿  {step.text}", ""]

    def _clear(self, step: Step) -> None:
        self._tasks = []
