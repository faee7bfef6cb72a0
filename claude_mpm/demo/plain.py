"""The story as plain lines of text, one for each step: for pipes and for terminals without cursor control. Pure."""

from __future__ import annotations

from claude_mpm.demo.screen import LABEL
from claude_mpm.demo.story import Step

WIDTH = 100  # characters of a result's line; longer ones are cut


class PlainLines:
    """Follows the story step by step. One thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._calls: dict[str, Step] = {}
        self._subjects: list[str] = []

    def head(self) -> str:
        """What to print before the first step."""
        address = f" Watch it at {self._url}" if self._url else ""
        return f"{LABEL}. Ctrl-C ends it.{address}"

    def of(self, step: Step) -> str:
        """What to print for `step`; "" for nothing."""
        if step.kind in ("call", "spawn"):
            self._calls[step.use] = step
        text = self._text(step)
        return f"[{self._agent(step.by)}] {text}" if text and step.by and step.kind != "done" else text

    def _agent(self, name: str) -> str:
        return str(self._calls[name].input["description"]) if name in self._calls else name

    def _text(self, step: Step) -> str:
        if step.kind == "prompt":
            return f"> {step.text}"
        if step.kind == "say":
            return step.text
        if step.kind == "call":
            return f"{step.tool}: {self._subject(step)}"
        if step.kind == "result":
            return self._result(self._calls[step.use].tool, step)
        if step.kind == "task":
            return self._task(step)
        if step.kind == "ask":
            return f"Claude asks for permission: {self._calls[step.use].tool} {self._subject(self._calls[step.use])}"
        if step.kind == "answer":
            return "The permission is given."
        if step.kind == "spawn":
            return f"Agent started: {step.input['description']}"
        if step.kind == "done":
            return f"Agent finished: {self._agent(step.by)}. {step.text}"
        return "The turn ends." if step.kind == "stop" else ""

    def _task(self, step: Step) -> str:
        if step.tool == "TaskCreate":
            self._subjects.append(str(step.input["subject"]))
            return f"Todo: {self._subjects[-1]}"
        status = str(step.input["status"]).replace("_", " ")
        return f"Todo {status}: {self._subjects[int(step.input['taskId']) - 1]}"

    @staticmethod
    def _subject(call: Step) -> str:
        named = (call.input.get(key) for key in ("file_path", "command", "pattern", "query"))
        return str(next((value for value in named if value), ""))

    @staticmethod
    def _result(tool: str, step: Step) -> str:
        lines = step.text.strip().splitlines()
        what = f"{len(lines)} lines" if tool == "Read" else lines[-1][:WIDTH] if lines else "done"
        return f"  {tool}: {what}" if step.ok else f"  {tool} failed: {what}"
