"""`claude-mpm answer [PORT] [allow|allow-session|deny]`: answer what Claude asks, or list what waits."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from claude_mpm.cli.arguments import listening_port
from claude_mpm.cli.options import command_parser
from claude_mpm.cli.terminal_lines import printable, say
from claude_mpm.cli.watch import running_port
from claude_mpm.client import Client
from claude_mpm.errors import UsageError

DECISIONS = {"allow": "allow", "allow-session": "allow_session", "deny": "deny"}  # as typed: as the protocol has it
DELIVERY_TIME = 5.0  # seconds until Claude has an answer; it takes some ten milliseconds
NOT_ANSWERED = 1  # exit code
EPILOG = """\
Without a decision, list the questions that wait, each with all that Claude wants to do.

  claude-mpm answer                                    what waits?
  claude-mpm answer allow                              let it run, this once
  claude-mpm answer allow-session                      the same, and what is listed as "for the session", until it ends
  claude-mpm answer deny --message "use the test database"
  claude-mpm answer allow --answers '{"Which color?": "Blue", "Which sizes?": ["S", "M"]}'

The instance must have been started with --websocket-control, and so must a hub. At a hub the questions of all its
sessions are listed, each with the session it belongs to: --request 6c9e7b5e/q-1.

exit code: 0 Claude has the answer, or the list was printed; 1 it was answered already or nothing waits to be answered,
or no claude-mpm is there; 2 usage
"""


def run(args: Sequence[str]) -> int:
    """`claude-mpm answer`. Blocks for a few seconds at most.

    Raises:
        ClaudeMpmError: nothing to connect to, or the answer was refused.
    """
    chosen = _parse(args)
    client = Client(running_port() if chosen.port is None else chosen.port, chosen.host, chosen.token)
    with client:
        questions = _questions(client)
        if chosen.decision is None:
            return _list(questions, client.greeting.get("waiting_for"))
        question = _choose(questions, chosen.request)
        return _answer(client, question, chosen)


def _questions(client: Client) -> list[Mapping[str, Any]]:
    """The questions that nobody has answered yet; at a hub those of all its sessions, each with `instance_id`."""
    if "fleet" not in client.greeting:
        return _open(client.greeting)
    found: list[Mapping[str, Any]] = []
    for info in client.get_instances():
        if info.get("reachable") and info.get("status", {}).get("questions"):  # a summary, without the inputs
            instance_id = info["instance_id"]
            status = client.request("get_status", instance_id=instance_id)["data"]
            found += [{**question, "instance_id": instance_id} for question in _open(status)]
    return found


def _open(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [question for question in status.get("questions") or () if "client" not in question]


def _name(question: Mapping[str, Any]) -> str:
    """What --request takes."""
    session = f"{question['instance_id'][:8]}/" if "instance_id" in question else ""
    return f"{session}{question['request_id']}"


def _answer(client: Client, question: Mapping[str, Any], chosen: argparse.Namespace) -> int:
    """Give the answer, and say what became of it."""
    request_id, instance_id = question["request_id"], question.get("instance_id", client.instance_id)
    client.subscribe(["claude.question"])
    client.request(
        "answer",
        instance_id=question.get("instance_id"),
        request=request_id,
        decision=DECISIONS[chosen.decision],
        message=chosen.message,
        answers=chosen.answers,
    )
    deadline = time.monotonic() + DELIVERY_TIME
    while (left := deadline - time.monotonic()) > 0:
        frame = client.next_event(left) or {"type": "", "data": {}}
        data = frame["data"]
        if frame["type"] != "claude.question" or (frame["instance_id"], data["request_id"]) != (
            instance_id,
            request_id,
        ):
            continue
        if data["state"] == "withdrawn":
            say(f"not answered: {data.get('reason', 'the question was withdrawn')}")
            return NOT_ANSWERED
        print(f"{chosen.decision}: {printable(question['tool'])}: Claude has the answer")
        return 0
    say("the answer was given, but Claude has not taken it yet")
    return NOT_ANSWERED


def _choose(questions: Sequence[Mapping[str, Any]], request_id: str | None) -> Mapping[str, Any]:
    """The question that is meant; the only one if none was named."""
    if request_id is not None:
        named = [question for question in questions if _name(question) == request_id]
        return (
            named[0] if named else {"request_id": request_id, "tool": "the tool"}
        )  # the server says what became of it
    if not questions:
        raise UsageError("nothing waits that could be answered from here")
    if len(questions) > 1:
        names = ", ".join(f"{_name(question)} ({printable(question['tool'])})" for question in questions)
        raise UsageError(f"several questions wait; name one with --request: {names}")
    return questions[0]


def _list(questions: Sequence[Mapping[str, Any]], waiting_for: Mapping[str, Any] | None) -> int:
    for question in questions:
        _show(question)
    if not questions and waiting_for is not None and waiting_for.get("answerable") is False:
        print(f"Claude waits for the user, in its terminal only: {printable(str(waiting_for.get('reason')))}")
    elif not questions:
        print("nothing waits for an answer")
    return 0


def _show(question: Mapping[str, Any]) -> None:
    """One question with its whole input, so that nobody allows what cannot be seen."""
    agent = f"  (agent {question['agent_id']})" if "agent_id" in question else ""
    until = f"  until {question['expires_at']}" if "expires_at" in question else ""
    print(printable(f"{_name(question)}  {question['tool']}{agent}{until}"))
    for line in json.dumps(question["input"], indent=2).splitlines():  # ASCII: nothing invisible, nothing that moves
        print(f"    {line}")
    for grant in question.get("grants", ()):
        print(f"    for the session: {json.dumps(grant)[1:-1]}")
    names = [name for name, decision in DECISIONS.items() if decision in question["decisions"]]
    print(f"    answer: {', '.join(names)}")


def _parse(args: Sequence[str]) -> argparse.Namespace:
    parser = command_parser("answer", "Answer what Claude asks, or list what waits for an answer.", EPILOG)
    parser.usage = "claude-mpm answer [PORT] [allow|allow-session|deny] [options]"
    parser.add_argument("words", nargs="*", metavar="PORT, DECISION", help="in this order; both may be left out")
    parser.add_argument("--request", metavar="ID", help="the question that is meant, if several wait")
    parser.add_argument("--message", metavar="TEXT", help="with deny: a word to Claude")
    parser.add_argument("--answers", metavar="JSON", type=_object, help="with allow: one answer for each question")
    parser.add_argument("--host", default="localhost", help="default: localhost")
    parser.add_argument(
        "--token",
        default=os.environ.get("CLAUDE_MPM_WEBSOCKET_TOKEN"),
        help="default: $CLAUDE_MPM_WEBSOCKET_TOKEN, or what an instance of your own has written for you",
    )
    chosen = parser.parse_args(args)
    words = list(chosen.words)
    try:
        chosen.port = listening_port(words.pop(0)) if words and words[0] not in DECISIONS else None
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    chosen.decision = words.pop(0) if words and words[0] in DECISIONS else None
    if words:
        parser.error(f"{words[0]!r} is not a decision; use one of: {', '.join(DECISIONS)}")
    if chosen.decision is None and (chosen.request or chosen.message or chosen.answers):
        parser.error("name the decision: allow, allow-session or deny")
    return chosen


def _object(text: str) -> dict[str, Any]:
    """An argparse type."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('give a JSON object: {"the question": "the answer"}')
    return value
