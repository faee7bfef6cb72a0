"""Turns the steps of the story into what Claude would write for them."""

from __future__ import annotations

from claude_mpm.demo.effects import Effect, File, Record
from claude_mpm.demo.shapes import CONTEXT_WINDOW, KIND_OF_TASK, MODEL, Shapes, Talk
from claude_mpm.demo.story import Step

REJECTED = "The user doesn't want to proceed with this tool use. The tool use was rejected."


class Records(Shapes):
    """Turns steps into effects, and does nothing itself: its caller writes the files, runs the hooks, prints. One thread."""

    # --- called from outside ---

    def start(self) -> list[Effect]:
        """The session begins."""
        self._hook("SessionStart", source="startup", model=MODEL)
        self._status("idle")
        return self._take()

    def apply(self, step: Step) -> list[Effect]:
        """The step happens."""
        getattr(self, f"_{step.kind}")(step)
        return self._take()

    def open_call(self) -> str:
        """The story's name of the main conversation's open call, or ""."""
        return next((use for use, (call, _, _) in self.open.items() if not call.by), "")

    def interrupt(self) -> list[Effect]:
        """Esc: the open call is rejected and the turn is over. No hook runs for it, in any version of Claude Code."""
        use, words = self.open_call(), "[Request interrupted by user]"
        if use:
            _, use_id, _ = self.open.pop(use)
            block = {"type": "tool_result", "content": REJECTED, "is_error": True, "tool_use_id": use_id}
            self._user(self._main, [block], "User rejected tool use", toolDenialKind="user-rejected")
            words = "[Request interrupted by user for tool use]"
        self._user(self._main, [{"type": "text", "text": words}])
        self.turn = None
        self._status("idle")
        return self._take()

    def finish(self, reason: str) -> list[Effect]:
        """The session ends; `reason` as the SessionEnd hook gives it."""
        if self._tokens["output"]:
            self._cost_state()
        self._hook("SessionEnd", reason=reason)
        if self._interactive:
            self._effects.append(File(self._session_file, "remove"))
        return self._take()

    # --- steps ---

    def _prompt(self, step: Step) -> None:
        self._begin(step.text, "human")

    def _news(self, step: Step) -> None:
        talk = self._agents[step.use]
        text = (
            f"<task-notification>\n<task-id>{talk.agent_id}</task-id>\n<tool-use-id>{talk.use_id}</tool-use-id>\n"
            f"<status>completed</status>\n<summary>Agent “{talk.call.input['description']}” finished</summary>\n"
            f"<result>{talk.last_text}</result>\n</task-notification>"
        )
        stamp = {"timestamp": self._now(), "sessionId": self._session_id}
        self._line(self._main, {"type": "queue-operation", "operation": "enqueue", **stamp, "content": text})
        self._begin(text, "task-notification")
        self._line(self._main, {"type": "queue-operation", "operation": "dequeue", **stamp})

    def _say(self, step: Step) -> None:
        talk = self._talk(step.by)
        talk.last_text = step.text
        self._block(talk, {"type": "text", "text": step.text}, "end_turn")

    def _call(self, step: Step) -> None:
        talk, use_id = self._talk(step.by), self._id("toolu")
        self._block(
            talk, {"type": "tool_use", "id": use_id, "name": step.tool, "input": self._results.given(step)}, "tool_use"
        )
        talk.tool_uses += 1
        self.open[step.use] = (step, use_id, self._clock())
        self._tool_hook("PreToolUse", step, use_id)

    def _result(self, step: Step) -> None:
        call = self.open[step.use][0]
        self._close(step.use, step.text, self._results.result(call, step.text, step.ok), step.ok)

    def _task(self, step: Step) -> None:
        self._call(step)
        given = step.input
        result: Record
        if step.tool == "TaskCreate":
            number = str(len(self._tasks) + 1)
            record = {"id": number, **given, "status": "pending", "blocks": [], "blockedBy": []}
            result = {"task": {"id": number, "subject": given["subject"], "description": given["description"]}}
            text, how = f"Task #{number} created successfully: {given['subject']}", "create"
        else:
            number = str(given["taskId"])
            before = self._tasks[number]["status"]
            record, how = {**self._tasks[number], "status": given["status"]}, "rename"
            change = {"from": before, "to": given["status"]}
            result = {"success": True, "taskId": number, "updatedFields": ["status"], "statusChange": change}
            text = f"Updated task #{number} status"
        self._tasks[number] = record
        self._effects.append(File(self._task_file(number), how, record))
        told = {"TaskCreate": "TaskCreated", "completed": "TaskCompleted"}
        if event := told.get(step.tool) or told.get(record["status"]):
            about = {"task_subject": record["subject"], "task_description": record["description"]}
            self._hook(event, task_id=number, **about)
        self._close(step.use, text, result)

    def _ask(self, step: Step) -> None:
        call = self.open[step.use][0]
        self._status("waiting", waitingFor="permission prompt")
        self._hook(
            "PermissionRequest", tool_name=call.tool, tool_input=self._results.given(call), permission_suggestions=[]
        )

    def _notice(self, step: Step) -> None:
        self._hook("Notification", message="Claude needs your permission", notification_type="permission_prompt")

    def _answer(self, step: Step) -> None:
        self._status("busy")

    def _spawn(self, step: Step) -> None:
        self._call(step)
        talk = Talk(self._main.path, f"a{self._random.getrandbits(64):016x}", step, self.open[step.use][1])
        talk.depth, talk.began = self._talk(step.by).depth + 1, self._clock()
        talk.path = self._project / self._session_id / "subagents" / f"agent-{talk.agent_id}.jsonl"
        talk.context = 6_000
        self._agents[step.use] = talk
        self._running.append(step.use)
        given = step.input
        self._meta(talk, finished=False)
        self._user(talk, str(given["prompt"]))
        self._hook("SubagentStart", talk)
        self._tasks_changed()
        about = {"description": given["description"], "subagent_type": talk.kind, "prompt": given["prompt"]}
        state = {"is_backgrounded": step.background, "spawn_depth": talk.depth, "task_type": KIND_OF_TASK}
        self._system("task_started", task_id=talk.agent_id, tool_use_id=talk.use_id, **about, **state)
        if step.background:
            launched = {"isAsync": True, "status": "async_launched", "agentId": talk.agent_id}
            result = {
                **launched,
                "description": given["description"],
                "resolvedModel": MODEL,
                "prompt": given["prompt"],
            }
            words = f"Async agent launched successfully.\nagentId: {talk.agent_id}"
            self._close(step.use, [{"type": "text", "text": words}], result)

    def _done(self, step: Step) -> None:
        talk = self._agents[step.by]
        self._say(step)
        self._meta(talk, finished=True)
        self._hook(
            "SubagentStop", talk, stop_hook_active=False, agent_transcript_path=str(talk.path),
            last_assistant_message=step.text, background_tasks=self._background(),
        )  # fmt: skip
        self._running.remove(step.by)
        passed = int((self._clock() - talk.began) * 1000)
        usage = {"total_tokens": talk.context, "tool_uses": talk.tool_uses, "duration_ms": passed}
        ended = {"status": "completed", "end_time": int(self._clock() * 1000)}
        self._system("task_updated", task_id=talk.agent_id, patch=ended)
        told = {"status": "completed", "summary": step.text, "usage": usage}
        self._system("task_notification", task_id=talk.agent_id, tool_use_id=talk.use_id, **told)
        self._tasks_changed()
        if not talk.call.background:
            result = {"status": "completed", "agentId": talk.agent_id, "agentType": talk.kind}
            counts = {"totalDurationMs": passed, "totalTokens": talk.context, "totalToolUseCount": talk.tool_uses}
            content = [{"type": "text", "text": f"[Subagent hand-back] {step.text}"}]
            self._close(step.by, content, {**result, **counts, "content": content})

    def _stop(self, step: Step) -> None:
        began, self.turn = self.turn or self._clock(), None
        passed = int((self._clock() - began) * 1000)
        text = self._main.last_text
        waiting = {"pendingBackgroundAgentCount": len(self._running)} if self._running else {}
        about = {"durationMs": passed, "messageCount": self._lines, **waiting, "isMeta": False}
        self._line(self._main, {"type": "system", "subtype": "turn_duration", **about}, chained=True)
        self._hook("Stop", stop_hook_active=False, last_assistant_message=text, background_tasks=self._background())
        if not self._running:
            self._status("idle")
        self._cost_state()
        usage = {MODEL: {**self._model_usage()[MODEL], "contextWindow": CONTEXT_WINDOW}}
        result = {"result": text, "num_turns": self._counter, "duration_ms": passed, "duration_api_ms": passed}
        billed = {
            "total_cost_usd": self._cost,
            "modelUsage": usage,
            "permission_denials": [],
            "terminal_reason": "completed",
        }
        self._out({"type": "result", "subtype": "success", "is_error": False, **result, **billed})

    def _clear(self, step: Step) -> None:
        self._effects += [File(self._task_file(number), "remove") for number in self._tasks]

    def _end(self, step: Step) -> None:
        """Nothing is written here: `finish` does it, however the session ends."""
