"""The shapes of what Claude Code 2.1.330 writes: transcript lines, files, hook payloads, stream-json lines."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from claude_mpm.demo.effects import Effect, File, Hook, Line, Out, Record
from claude_mpm.demo.results import Results
from claude_mpm.demo.story import Step

VERSION, MODEL = "2.1.330", "claude-opus-5-5"
CONTEXT_WINDOW = 1_000_000  # tokens; what 2.1.330 reports for this model
PRICES = {"input": 5.0, "output": 25.0, "read": 0.5, "created": 6.25}  # US dollars for a million tokens
KIND_OF_TASK = "local_agent"


@dataclass
class Talk:
    """A conversation: the main one, or an agent's.

    Attributes:
        call: the step that started the agent.
        parent: uuid of the last line; None before the first.
        answer: id of the model's answer that the last block belongs to.
        usage: of that answer.
        fresh: whether the next block begins a new answer.
        context: tokens that every answer reads again.
    """

    path: Path
    agent_id: str = ""
    call: Step = field(default_factory=lambda: Step("spawn"))
    use_id: str = ""
    depth: int = 0
    began: float = 0.0
    parent: str | None = None
    answer: str = ""
    usage: Record = field(default_factory=dict)
    fresh: bool = True
    context: int = 14_000
    tool_uses: int = 0
    last_text: str = ""

    @property
    def kind(self) -> str:
        return str(self.call.input.get("subagent_type", "main"))


def slug(cwd: str) -> str:
    """The name of a project's directory in Claude's configuration."""
    return re.sub(r"[^A-Za-z0-9]", "-", cwd)


class Shapes:
    """What runs through a session's records (ids, chains of lines, tokens), and a method for each shape. One thread."""

    def __init__(
        self,
        session_id: str,
        root: Path,
        cwd: str,
        pid: int,
        interactive: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.turn: float | None = None  # when the current turn began; None between turns
        self.open: dict[str, tuple[Step, str, float]] = {}  # calls not yet ended: step, tool_use_id, start time
        self._session_id, self._root, self._cwd, self._pid = session_id, root, cwd, pid
        self._interactive, self._clock, self._began = interactive, clock, clock()
        self._random = random.Random(session_id)
        self._results = Results(cwd)
        self._project = root / "projects" / slug(cwd)
        self._main = Talk(self._project / f"{session_id}.jsonl")
        self._agents: dict[str, Talk] = {}
        self._running: list[str] = []  # names of the agents that are working
        self._tasks: dict[str, Record] = {}
        self._prompt_id = ""
        self._counter = 0
        self._lines = 0
        self._tokens = {"input": 0, "output": 0, "read": 0, "created": 0}
        self._effects: list[Effect] = []

    def _take(self) -> list[Effect]:
        taken, self._effects = self._effects, []
        return taken

    def _talk(self, by: str) -> Talk:
        return self._agents[by] if by else self._main

    def _id(self, kind: str) -> str:
        self._counter += 1
        return f"{kind}_demo_{self._counter:04d}"

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @property
    def _session_file(self) -> Path:
        return self._root / "sessions" / f"{self._pid}.json"

    def _task_file(self, number: str) -> Path:
        return self._root / "tasks" / self._session_id / f"{number}.json"

    def _begin(self, text: str, origin: str) -> None:
        """Begin a turn, or add to the current one what the user typed meanwhile."""
        self.turn = self.turn or self._clock()
        self._prompt_id = self._uuid()
        self._hook("UserPromptSubmit", prompt=text)
        self._status("busy")
        tools = ["Task", "Bash", "Edit", "Read", "Grep", "ToolSearch", "Write"]
        about = {"cwd": self._cwd, "model": MODEL, "permissionMode": "default", "claude_code_version": VERSION}
        self._system("init", tools=tools, mcp_servers=[], **about)
        self._user(self._main, text, origin={"kind": origin}, promptId=self._prompt_id, permissionMode="default")

    def _line(self, talk: Talk, record: Record, chained: bool = False) -> None:
        if chained:
            self._lines += 1
            chain: Record = {"parentUuid": talk.parent, "isSidechain": talk is not self._main}
            talk.parent = self._uuid()
            where = {"userType": "external", "entrypoint": "cli" if self._interactive else "sdk-cli", "cwd": self._cwd}
            own = {"agentId": talk.agent_id} if talk.agent_id else {}
            record = {**chain, **own, **record, "uuid": talk.parent, "timestamp": self._now(), **where}
            record |= {"sessionId": self._session_id, "version": VERSION, "gitBranch": "HEAD"}
        self._effects.append(Line(talk.path, record))

    def _user(self, talk: Talk, content: Any, result: Any = None, **more: Any) -> None:
        talk.fresh = True
        message = {"role": "user", "content": content}
        extra = {} if result is None else {"toolUseResult": result}
        self._line(talk, {"type": "user", "message": message, **extra, **more}, chained=True)
        if result is not None or talk.agent_id:
            told = {} if result is None else {"tool_use_result": result}
            self._out({"type": "user", "message": message, **told}, talk)

    def _block(self, talk: Talk, block: Record, stop_reason: str) -> None:
        if talk.fresh:
            talk.answer, talk.fresh = self._id("msg"), False
            talk.usage = self._bill(talk, len(str(block)))
        message: Record = {
            "id": talk.answer,
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [block],
        }
        message |= {"stop_reason": stop_reason, "stop_sequence": None, "usage": talk.usage}
        request = talk.answer.replace("msg", "req")
        self._line(talk, {"type": "assistant", "message": message, "requestId": request}, chained=True)
        self._out({"type": "assistant", "message": {**message, "stop_reason": None}, "request_id": request}, talk)

    def _bill(self, talk: Talk, size: int) -> Record:
        made, written = 40 + size, 300 + 2 * size  # tokens; plausible, and more with every answer
        self._tokens["input"] += 4
        self._tokens["output"] += made
        self._tokens["read"] += talk.context
        self._tokens["created"] += written
        usage: Record = {
            "input_tokens": 4,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": talk.context,
        }
        talk.context += written + made
        return {**usage, "output_tokens": made, "service_tier": "standard"}

    @property
    def _cost(self) -> float:
        """US dollars so far."""
        return round(sum(self._tokens[kind] * price for kind, price in PRICES.items()) / 1e6, 6)

    def _model_usage(self) -> Record:
        total = self._tokens
        spent = {"inputTokens": total["input"], "outputTokens": total["output"], "cacheReadInputTokens": total["read"]}
        more = {"thinkingTokens": 0, "webSearchRequests": 0, "costUSD": self._cost}
        return {MODEL: {**spent, "cacheCreationInputTokens": total["created"], **more}}

    def _cost_state(self) -> None:
        """Tell what the session has cost.

        Claude writes this record when it leaves a session. The demo writes it after every turn, too: nobody should have
        to wait two minutes for a first figure.
        """
        state = {"totalCostUSD": self._cost, "totalDuration": int((self._clock() - self._began) * 1000)}
        about = {"startTime": int(self._began * 1000), "modelUsage": self._model_usage(), "hasUnknownModelCost": False}
        self._line(self._main, {"type": "cost-state", "sessionId": self._session_id, **state, **about})

    def _close(self, use: str, content: Any, result: Any, ok: bool = True) -> None:
        call, use_id, began = self.open.pop(use)
        talk, passed = self._talk(call.by), int((self._clock() - began) * 1000)
        block = {"tool_use_id": use_id, "type": "tool_result", "content": content, "is_error": not ok}
        self._user(talk, [block], result)
        if ok:
            self._tool_hook("PostToolUse", call, use_id, tool_response=result, duration_ms=passed)
        else:
            self._tool_hook("PostToolUseFailure", call, use_id, error=content, is_interrupt=False, duration_ms=passed)
        if talk.agent_id:
            usage = {"total_tokens": talk.context, "tool_uses": talk.tool_uses, "duration_ms": passed}
            about = {"description": f"Running {call.tool}", "subagent_type": talk.kind, "last_tool_name": call.tool}
            self._system("task_progress", task_id=talk.agent_id, tool_use_id=talk.use_id, usage=usage, **about)

    def _meta(self, talk: Talk, finished: bool) -> None:
        record = {"agentType": talk.kind, "isBuiltIn": True, "description": talk.call.input["description"]}
        record |= {"toolUseId": talk.use_id, "spawnDepth": talk.depth, "model": MODEL}
        record["requestShape"] = "background" if talk.call.background else "foreground"
        self._effects.append(File(talk.path.with_suffix(".meta.json"), "in place", record | {"finished": finished}))

    def _status(self, status: str, **more: Any) -> None:
        if not self._interactive:
            return
        now = int(self._clock() * 1000)
        who = {"pid": self._pid, "sessionId": self._session_id, "cwd": self._cwd, "startedAt": int(self._began * 1000)}
        kind = {"version": VERSION, "kind": "interactive", "entrypoint": "cli"}
        state = {"status": status, "updatedAt": now, "statusUpdatedAt": now, **more}
        self._effects.append(File(self._session_file, "in place", {**who, **kind, **state}))

    def _hook(self, event: str, talk: Talk | None = None, **fields: Any) -> None:
        common = {"session_id": self._session_id, "transcript_path": str(self._main.path), "cwd": self._cwd}
        if self._prompt_id:
            common |= {"prompt_id": self._prompt_id, "permission_mode": "default"}
        if talk is not None and talk.agent_id:
            common |= {"agent_id": talk.agent_id, "agent_type": talk.kind}
        self._effects.append(Hook({**common, "hook_event_name": event, **fields}))

    def _tool_hook(self, event: str, call: Step, use_id: str, **fields: Any) -> None:
        about: Mapping[str, Any] = {
            "tool_name": call.tool,
            "tool_input": self._results.given(call),
            "tool_use_id": use_id,
        }
        self._hook(event, self._talk(call.by), **about, **fields)

    def _background(self) -> list[Record]:
        talks = [self._agents[name] for name in self._running]
        return [
            {"id": t.agent_id, "type": "subagent", "status": "running", "description": t.call.input["description"], "agent_type": t.kind}
            for t in talks
        ]  # fmt: skip

    def _tasks_changed(self) -> None:
        tasks = [
            {"task_id": t["id"], "task_type": KIND_OF_TASK, "subagent_type": t["agent_type"], "description": t["description"]}
            for t in self._background()
        ]  # fmt: skip
        self._system("background_tasks_changed", tasks=tasks)

    def _system(self, subtype: str, **fields: Any) -> None:
        self._out({"type": "system", "subtype": subtype, **fields})

    def _out(self, record: Record, talk: Talk | None = None) -> None:
        if self._interactive:
            return
        if talk is not None:
            record = {**record, "parent_tool_use_id": talk.use_id or None}
            if talk.agent_id:
                record |= {"agent_id": talk.agent_id, "subagent_type": talk.kind}
        self._effects.append(Out({**record, "session_id": self._session_id, "uuid": self._uuid()}))
