"""The session the stand-in plays: a list of steps. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from claude_mpm.demo import project

Kind = Literal[
    "prompt",  # the user submits `text`
    "news",  # the main conversation is notified that agent `use` has ended
    "say",  # an answer's text
    "call",  # a tool call begins; `use` names it within the story
    "result",  # the call `use` ends with `text`
    "task",  # a TaskCreate or TaskUpdate, which begins and ends at once
    "ask",  # a permission dialog opens for the call `use`
    "notice",  # nobody has answered the dialog for a while
    "answer",  # the dialog is answered with Yes
    "spawn",  # the Agent tool; `use` names the agent from here on
    "done",  # agent `by` ends with `text`
    "stop",  # the turn ends
    "clear",  # the list of tasks, all completed, disappears
    "end",  # the session is over
]
IN_A_TERMINAL = ("ask", "notice", "answer", "clear")  # kinds that do not happen in print mode, as with Claude


@dataclass(frozen=True)
class Step:
    """One step of a story.

    Attributes:
        wait: seconds between the previous step and this one.
        by: the name of the agent whose conversation it belongs to; "" for the main conversation.
        ok: whether the call of a `result` succeeded.
        background: whether the agent of a `spawn` runs in the background.
    """

    kind: Kind
    wait: float = 0.5
    by: str = ""
    text: str = ""
    use: str = ""
    tool: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    ok: bool = True
    background: bool = True


PROMPT = "Words like café and 日本語 are counted wrongly. Please find out why and fix it, with tests ☕"
GO_ON = Step("prompt", 5.0, text="Please go on.")
CANNED = "I am a stand-in that plays a fixed session, so I cannot answer that. But a monitor sees your words: 👀"


def tool(
    use: str, name: str, seconds: float, given: Mapping[str, Any], text: str, *, by: str = "", wait: float = 1.0
) -> list[Step]:
    """A call that takes `seconds` and returns `text`. One whose text starts with "Exit code" has failed."""
    failed = text.startswith("Exit code")
    return [Step("call", wait, by, "", use, name, given), Step("result", seconds, by, text, use, ok=not failed)]


def create(subject: str, active_form: str) -> Step:
    given = {"subject": subject, "description": subject, "activeForm": active_form}
    return Step("task", 0.4, tool="TaskCreate", input=given)


def update(number: int, status: str) -> Step:
    return Step("task", 0.3, tool="TaskUpdate", input={"taskId": str(number), "status": status})


def agent(name: str, kind: str, description: str, prompt: str, *, by: str = "", background: bool = True) -> Step:
    given = {"description": description, "subagent_type": kind, "prompt": prompt}
    return Step("spawn", 1.0, by, use=name, tool="Agent", input=given, background=background)


def update_many(*changes: tuple[int, str]) -> list[Step]:
    return [update(number, status) for number, status in changes]


def _plan() -> list[Step]:
    return [
        Step("prompt", 2.0, text=PROMPT),
        Step("say", 2.0, text="I will look at the project first, then plan the work. 🔎"),
        *tool("search", "ToolSearch", 0.4, {"query": "select:TaskCreate,TaskUpdate", "max_results": 5}, "", wait=0.5),
        Step("say", 1.0, text="Six steps should do it:"),
        create("Reproduce the bug with a failing test", "Reproducing the bug"),
        create("Find every place that splits words", "Finding where words are split"),
        create("Fix the splitter", "Fixing the splitter"),
        create("Check emoji, 日本語 and combining marks", "Checking the hard cases"),
        create("Update the documentation", "Updating the documentation"),
        create("Run the whole test suite", "Running the tests"),
        update(1, "in_progress"),
        *tool("read", "Read", 1.5, {"file_path": project.WORDS}, project.FILES[project.WORDS]),
        *tool(
            "test", "Write", 1.0, {"file_path": project.TEST, "content": project.NEW_TEST},
            f"File created successfully at: {project.TEST}",
        ),
        *tool(
            "fails", "Bash", 5.0, {"command": f"pytest -q {project.TEST}", "description": "Run the new tests"},
            "Exit code 1\nE   AssertionError: assert ['caf'] == ['café']\n3 failed, 1 passed in 0.21s",
        ),
        Step("say", 1.5, text=project.REPRODUCED),
        *update_many((1, "completed"), (2, "in_progress")),
        agent("scout", "Explore", "Find every word splitter", "Find every place in src/ that splits text into words."),
        Step("say", 1.5, text="I wait for what it finds."),
        Step("stop", 0.2),
    ]  # fmt: skip


def _fix() -> list[Step]:
    edit = {"file_path": project.WORDS, "old_string": project.OLD, "new_string": project.NEW}
    return [
        Step("say", 1.0, "scout", "I search the sources."),
        *tool(
            "grep", "Grep", 2.5, {"pattern": "re.compile", "path": "src"}, f"{project.WORDS}\n{project.REPORT}", by="scout"
        ),
        *tool("look", "Read", 2.0, {"file_path": project.REPORT}, project.FILES[project.REPORT], by="scout"),
        Step("done", 1.5, "scout", "One place only: `WORD` in src/tally/words.py; report.py imports it."),
        Step("news", 0.2, use="scout"),
        Step("say", 1.5, text="One place, so one change."),
        *update_many((2, "completed"), (3, "in_progress")),
        Step("call", 1.0, use="edit", tool="Edit", input=edit),
        Step("ask", 0.2, use="edit"),
        Step("notice", 6.0, use="edit"),
        Step("answer", 8.0, use="edit"),
        Step("result", 0.5, text=f"The file {project.WORDS} has been updated successfully.", use="edit"),
        *update_many((3, "completed"), (4, "in_progress"), (5, "in_progress")),
    ]  # fmt: skip


def _check() -> list[Step]:
    readme = {"file_path": project.README, "edits": list(project.README_EDITS)}
    changes = {"file_path": project.CHANGES, "old_string": project.OLD_CHANGES, "new_string": project.NEW_CHANGES}
    return [
        Step("say", 1.0, text="Two agents at once: the hard cases, and the documentation."),
        agent("cases", "general-purpose", "Check the hard cases", "Try emoji, CJK and combining marks on words()."),
        agent("docs", "general-purpose", "Update the documentation", "Update README.md and CHANGELOG.md."),
        Step("call", 1.0, use="again", tool="Bash", input={"command": f"pytest -q {project.TEST}", "description": "Run the new tests again"}),
        Step("call", 0.3, "cases", use="try", tool="Bash", input={"command": "python -m tally samples/cjk.txt", "description": "Count words of 日本語"}),
        *tool("readme", "Read", 1.5, {"file_path": project.README}, project.FILES[project.README], by="docs", wait=0.5),
        Step("result", 1.0, text="4 passed in 0.19s", use="again"),
        Step("result", 0.5, "cases", "日本語 3\ncafé 2", "try"),
        Step("say", 1.0, text="The new tests pass. Both agents are still at work."),
        Step("stop", 0.2),
        agent("lookup", "Explore", "Look up word boundaries", "What does UAX #29 say?", by="cases", background=False),
        *tool("fetch", "Grep", 2.0, {"pattern": "combining", "path": "docs"}, "docs/unicode.md", by="lookup"),
        Step("call", 0.7, "docs", use="write", tool="MultiEdit", input=readme),
        Step("done", 1.2, "lookup", "Combining marks belong to the letter before them (UAX #29, WB4)."),
        Step("result", 0.5, "docs", f"Applied 2 edits to {project.README}", "write"),
        *tool("log", "Edit", 0.6, changes, f"The file {project.CHANGES} has been updated successfully.", by="docs"),
        Step("done", 1.5, "docs", "README.md and CHANGELOG.md state the new rule."),
        Step("news", 0.2, use="docs"),
        Step("say", 1.5, text="The documentation is done."),
        update(5, "completed"),
        Step("stop", 0.2),
        *tool("emoji", "Bash", 6.0, {"command": "python -m tally samples/emoji.txt", "description": "Count 👩‍💻 and friends"}, "日本語 3\ncafé 2", by="cases"),
        Step("done", 2.0, "cases", "Emoji are skipped, 日本語 and combining marks are counted as one word each."),
        Step("news", 0.2, use="cases"),
        Step("say", 1.5, text="All hard cases hold. Now everything together."),
        *update_many((4, "completed"), (6, "in_progress")),
        *tool("suite", "Bash", 9.0, {"command": "pytest -q", "description": "Run the whole test suite"}, "48 passed in 5.02s"),
        update(6, "completed"),
        Step("say", 2.0, text=project.FIXED),
        Step("stop", 0.2),
        Step("clear", 5.0),
        Step("end", 6.0),
    ]  # fmt: skip


def story(prompt: str | None = None) -> list[Step]:
    """The steps in order, about two minutes. `prompt`, if given, replaces the text of the first one."""
    steps = [*_plan(), *_fix(), *_check()]
    if prompt:
        steps[0] = Step("prompt", steps[0].wait, text=prompt)
    return steps
