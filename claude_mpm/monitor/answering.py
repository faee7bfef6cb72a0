"""What clients with the token may say to Claude in the user's place: answers to its questions, and prompts."""

from __future__ import annotations

from collections.abc import Callable

from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.feed.log import Log
from claude_mpm.monitor.answers.answer_desk import AnswerDesk, Reports
from claude_mpm.monitor.answers.prompts import Keyboard, Prompts
from claude_mpm.monitor.run_info import RunInfo


class Answering:
    """Holds what there is of both. Main thread only, except note().

    Attributes:
        desk: where questions are answered; None where clients may not. It is there, though not started, when this
            Claude asks no hook.
        prompts: where prompts are entered; None where clients may not, or Claude is no child of ours.
    """

    def __init__(
        self,
        config: Config,
        run: RunInfo,
        log: Log,
        keyboard: Keyboard | None,
        is_anybody_there: Callable[[], bool],
        later: Callable[[float, Callable[[], None]], bool],
    ) -> None:
        """`is_anybody_there` and `later`: as for AnswerDesk and Prompts."""

        def newest_output() -> int:
            entries, _ = log.history([ev.CLAUDE_OUTPUT], 1)
            return entries[0].seq if entries else 0

        self._asks_hooks = run.unanswerable is None
        may_answer = config.control and run.spool is not None
        self.desk = AnswerDesk(run.spool, log.append, is_anybody_there) if may_answer and run.spool else None
        self.prompts = Prompts(keyboard, log.snapshot, log.append, newest_output, later) if keyboard else None

    def start(self, reports: Reports) -> None:
        """Begin, once Claude runs. Raises OSError."""
        if self.prompts is not None:
            self.prompts.start()
        if self.desk is not None and self._asks_hooks:
            self.desk.start(reports)

    def stop(self) -> None:
        """Let the hooks that wait go. Any thread; idempotent."""
        if self.desk is not None:
            self.desk.stop()

    def join(self, timeout: float) -> None:
        """Wait for the desk's thread to end."""
        if self.desk is not None:
            self.desk.join(timeout)

    def note(self, event: Event) -> None:
        """An event that Claude's records led to: it may end a question, or be a prompt. Any thread."""
        if event.type == ev.CLAUDE_QUESTION and self.desk is not None and event.data["state"] in ev.QUESTION_OVER:
            self.desk.settle(event.data["request_id"])
        is_prompt = event.type == ev.CLAUDE_MESSAGE and event.data["role"] == "user" and "agent_id" not in event.data
        if self.prompts is not None and is_prompt:
            self.prompts.recorded(event.time)
