"""The card that answers Claude, in a real Chromium: claude_mpm/page/render/answer.js."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from page import Page
from support import ROOT, wait_until

PAGE = ROOT / "claude_mpm/page"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"
HTML = b"<!doctype html><meta charset=utf-8><title>card</title><main></main><script type=module src=/card.js></script>"
SCRIPT = b"""
import { renderAnswer, showAnswerState } from "/render/answer.js";
window.sent = [];
window.reply = null;
window.show = (waitingFor) => {
  const send = (command, params) => {
    window.sent.push([command, params]);
    return window.reply ? Promise.reject(new Error(window.reply)) : Promise.resolve({});
  };
  window.card = renderAnswer(waitingFor, { send });
  document.querySelector("main").replaceChildren(window.card);
};
window.tell = (data) => showAnswerState(window.card, data);
window.ready = true;
"""
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
BASH = {
    "kind": "permission",
    "tool": "Bash",
    "input": {"command": "rm \u202e\u200b-r \x1b[2Jx <b>bold</b>\n" + "y" * 30_000 + " END"},
    "answerable": True,
    "request_id": "q-1",
    "decisions": ["allow", "allow_session", "deny"],
    "grants": ["Bash(rm:*)"],
}
ASK = {
    "kind": "question",
    "tool": "AskUserQuestion",
    "answerable": True,
    "request_id": "q-2",
    "decisions": ["allow", "deny"],
    "input": {
        "questions": [
            {"question": "Which color?", "header": "Color", "options": [{"label": "Red"}, {"label": "Blue"}]},
            {
                "question": "Which sizes?",
                "header": "Sizes",
                "multiSelect": True,
                "options": [{"label": "S"}, {"label": "M"}],
            },
        ]
    },
}
PLAN = {
    "kind": "permission",
    "tool": "ExitPlanMode",
    "input": {"plan": "# The plan\n\n1. make a file"},
    "answerable": True,
    "request_id": "q-3",
    "decisions": ["allow", "deny"],
}

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = {"/": HTML, "/card.js": SCRIPT}
        file = PAGE / self.path.lstrip("/")
        body = known.get(self.path) or (file.read_bytes() if file.is_file() else b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", TYPES.get(Path(self.path).suffix, "text/html"))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="card-server")
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(page: Page, url: str) -> Page:
    """The card's own page, its module loaded."""
    page.open(url)
    page.until(lambda: page.js("return window.ready === true"), "the module")
    return page


def show(page: Page, waiting_for: dict[str, Any]) -> None:
    page.js("window.show(arguments[0])", waiting_for)


def armed(page: Page) -> bool:
    return bool(page.js("return !document.querySelector('button').disabled"))


def sent(page: Page) -> list[Any]:
    return list(json.loads(page.js("return JSON.stringify(window.sent)")))


def click(page: Page, decision: str) -> None:
    wait_until(lambda: armed(page), "the buttons are armed")
    page.js("document.querySelector(`[data-decision=${arguments[0]}]`).click()", decision)


def test_all_that_would_run_is_shown_and_nothing_hides(page: Page) -> None:
    show(page, BASH)
    shown = page.js("return document.querySelector('pre').textContent")
    assert shown == "rm ⟨U+202E⟩⟨U+200B⟩-r ⟨U+001B⟩[2Jx <b>bold</b>\n" + "y" * 30_000 + " END"
    assert page.count("pre b") == 0
    assert "Bash(rm:*)" in page.text("[data-decision=allow_session]")


def test_a_click_in_the_first_half_second_does_nothing_and_nothing_is_focused(page: Page) -> None:
    page.js("window.show(arguments[0]); document.querySelector('[data-decision=allow]').click()", BASH)
    assert page.js("return document.activeElement === document.body")
    assert sent(page) == []
    click(page, "allow")
    assert sent(page) == [["answer", {"request": "q-1", "decision": "allow"}]]
    page.until(lambda: "on its way" in page.text(".answer-status"), "told")
    assert not armed(page), "one click is enough"


def test_a_word_to_claude_goes_with_the_refusal(page: Page) -> None:
    show(page, BASH)
    page.js("document.querySelector('.answer-word input').value = ' use the test database '")
    click(page, "deny")
    assert sent(page) == [["answer", {"request": "q-1", "decision": "deny", "message": "use the test database"}]]


def test_questions_are_a_form_and_every_one_is_answered(page: Page) -> None:
    show(page, ASK)
    click(page, "allow")
    assert sent(page) == [] and "every question" in page.text(".answer-status")
    page.js("const i = document.querySelectorAll('input'); i[1].checked = true; i[3].checked = i[4].checked = true")
    click(page, "allow")
    answers = {"Which color?": "Blue", "Which sizes?": ["S", "M"]}
    assert sent(page) == [["answer", {"request": "q-2", "decision": "allow", "answers": answers}]]


def test_own_words_replace_the_choice(page: Page) -> None:
    show(page, ASK)
    page.js("const i = document.querySelectorAll('input'); i[1].checked = i[3].checked = true; i[2].value = 'green'")
    click(page, "allow")
    assert sent(page)[0][1]["answers"] == {"Which color?": "green", "Which sizes?": ["S"]}


def test_a_plan_is_shown_as_markdown_with_its_two_answers(page: Page) -> None:
    show(page, PLAN)
    assert page.count(".answer-plan li") == 1
    assert (
        page.text("[data-decision=allow]") == "Approve the plan"
        and page.text("[data-decision=deny]") == "Keep planning"
    )


def test_a_refused_answer_says_why_and_can_be_given_again(page: Page) -> None:
    show(page, BASH)
    page.js("window.reply = 'client-2 answered first'")
    click(page, "allow")
    page.until(lambda: page.text(".answer-status") == "client-2 answered first", "the reason")
    page.until(lambda: armed(page), "armed again")


def test_what_becomes_of_the_answer_is_told(page: Page) -> None:
    show(page, BASH)
    for data, words in (
        ({"state": "delivered", "decision": "allow", "client": "client-3"}, "Claude has the answer. (Allow, client-3)"),
        (
            {"state": "applied", "decision": "allow", "client": "client-3"},
            "Claude acts on the answer. (Allow, client-3)",
        ),
        ({"state": "withdrawn", "reason": "out of time"}, "Not answered here: out of time"),
    ):
        page.js("window.tell(arguments[0])", data)
        assert page.text(".answer-status") == words


def test_a_countdown_is_shown_where_there_is_one(page: Page) -> None:
    show(page, BASH)
    assert page.count(".answer-countdown") == 0
    page.js("window.show({...arguments[0], expires_at: new Date(Date.now() + 15500).toISOString()})", BASH)
    assert page.text(".answer-countdown").startswith("Claude asks in the terminal in 1")
    page.js("window.show({...arguments[0], expires_at: '2020-01-01T00:00:00.000Z'})", BASH)
    assert page.text(".answer-countdown") == "Claude asks in the terminal now."


def test_what_cannot_be_answered_here_says_why(page: Page) -> None:
    show(page, {"kind": "permission", "answerable": False, "reason": "Claude 1.0.128 cannot be answered"})
    assert page.text("main") == "Answer in the terminal: Claude 1.0.128 cannot be answered."
    show(page, {"kind": "permission"})
    assert page.text("main") == "Answer in the terminal." and page.count("button") == 0
