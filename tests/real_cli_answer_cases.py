"""Answering the real claude's dialogs from a client. Run by test_real_cli.py, as real_cli_cases.py is."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub import ServedHub
from messages_api import MessagesApi
from real_cli import World, latest_only, leave, say, screen, script, wait_ready
from support import wait_until
from terminal import Terminal, is_running
from watching import SLOW, Json, Watcher

from claude_mpm.client import Client
from claude_mpm.config import Config
from claude_mpm.errors import ProtocolError
from claude_mpm.fleet.local import LocalSource

pytest_plugins = ("real_cli_fixtures",)

TOKEN = "0123456789abcdef0123456789abcdef"
CONTROL = ("--websocket-control", "--websocket-token", TOKEN)
ASKING = ("--permission-mode", "default")
FILE = "made-by-claude"
COLOR, SIZES = "Which color do you want?", "Which sizes do you want?"


def _use(name: str, **given: Any) -> Json:
    return {"type": "tool_use", "name": name, "input": given}


def _text(words: str) -> Json:
    return {"content": [{"type": "text", "text": words}]}


def _make(name: str) -> Json:
    return _use("Bash", command=f"python3 -c \"open('{name}', 'w')\"", description="Make a file")


def _questions() -> Json:
    def options(*labels: str) -> list[Json]:
        return [{"label": label, "description": label.lower()} for label in labels]

    asked = [
        {"question": COLOR, "header": "Color", "options": options("Red", "Blue"), "multiSelect": False},
        {"question": SIZES, "header": "Sizes", "options": options("S", "M"), "multiSelect": True},
    ]
    return _use("AskUserQuestion", questions=asked)


def answering_script() -> Json:
    parts = script()
    parts["main"] |= {
        "twice": [
            {"content": [_make(FILE)]},
            {"content": [_make(FILE)]},
            _text("TWICE-MARKER."),
        ],
        "ask": [{"content": [_questions()]}, _text("ASK-MARKER.")],
        "plan": [{"content": [_use("ExitPlanMode", plan="# The plan\n1. make a file\n")]}, _text("PLAN-MARKER.")],
        "agent": [
            {
                "content": [
                    _use(
                        "AGENT", description="Make it", subagent_type="general-purpose", prompt="[[SUB:make]] Make it."
                    )
                ]
            },
            _text("AGENT-MARKER."),
        ],
    }
    parts["sub"]["make"] = [{"content": [_make(FILE)]}, _text("MADE-MARKER.")]
    return parts


@pytest.fixture
def api(version: str) -> Iterator[MessagesApi]:
    with MessagesApi(answering_script()) as running:
        yield running


class Session:
    """A real claude on a terminal, a watcher, and a client that may answer."""

    def __init__(self, world: World, terminal: Terminal, watcher: Watcher, client: Client) -> None:
        self.world, self.terminal, self.watcher, self.client = world, terminal, watcher, client

    @property
    def file(self) -> Path:
        return self.world.project / FILE

    def wait_question(self, number: int = 1) -> Json:
        """The question that `waiting_for` shows, once that many were asked."""
        self.watcher.wait_for(lambda: len(self.watcher.all("claude.question", state="asked")) >= number)
        question = self.watcher.all("claude.question", state="asked")[number - 1]
        self.watcher.wait_for(
            lambda: any(
                (status.get("waiting_for") or {}).get("request_id") == question["request_id"]
                for status in self.watcher.all("claude.status")
            )
        )
        return question

    def answer(self, question: Json, decision: str, **given: Any) -> None:
        reply = self.client.request("answer", request=question["request_id"], decision=decision, **given)
        assert reply["type"] == "done"

    def wait_state(self, question: Json, state: str) -> Json:
        return self.watcher.wait_event("claude.question", request_id=question["request_id"], state=state)

    def wait_text(self, marker: str) -> None:
        self.watcher.wait_for(lambda: marker in self.watcher.text("claude.message", "text"))

    def wait_activity(self, wanted: str) -> None:
        self.watcher.wait_for(lambda: self.watcher.all("claude.status")[-1].get("activity") == wanted)

    def press(self, keys: bytes) -> None:
        """Type once the screen has come to rest."""
        self.terminal.wait_quiet(0.5, SLOW)
        self.terminal.write(keys)

    def leave(self) -> None:
        """Leave claude once it is idle; it ends well."""
        self.wait_activity("idle")
        assert leave(self.terminal) == 0

    def states(self, question: Json) -> list[str]:
        return [data["state"] for data in self.watcher.all("claude.question", request_id=question["request_id"])]

    def results(self) -> str:
        """What the model was told of its tool calls."""
        return "\n".join(line for _, lines in self.world.transcripts() for line in lines if "tool_result" in line)


@contextmanager
def session(
    world: World, prompt: str | None, *args: str, options: tuple[str, ...] = CONTROL, method: str = "subprocess"
) -> Iterator[Session]:
    with world.terminal(world.wrapped(*(args or ASKING), options=options, method=method)) as terminal:
        instance = wait_until(world.registered, "claude-mpm registered", SLOW)
        assert instance is not None
        with Watcher(instance["port"], TOKEN) as watcher, Client(instance["port"], token=TOKEN) as client:
            wait_ready(terminal)
            if prompt is not None:
                say(terminal, prompt)
            yield Session(world, terminal, watcher, client)


def waiting_hooks(world: World) -> list[int]:
    """Processes that wait for an answer, wherever they have been moved to."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            if b"answer_hook.py" in command and str(world.home).encode() in command:
                found.append(int(path.name))
        except OSError:
            continue
    return found


def require_answers(world: World) -> None:
    if world.version.startswith("1."):
        pytest.skip("has no PermissionRequest hook")


def claude_pid(watcher: Watcher) -> int:
    return int(next(data["pid"] for data in watcher.all("claude.status", status="running") if "pid" in data))


# --- permissions ---


def test_allow_from_a_client_runs_the_tool(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:permission]] go") as here:
        question = here.wait_question()
        assert (question["tool"], question["kind"]) == ("Bash", "permission")
        assert not here.file.exists()
        clicked = time.monotonic()
        here.answer(question, "allow")
        wait_until(here.file.exists, "the tool has run", SLOW)
        print(f"claude {world.version}: from the answer to the tool's effect {time.monotonic() - clicked:.3f} s")
        here.wait_text("PERMISSION-MARKER")
        here.wait_state(question, "applied")
        assert here.states(question) == ["asked", "delivered", "applied"]
        here.wait_activity("idle")
        assert waiting_hooks(world) == []
        here.leave()


def test_a_subagents_question_is_answered_through_a_hub(world: World) -> None:
    """Nobody but the hub is there who may answer: the agent's question waits for its client."""
    require_answers(world)
    config = Config(token=TOKEN, control=True)
    hub = ServedHub(config, LocalSource(world.home / ".claude-mpm"))
    try:
        with (
            world.terminal(world.wrapped(*ASKING, options=CONTROL, method="subprocess")) as terminal,
            Client(hub.port, token=TOKEN) as client,
        ):
            client.subscribe(["claude.question", "claude.message", "claude.status"])
            instance = wait_until(world.registered, "claude-mpm registered", SLOW)
            assert instance is not None
            wait_ready(terminal)
            say(terminal, "[[MAIN:agent]] go")
            asked = next(frame for frame in client if frame["data"].get("state") == "asked")
            assert (asked["instance_id"], asked["data"]["tool"]) == (instance["instance_id"], "Bash")
            assert ("expires_at" in asked["data"]) == world.background_agents and not (world.project / FILE).exists()
            answer = {"request": asked["data"]["request_id"], "decision": "allow"}
            assert client.request("answer", instance_id=instance["instance_id"], **answer)["type"] == "done"
            wait_until((world.project / FILE).exists, "the tool has run", SLOW)
            states = (frame["data"].get("state") for frame in client if frame["type"] == "claude.question")
            assert [next(states), next(states)] == ["delivered", "applied"]
            next(frame for frame in client if frame["data"].get("activity") == "idle")
            terminal.wait_quiet(1.0, SLOW)
            assert leave(terminal) == 0
    finally:
        hub.hub.stop()


def test_deny_with_a_message_reaches_the_model(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:permission]] go") as here:
        question = here.wait_question()
        here.answer(question, "deny", message="WORD-TO-CLAUDE")
        here.wait_text("PERMISSION-MARKER")
        here.wait_state(question, "applied")
        assert here.states(question) == ["asked", "delivered", "applied"]
        assert "WORD-TO-CLAUDE" in here.results()
        assert not here.file.exists()
        here.leave()


def test_allow_for_the_session_asks_no_second_time_and_writes_no_file(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:twice]] go") as here:
        question = here.wait_question()
        assert question["grants"]
        here.answer(question, "allow_session")
        here.wait_text("TWICE-MARKER")
        here.wait_activity("idle")
        assert len(here.watcher.all("claude.question", state="asked")) == 1
        assert len(here.watcher.all("tool.end", tool="Bash", ok=True)) == 2
        assert not list(world.project.glob(".claude/settings*")), "nothing is written"
        written = [path.read_text() for path in (world.home / ".claude").glob("settings*.json")]  # Claude keeps its own
        assert [text for text in written if "permissions" in text or "python3" in text] == []
        assert leave(here.terminal) == 0


def test_the_users_own_answer_withdraws_the_question(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:permission]] go") as here:
        question = here.wait_question()
        here.press(b"\r")  # "1. Yes"
        here.wait_text("PERMISSION-MARKER")
        withdrawn = here.wait_state(question, "withdrawn")
        assert "terminal" in withdrawn["reason"]
        with pytest.raises(ProtocolError) as refused:
            here.answer(question, "deny")
        assert refused.value.code == "expired"
        wait_until(lambda: waiting_hooks(world) == [], "the hook is gone", SLOW)
        assert here.file.exists()
        here.leave()


def test_esc_withdraws_the_question(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:permission]] go") as here:
        question = here.wait_question()
        here.press(b"\x1b")
        here.wait_state(question, "withdrawn")
        wait_until(lambda: waiting_hooks(world) == [], "the hook is gone", SLOW)
        here.wait_activity("idle")
        assert not here.file.exists()
        here.leave()


# --- questions and plans ---


def test_a_question_with_two_parts_is_answered_as_a_form(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:ask]] go") as here:
        question = here.wait_question()
        assert (question["kind"], question["decisions"]) == ("question", ["allow", "deny"])
        with pytest.raises(ProtocolError) as refused:
            here.answer(question, "allow", answers={COLOR: "Blue"})
        assert refused.value.code == "invalid_params"
        here.answer(question, "allow", answers={COLOR: "Blue", SIZES: ["S", "M"]})
        here.wait_text("ASK-MARKER")
        here.wait_state(question, "applied")
        results = here.results()
        assert "Blue" in results and "S, M" in results
        here.leave()


def test_an_approved_plan_leaves_plan_mode(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:plan]] go", "--permission-mode", "plan") as here:
        question = here.wait_question()
        assert (question["tool"], question["decisions"]) == ("ExitPlanMode", ["allow", "deny"])
        here.answer(question, "allow")
        here.wait_text("PLAN-MARKER")
        here.wait_state(question, "applied")
        here.wait_activity("idle")
        say(here.terminal, "[[MAIN:permission]] go")  # in plan mode the tool would not be asked about
        second = here.wait_question(2)
        here.answer(second, "allow")
        here.wait_text("PERMISSION-MARKER")
        assert here.file.exists()
        here.leave()


# --- agents ---


def test_an_agents_question_is_answered(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:agent]] go") as here:
        question = here.wait_question()
        assert ("agent_id" in question, "expires_at" in question) == (
            (True, True) if here.world.background_agents else (False, False)
        )
        here.answer(question, "allow")
        wait_until(here.file.exists, "the agent's tool has run", SLOW)
        here.wait_state(question, "applied")
        here.watcher.wait_event("agent.delegation", status="completed")
        here.wait_activity("idle")
        here.terminal.wait_quiet(1.0, SLOW)
        assert leave(here.terminal) == 0


@latest_only
def test_an_agents_dialog_appears_after_20_seconds_at_most(world: World) -> None:
    with session(world, "[[MAIN:agent]] go") as here:
        question = here.wait_question()
        asked = time.monotonic()
        here.wait_state(question, "withdrawn")
        assert time.monotonic() - asked < 20 + SLOW / 10
        here.watcher.wait_for(
            lambda: (here.watcher.all("claude.status")[-1].get("waiting_for") or {}).get("answerable") is False
        )
        here.terminal.wait_for(lambda: b"made-by-claude" in here.terminal.output, SLOW)
        here.press(b"\r")
        wait_until(here.file.exists, "the keyboard answers", SLOW)
        here.wait_activity("idle")


# --- faults ---


@latest_only
def test_a_killed_monitor_leaves_the_dialog_and_the_keyboard_answers_it(world: World) -> None:
    with session(world, "[[MAIN:permission]] go") as here:
        here.wait_question()
        assert waiting_hooks(world) != []
        os.kill(_monitor(world), signal.SIGKILL)
        wait_until(lambda: waiting_hooks(world) == [], "the hook is gone", SLOW)
        here.terminal.wait_quiet(0.5, SLOW)
        assert not here.file.exists()
        here.terminal.write(b"\r")
        wait_until(here.file.exists, "the keyboard answers", SLOW)
        here.terminal.wait_quiet(1.5, SLOW)
        leave(here.terminal)


def _monitor(world: World) -> int:
    """The process that reads the spool."""
    (owner,) = (world.home / ".claude-mpm/spool").glob("run-*/owner.json")
    return int(json.loads(owner.read_text())["process"][0])


def test_a_killed_claude_leaves_no_hook_behind(world: World) -> None:
    require_answers(world)
    with session(world, "[[MAIN:permission]] go") as here:
        here.wait_question()
        (hook,) = waiting_hooks(world)
        monitor = _monitor(world)
        os.kill(monitor, signal.SIGSTOP)  # so that only the hook itself can notice
        try:
            os.kill(claude_pid(here.watcher), signal.SIGKILL)
            wait_until(lambda: not is_running(hook), "the hook has noticed", SLOW)
        finally:
            os.kill(monitor, signal.SIGCONT)
        here.terminal.wait(SLOW)


@latest_only
def test_a_claude_that_we_became_is_answered_too(world: World) -> None:
    with session(world, "[[MAIN:permission]] go", method="exec") as here:
        question = here.wait_question()
        here.answer(question, "allow")
        here.wait_text("PERMISSION-MARKER")
        here.wait_state(question, "applied")
        assert here.file.exists()
        here.leave()


# --- prompts ---


def test_a_clients_prompt_is_entered_but_never_merged_with_a_draft(world: World) -> None:
    with session(world, None) as here:
        here.wait_activity("idle")
        here.client.request("send_prompt", text="[[MAIN:hello]] go\nSECOND-LINE")
        here.wait_text("HELLO-MARKER")
        (prompt,) = here.watcher.all("claude.message", role="user")
        assert prompt["text"] == "[[MAIN:hello]] go\nSECOND-LINE"
        here.wait_activity("idle")
        here.press(b"a draft")
        here.terminal.wait_for(lambda: "a draft" in screen(here.terminal.output), SLOW)
        with pytest.raises(ProtocolError) as refused:
            here.client.request("send_prompt", text="[[MAIN:bash]] go")
        assert refused.value.code == "busy"
        here.terminal.signal(signal.SIGTERM)
        here.terminal.wait(SLOW)


# --- what cannot be answered ---


def test_without_control_the_dialog_says_why_it_cannot_be_answered(world: World) -> None:
    with session(world, "[[MAIN:permission]] go", options=("--websocket-token", TOKEN)) as here:
        here.wait_activity("waiting")
        waiting = here.watcher.all("claude.status")[-1]["waiting_for"]
        assert waiting["answerable"] is False and "--websocket-control" in waiting["reason"]
        assert waiting_hooks(world) == [] and here.watcher.all("claude.question") == []
