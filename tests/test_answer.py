"""Answering through a whole monitor: hooks as Claude runs them, the server, clients, and `claude-mpm answer`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from serving import TOKEN
from support import TIMEOUT, wait_until
from test_answer_desk import ALLOWED, BASH, IN_AGENT, Hook
from watching import Watcher

from claude_mpm.cli import answer as answer_command
from claude_mpm.client import Client
from claude_mpm.config import Config
from claude_mpm.errors import ProtocolError, UsageError
from claude_mpm.feed.log import Log
from claude_mpm.launch.command.hook_settings import hook_settings
from claude_mpm.monitor.info import instance_info
from claude_mpm.monitor.run_info import Ending, RunInfo
from claude_mpm.monitor.session import Session
from claude_mpm.server.bind import bind
from claude_mpm.server.commands.commands import answer as server_answer
from claude_mpm.server.commands.replies import Client as CommandClient
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.commands.subscription import Subscription
from claude_mpm.system.state_dir import make_spool

SESSION = "11111111-1111-4111-8111-111111111111"


class Monitored:
    """A monitor of a Claude that is not there, whose hooks the test runs."""

    def __init__(
        self, home: Path, control: bool = True, unanswerable: str | None = None, publish: str | None = None
    ) -> None:
        self.config = Config(token=TOKEN, control=control, publish=publish)
        self.spool = make_spool(home / ".claude-mpm")
        self.run = RunInfo(home / ".claude", home, SESSION, (2, 1, 330), spool=self.spool, unanswerable=unanswerable)
        sockets = bind(None, 0)
        self.port: int = sockets[0].getsockname()[1]
        self.session = Session(self.config, self.run, instance_info(self.config, self.port, self.run, 1), sockets)
        self.session.start_server()
        self.session.claude_running(os.getpid())
        self.session.start_parts()
        self.hooks: list[Hook] = []
        if unanswerable is None:
            wait_until(lambda: (self.spool / "answers").exists())

    def record(self, event: str, **fields: Any) -> None:
        """A hook that is not waited for: it leaves its payload in the spool."""
        (group,) = hook_settings(self.spool, (2, 1, 330))[event]
        payload = {**BASH, "hook_event_name": event, "session_id": SESSION, "prompt_id": "p", **fields}
        command = group["hooks"][0]["command"]
        subprocess.run(["sh", "-c", command], input=json.dumps(payload).encode(), check=True, timeout=TIMEOUT)

    def ask(self, payload: Mapping[str, Any] = BASH, tool_use_id: str = "t1") -> Hook:
        """Claude is about to use a tool and asks for permission."""
        agent = {"agent_id": payload["agent_id"]} if "agent_id" in payload else {}
        self.record("PreToolUse", tool_use_id=tool_use_id, **agent)
        self.hooks.append(Hook(self.spool, {**payload, "session_id": SESSION}))
        return self.hooks[-1]

    def client(self) -> Client:
        return Client(self.port, token=TOKEN)

    def finish(self) -> None:
        self.session.finish(Ending("over"))
        for hook in self.hooks:
            hook.close()


@pytest.fixture
def monitored(home: Path) -> Iterator[Monitored]:
    here = Monitored(home)
    yield here
    here.finish()


def asked(watcher: Watcher, count: int = 1) -> dict[str, Any]:
    watcher.wait_for(lambda: len(watcher.all("claude.question", state="asked")) >= count, TIMEOUT)
    question: dict[str, Any] = watcher.all("claude.question", state="asked")[count - 1]
    return question


def states(watcher: Watcher, request_id: str) -> list[str]:
    return [data["state"] for data in watcher.all("claude.question", request_id=request_id)]


def test_every_client_sees_a_question_from_asked_to_applied(monitored: Monitored) -> None:
    with Watcher(monitored.port, TOKEN) as watcher, monitored.client() as client:
        hook = monitored.ask()
        request_id = asked(watcher)["request_id"]
        watcher.wait_for(lambda: watcher.all("claude.status")[-1].get("waiting_for", {}).get("answerable"))
        (open_question,) = client.get_status()["questions"]
        assert open_question["request_id"] == request_id
        assert client.request("answer", request=request_id, decision="allow")["data"] == {"command": "answer"}
        assert json.loads(hook.end()) == ALLOWED
        watcher.wait_event("claude.question", request_id=request_id, state="delivered")
        with pytest.raises(ProtocolError) as refused:
            client.request("answer", request=request_id, decision="deny")
        assert refused.value.code == "already_answered"
        monitored.record("PostToolUse", tool_use_id="t1", tool_response={"stdout": ""})
        watcher.wait_event("claude.question", request_id=request_id, state="applied")
        assert states(watcher, request_id) == ["asked", "delivered", "applied"]
        (audit,) = watcher.all("system.control")
        assert audit["command"] == "answer" and audit["detail"]["decision"] == "allow"
        assert client.get_status()["questions"] == []


def test_the_users_own_answer_lets_the_hook_go(monitored: Monitored) -> None:
    with Watcher(monitored.port, TOKEN) as watcher, monitored.client() as client:
        hook = monitored.ask()
        request_id = asked(watcher)["request_id"]
        monitored.record("PostToolUse", tool_use_id="t1", tool_response={"stdout": ""})
        watcher.wait_event("claude.question", request_id=request_id, state="withdrawn")
        assert hook.end() == b""
        with pytest.raises(ProtocolError) as refused:
            client.request("answer", request=request_id, decision="allow")
        assert refused.value.code == "expired"
        assert watcher.all("system.control") == []


def test_an_agents_question_waits_only_while_a_client_is_there(monitored: Monitored) -> None:
    with monitored.client():
        hook = monitored.ask(IN_AGENT)
        wait_until(lambda: monitored.session.status()["questions"], "the question is open")
    assert hook.end() == b""
    assert monitored.ask(IN_AGENT, "t2").end() == b""


def test_the_end_of_the_monitor_lets_the_hook_go(home: Path) -> None:
    here = Monitored(home)
    hook = here.ask()
    wait_until(lambda: here.session.status()["questions"], "the question is open")
    here.session.finish(Ending("over"))
    assert hook.end() == b""
    here.hooks[0].close()


@pytest.mark.parametrize("control", [True, False])
def test_where_nobody_may_answer_there_is_no_such_command(home: Path, control: bool) -> None:
    here = Monitored(home, control, "it cannot be answered")
    try:
        with here.client() as client:
            with pytest.raises(ProtocolError) as refused:
                client.request("answer", request="q-1", decision="allow")
            assert refused.value.code == ("expired" if control else "unknown_command")
            assert ("answers" in client.greeting["instance_info"]["capabilities"]) is False
        assert not (here.spool / "answers").exists()
    finally:
        here.finish()


@pytest.mark.parametrize(
    "params",
    [{}, {"request": "q"}, {"decision": "allow"}, {"request": 1, "decision": "allow"}, {"request": "q", "decision": 1},
     {"request": "q", "decision": "deny", "message": 1}],
)  # fmt: skip
def test_bad_parameters_are_told(monitored: Monitored, params: dict[str, Any]) -> None:
    with monitored.client() as client, pytest.raises(ProtocolError) as refused:
        client.request("answer", **params)
    assert refused.value.code == "invalid_params"


@pytest.mark.parametrize(
    "text", [b'{"command":"answer","request":"q","decision":"allow"}', b'{"command":"send_prompt","text":"x"}']
)
def test_a_client_without_the_token_may_not_answer(text: bytes) -> None:
    """As one that only may look has none."""

    class Nobody:
        def answer(self, *given: object) -> None:
            raise AssertionError(given)

        def send_prompt(self, *given: object) -> None:
            raise AssertionError(given)

    log = Log("run-1")
    view = SessionView(dict, list, lambda: None, lambda types: None, answers=Nobody(), prompts=Nobody())
    subscription = Subscription(log)
    client = CommandClient("client-1", log, view, dict, False, subscription)
    assert json.loads(server_answer(client, text) or b"")["data"]["code"] == "forbidden"
    assert log.seq == 0


# --- claude-mpm answer ---


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = answer_command.run([*args, "--token", TOKEN])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_lists_what_waits_and_answers_it(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(monitored.port)
    assert run(capsys, port) == (0, "nothing waits for an answer\n", "")
    with pytest.raises(UsageError, match="nothing waits"):
        run(capsys, port, "allow")
    hook = monitored.ask(BASH | {"tool_input": {"command": "rm \u202e\u200b -r \x1b[2J x"}})
    wait_until(lambda: monitored.session.status()["questions"], "the question is open")
    code, out, _ = run(capsys, port)
    assert code == 0 and "Bash" in out and "allow, allow-session, deny" in out and "Bash(python3:*)" in out
    assert r"rm \u202e\u200b -r \u001b[2J x" in out, "nothing invisible, nothing that moves the cursor"
    code, out, _ = run(capsys, port, "deny", "--message", "not now")
    assert (code, out) == (0, "deny: Bash: Claude has the answer\n")
    assert json.loads(hook.end())["hookSpecificOutput"]["decision"] == {"behavior": "deny", "message": "not now"}


def test_the_command_asks_which_question_is_meant(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(monitored.port)
    for tool_use_id in ("t1", "t2"):
        monitored.ask(tool_use_id=tool_use_id)
    wait_until(lambda: len(monitored.session.status()["questions"]) == 2, "both are open")
    with pytest.raises(UsageError, match="--request"):
        run(capsys, port, "allow")
    second = monitored.session.status()["questions"][1]["request_id"]
    assert run(capsys, port, "allow", "--request", second)[0] == 0
    with pytest.raises(ProtocolError) as refused:
        run(capsys, port, "allow", "--request", second)
    assert refused.value.code == "already_answered"


@pytest.mark.parametrize(
    "args",
    [("99999",), ("maybe",), ("8765", "maybe"), ("allow", "8765"), ("--message", "x"), ("allow", "--answers", "[]")],
)
def test_the_command_explains_wrong_usage(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        answer_command.run(args)
    assert ended.value.code == 2 and "answer" in capsys.readouterr().err
