"""A session as a text to read: prompts, answers, tool calls in a line each, what was edited as diffs. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from claude_mpm.archive.export.frames import Frame
from claude_mpm.feed import event as ev

MAX_LINE = 200  # characters of a call's description
MAX_DIFF = 400  # lines of one diff
_DESCRIBING = ("command", "file_path", "pattern", "path", "query", "url", "skill", "prompt", "description")
# Calls that an event of their own tells better: a delegation, or the todo list that follows.
_TOLD_OTHERWISE = frozenset({"Task", "Agent", "TodoWrite", "TaskCreate", "TaskUpdate", "TaskList", "TaskGet"})
_MARKS = {"completed": "x", "in_progress": "~"}
_SPEAKERS = {"user": "User", "assistant": "Claude", "system": "Claude Code"}


def lines(frames: Iterable[Frame]) -> Iterator[str]:
    """The lines of the Markdown text, each with its line end."""
    page = _Page()
    for frame in frames:
        for block in page.blocks(frame):
            yield f"{block}\n"


class _Page:
    """What has been written so far, as far as the next block depends on it."""

    def __init__(self) -> None:
        self._started = False
        self._speaker: tuple[str, str | None] | None = None
        self._in_list = False
        self._todos_shown: set[str] = set()  # the lines of the todo list that was shown last
        self._tasks: dict[str, str] = {}  # of agents, by agent id; bounded by the number of delegations

    def blocks(self, frame: Frame) -> Iterator[str]:
        data = frame["data"]
        kind = frame["type"]
        if kind == ev.SESSION_START:
            yield from self._start(frame, data)
        elif kind == ev.CLAUDE_MESSAGE:
            yield from self._message(data)
        elif kind == ev.TOOL_START and data.get("tool") not in _TOLD_OTHERWISE:
            yield from self._call(data)
        elif kind == ev.TOOL_END and data.get("ok") is False:
            yield from self._item(f"  failed: {_one_line(data.get('summary') or 'no reason given')}")
        elif kind == ev.AGENT_DELEGATION:
            yield from self._delegation(data)
        elif kind == ev.TODO_UPDATE and not data.get("agent_id"):
            yield from self._todos(data)
        elif kind == ev.SYSTEM_GAP:
            missing = sum(n for n in data.get("counts", {}).values() if isinstance(n, int))
            yield from self._paragraph(f"*{missing} events are missing here.*")
        elif kind == ev.SESSION_END:
            yield from self._paragraph(f"*The session ended at {data.get('end_time')}: {data.get('reason')}.*")

    def _start(self, frame: Frame, data: Mapping[str, Any]) -> Iterator[str]:
        info = data.get("instance_info") or {}
        if self._started:
            yield from self._paragraph(f"*Another session begins: {data.get('session_id')} ({data.get('reason')}).*")
            return
        self._started = True
        yield f"# Session {data.get('session_id') or frame.get('instance_id')}\n"
        facts = {
            "Directory": info.get("working_dir"),
            "Branch": info.get("git_branch"),
            "Began": data.get("start_time"),
        }
        facts["Claude Code"] = info.get("claude_version")
        yield from (f"- {name}: {value}" for name, value in facts.items() if value)

    def _message(self, data: Mapping[str, Any]) -> Iterator[str]:
        role, agent_id = str(data.get("role")), data.get("agent_id")
        speaker = (role, agent_id)
        if speaker != self._speaker:
            agent = f" (agent: {self._tasks.get(str(agent_id), str(agent_id))})" if agent_id else ""
            yield from self._paragraph(f"## {_SPEAKERS.get(role, role)}{agent}")
            self._speaker = speaker
        yield from self._paragraph(str(data.get("text", "")).strip())
        if data.get("truncated"):
            yield from self._paragraph("*The rest of this text was not kept.*")

    def _call(self, data: Mapping[str, Any]) -> Iterator[str]:
        tool_input = data.get("input")
        given = tool_input if isinstance(tool_input, dict) else {}
        what = next((given[name] for name in _DESCRIBING if isinstance(given.get(name), str)), "")
        yield from self._item(f"- **{data.get('tool')}** {_code(what)}".rstrip())
        for old, new in _edits(given):
            yield from self._fence(_diff(old, new), "diff")

    def _delegation(self, data: Mapping[str, Any]) -> Iterator[str]:
        task, agent_id = _one_line(data.get("task")), data.get("agent_id")
        if agent_id:
            self._tasks[str(agent_id)] = task
        if data.get("status") == "started":
            yield from self._item(f"- **Agent** {data.get('agent')}: {task}")
        else:
            why = f": {_one_line(data['reason'])}" if data.get("reason") else ""
            yield from self._item(f"- **Agent {data.get('status')}** {task}{why}")

    def _todos(self, data: Mapping[str, Any]) -> Iterator[str]:
        """The todos that are new or have changed since the list was shown last."""
        found = [todo for todo in data.get("todos", ()) if isinstance(todo, dict)]
        items = [f"- [{_MARKS.get(str(todo.get('status')), ' ')}] {_one_line(todo.get('content'))}" for todo in found]
        for item in items:
            if item not in self._todos_shown:
                yield from self._item(item)
        self._todos_shown = set(items)

    def _item(self, text: str) -> Iterator[str]:
        if not self._in_list:
            yield ""
        self._in_list = True
        yield text

    def _paragraph(self, text: str) -> Iterator[str]:
        self._in_list = False
        yield f"\n{text}"

    def _fence(self, body: list[str], language: str) -> Iterator[str]:
        """The lines as a block of code, which no run of backticks in them can end. Indented: it belongs to the list's item."""
        longest = max((len(run) for line in body for run in re.findall(r"`{3,}", line)), default=2)
        ticks = "`" * (longest + 1)
        yield f"\n  {ticks}{language}"
        yield from (f"  {line}" for line in body)
        yield f"  {ticks}\n"


def _edits(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an Edit, a MultiEdit or a Write replaces, as (old, new)."""
    several = given.get("edits")
    for edit in several if isinstance(several, list) else [given]:
        if isinstance(edit, dict) and isinstance(edit.get("new_string"), str):
            yield str(edit.get("old_string", "")), edit["new_string"]
    if isinstance(given.get("content"), str) and "file_path" in given:
        yield "", given["content"]


def _diff(old: str, new: str) -> list[str]:
    found = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2))[2:]
    if len(found) > MAX_DIFF:
        found[MAX_DIFF:] = [f"… {len(found) - MAX_DIFF} more lines"]
    return found


def _one_line(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"


def _code(text: str) -> str:
    line = _one_line(text)
    if not line:
        return ""
    ticks = "``" if "`" in line else "`"
    return f"{ticks} {line} {ticks}" if "`" in line else f"`{line}`"
