"""The commands that act on Claude. All of them need the token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claude_mpm.errors import ClaudeMpmError, ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.server.commands.params import Params
from claude_mpm.server.commands.replies import Client, Run, reply
from claude_mpm.server.commands.session_view import Control

MAX_WINDOW = 1000  # columns or rows of a terminal


def _control(name: str, read: Callable[[Params], tuple[Any, ...]], audit: Callable[..., dict[str, Any] | None]) -> Run:
    """A command that acts on Claude: it needs the token, and is recorded in the log before it is executed."""

    def run(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
        if not client.trusted:
            raise ProtocolError("forbidden", "control commands need the token")
        control: Control | None = client.backend.control
        arguments = read(params)
        client.log.append(ev.system_control(name, client.name, audit(*arguments)))
        try:
            getattr(control, name)(*arguments)
        except (OSError, ClaudeMpmError) as error:
            raise ProtocolError("unavailable", f"Claude did not accept it: {error}") from None
        return reply("done", {"command": name}, **fields)

    return run


def _answer(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    """Answer one of Claude's questions. The desk records it in the log: only it knows which answer came first."""
    if not client.trusted:
        raise ProtocolError("forbidden", "answering Claude needs the token")
    assert client.backend.answers is not None
    client.backend.answers.answer(
        params.text("request"),
        params.text("decision"),
        params.optional_text("message"),
        params.value("answers"),
        client.name,
    )
    return reply("done", {"command": "answer"}, **fields)


def _send_prompt(client: Client, params: Params, fields: dict[str, Any]) -> bytes:
    """Enter a prompt. It is recorded in the log once it is known that it may be entered."""
    if not client.trusted:
        raise ProtocolError("forbidden", "entering a prompt needs the token")
    assert client.backend.prompts is not None
    try:
        client.backend.prompts.send_prompt(params.text("text"), client.name)
    except ProtocolError:
        raise
    except ClaudeMpmError as error:
        raise ProtocolError("unavailable", f"Claude did not accept it: {error}") from None
    return reply("done", {"command": "send_prompt"}, **fields)


# The audit event tells how much was typed but not what: every client can read it, and it may be a password.
CONTROL: dict[str, Run] = {
    "send_input": _control("send_input", lambda p: (p.text("text"),), lambda text: {"characters": len(text)}),
    "interrupt": _control("interrupt", lambda p: (), lambda: None),
    "stop": _control("stop", lambda p: (), lambda: None),
    "resize": _control(
        "resize",
        lambda p: (p.required_number("cols", 1, MAX_WINDOW), p.required_number("rows", 1, MAX_WINDOW)),
        lambda cols, rows: {"cols": cols, "rows": rows},
    ),
}
ANSWERS: dict[str, Run] = {"answer": _answer}
PROMPTS: dict[str, Run] = {"send_prompt": _send_prompt}
