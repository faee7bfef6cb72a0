"""The session the stand-in plays: a list of steps, data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "prompt",  # the user typed `text`
    "news",  # the main conversation is told that agent `use` has ended
    "say",  # an answer's text
    "call",  # a tool call begins; `use` names it
    "result",  # the call `use` ends with `text`
    "task",  # TaskCreate or TaskUpdate, begun and ended at once
    "ask",  # a permission dialog opens for the call `use`
    "notice",  # nobody has answered the dialog for a while
    "answer",  # the dialog is answered: yes
    "spawn",  # the Agent tool: `use` names the agent from here on
    "done",  # agent `by` ends with `text`
    "stop",  # the turn ends
    "clear",  # the list of tasks, all completed, goes away
    "end",  # the session is over
]
IN_A_TERMINAL = ("ask", "notice", "answer", "clear")  # kinds that print mode leaves out, as claude does


@dataclass(frozen=True)
class Step:
    """`wait` is seconds after the step before; `by` is an agent's name in the story, "" for the main conversation."""

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
    """A call that takes `seconds`. A text that starts with "Exit code" is a failure."""
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


WORDS = "src/tally/words.py"
OLD, NEW = 'WORD = re.compile(r"[a-zA-Z]+")', 'WORD = re.compile(r"\\w+", re.UNICODE)'


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
        *tool("read", "Read", 1.5, {"file_path": WORDS}, f"import re\n\n{OLD}\n\n\ndef words(text):\n    …"),
        *tool(
            "fails", "Bash", 6.0, {"command": "pytest -q tests/test_words.py", "description": "Run the word tests"},
            "Exit code 1\nE   AssertionError: assert ['caf'] == ['café']\n1 failed, 4 passed in 0.21s",
        ),
        Step("say", 1.5, text="Reproduced: “café” becomes “caf”. An agent looks for other places."),
        update(1, "completed"),
        update(2, "in_progress"),
        agent("scout", "Explore", "Find every word splitter", "Find every place in src/ that splits text into words."),
        Step("say", 1.5, text="I wait for what it finds."),
        Step("stop", 0.2),
    ]  # fmt: skip


def _fix() -> list[Step]:
    return [
        Step("say", 1.0, "scout", "I search the sources."),
        *tool("grep", "Grep", 3.0, {"pattern": "re.compile", "path": "src"}, f"{WORDS}\nsrc/tally/report.py", by="scout"),
        *tool("look", "Read", 2.5, {"file_path": "src/tally/report.py"}, "from tally.words import WORD", by="scout"),
        Step("done", 1.5, "scout", "One place only: WORD in src/tally/words.py; report.py imports it."),
        Step("news", 0.2, use="scout"),
        Step("say", 1.5, text="One place, so one change."),
        update(2, "completed"),
        update(3, "in_progress"),
        Step("call", 1.0, use="edit", tool="Edit", input={"file_path": WORDS, "old_string": OLD, "new_string": NEW}),
        Step("ask", 0.2, use="edit"),
        Step("notice", 6.0, use="edit"),
        Step("answer", 9.0, use="edit"),
        Step("result", 0.5, text=f"The file {WORDS} has been updated successfully.", use="edit"),
        update(3, "completed"),
        update(4, "in_progress"),
        update(5, "in_progress"),
    ]  # fmt: skip


def _check() -> list[Step]:
    return [
        Step("say", 1.0, text="Two agents at once: the hard cases, and the documentation."),
        agent("cases", "general-purpose", "Check the hard cases", "Try emoji, CJK and combining marks on words()."),
        agent("docs", "general-purpose", "Update the documentation", "Update README.md and CHANGELOG.md."),
        Step("call", 1.0, use="again", tool="Bash", input={"command": "pytest -q tests/test_words.py", "description": "Run the word tests again"}),
        *tool("readme", "Read", 2.0, {"file_path": "README.md"}, "# tally\n\nCounts words.", by="docs"),
        Step("result", 2.0, text="5 passed in 0.19s", use="again"),
        Step("say", 1.5, text="The new test passes. Both agents are still at work."),
        Step("stop", 0.2),
        agent("lookup", "Explore", "Look up word boundaries", "What does UAX #29 say?", by="cases", background=False),
        *tool("fetch", "Grep", 2.5, {"pattern": "combining", "path": "docs"}, "docs/unicode.md", by="lookup"),
        Step("call", 1.0, "docs", use="write", tool="Edit", input={"file_path": "README.md", "old_string": "Counts words.", "new_string": "Counts words in any script: café, 日本語."}),
        Step("done", 1.5, "lookup", "Combining marks belong to the letter before them (UAX #29, WB4)."),
        Step("result", 0.5, "docs", "The file README.md has been updated successfully.", "write"),
        Step("done", 2.0, "docs", "README.md and CHANGELOG.md tell the new rule."),
        Step("news", 0.2, use="docs"),
        Step("say", 1.5, text="The documentation is done."),
        update(5, "completed"),
        Step("stop", 0.2),
        *tool("emoji", "Bash", 7.0, {"command": "python -m tally samples/emoji.txt", "description": "Count 👩‍💻 and friends"}, "日本語 3\ncafé 2", by="cases"),
        Step("done", 2.0, "cases", "Emoji are skipped, 日本語 and combining marks are counted as one word each."),
        Step("news", 0.2, use="cases"),
        Step("say", 1.5, text="All hard cases hold. Now everything together."),
        update(4, "completed"),
        update(6, "in_progress"),
        *tool("suite", "Bash", 10.0, {"command": "pytest -q", "description": "Run the whole test suite"}, "48 passed in 5.02s"),
        update(6, "completed"),
        Step("say", 2.0, text="Fixed: words in every script are counted now. One line changed, one test added, 48 pass. ✨"),
        Step("stop", 0.2),
        Step("clear", 5.0),
        Step("end", 6.0),
    ]  # fmt: skip


def story(prompt: str | None = None) -> list[Step]:
    """The steps in order, about two minutes; `prompt` takes the place of the first one's text."""
    steps = [*_plan(), *_fix(), *_check()]
    if prompt:
        steps[0] = Step("prompt", steps[0].wait, text=prompt)
    return steps
