"""Answering Claude from the page, in a real Chromium: real hooks, a real monitor, and the card between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page import Page
from serving import TOKEN
from support import wait_until
from test_answer import SESSION, Monitored
from test_answer_desk import ALLOWED, BASH, IN_AGENT, Hook

from claude_mpm.errors import ProtocolError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser

HIDDEN = "python3 \u202e\u200bx " + "y" * 20_000 + " END"
QUESTIONS = BASH | {
    "tool_name": "AskUserQuestion",
    "tool_input": {
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
PLAN = BASH | {"tool_name": "ExitPlanMode", "tool_input": {"plan": "# The plan\n\n1. make a file"}}
TOUCHED = """
window.early = null;
new MutationObserver(() => {
  const button = document.querySelector("#needs-answer [data-decision=allow]");
  if (!button || window.early !== null) return;
  window.early = button.disabled;
  button.click();
}).observe(document, { childList: true, subtree: true });
"""


DISARMED = """
const button = document.querySelector(arguments[0]);
window.disarmed = false;
new MutationObserver(() => { window.disarmed ||= button.disabled; }).observe(button, { attributes: true });
"""


@pytest.fixture
def monitored(home: Path) -> Iterator[Monitored]:
    here = Monitored(home)
    yield here
    here.finish()


def look(page: Page, monitored: Monitored, token: str | None = TOKEN) -> None:
    """Open the session's page as the link that claude-mpm prints does."""
    page.open(f"http://localhost:{monitored.port}/" + (f"#token={token}" if token else ""))
    page.live()


def ask(monitored: Monitored, payload: dict[str, Any] = BASH, tool_use_id: str = "t1", **fields: Any) -> Hook:
    """Claude is about to use a tool and asks."""
    agent = {"agent_id": payload["agent_id"]} if "agent_id" in payload else {}
    about = {"tool_name": payload["tool_name"], "tool_input": payload["tool_input"]}
    monitored.record("PreToolUse", tool_use_id=tool_use_id, **about, **agent)
    monitored.hooks.append(Hook(monitored.spool, {**payload, "session_id": SESSION, **fields}))
    return monitored.hooks[-1]


def applied(monitored: Monitored, payload: dict[str, Any] = BASH, tool_use_id: str = "t1") -> None:
    """Claude's own record says that the tool ran."""
    about = {"tool_name": payload["tool_name"], "tool_input": payload["tool_input"]}
    monitored.record("PostToolUse", tool_use_id=tool_use_id, tool_response={"stdout": ""}, **about)


def card(page: Page) -> None:
    page.until(lambda: page.shows("#needs-answer .answer-buttons"), "the card")


def armed(page: Page) -> None:
    script = (
        "const b = [...document.querySelectorAll('#needs-answer button')]; return b.length && b.every(e => !e.disabled)"
    )
    page.until(lambda: page.js(f"return Boolean((() => {{ {script} }})())"), "armed buttons")


def status(page: Page) -> str:
    return page.text("#needs-answer .answer-status")


def test_the_card_from_appearance_to_applied(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    hook = ask(monitored)
    card(page)
    assert page.text("#needs-what") == "◆ Claude asks permission for Bash"
    assert page.text("#needs-answer pre") == "python3 x" and not page.shows("#needs-input")
    assert "Answer here, or in the terminal" in page.text("#needs-how")
    assert "Bash(python3:*)" in page.text("[data-decision=allow_session]")
    armed(page)
    assert page.js("return document.activeElement === document.body"), "nothing is focused by itself"
    page.click("[data-decision=allow]")
    assert json.loads(hook.end()) == ALLOWED
    page.until(lambda: status(page).startswith("Claude has the answer. (Allow, "), "delivered")
    applied(monitored)
    page.until(lambda: status(page).startswith("Claude acts on the answer. (Allow, "), "applied")
    page.until(lambda: page.text("#needs-what") == "Answered" and not page.shows("#needy"), "nobody is needed")
    page.until(lambda: not page.shows("#needs"), "the card goes once it was read")


def test_a_click_on_a_card_that_has_just_appeared_answers_nothing(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    page.js(TOUCHED)
    ask(monitored)
    armed(page)
    assert page.js("return window.early") is True, "not armed when it appears"
    assert status(page) == ""
    with monitored.client() as client:
        assert [one["state"] for one in client.get_status()["questions"]] == ["asked"]


def test_a_denial_takes_a_word_to_claude(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    hook = ask(monitored)
    armed(page)
    page.click("#needs-answer .answer-word input")
    page.keys("use the test database")
    page.click("[data-decision=deny]")
    decision = json.loads(hook.end())["hookSpecificOutput"]["decision"]
    assert decision["behavior"] == "deny" and "use the test database" in decision["message"]


def test_allow_for_this_session_grants_what_the_button_says(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    hook = ask(monitored)
    armed(page)
    page.click("[data-decision=allow_session]")
    decision = json.loads(hook.end())["hookSpecificOutput"]["decision"]
    (granted,) = decision["updatedPermissions"]
    assert decision["behavior"] == "allow" and granted["destination"] == "session"
    assert granted["rules"] == BASH["permission_suggestions"][0]["rules"]  # type: ignore[index]


def test_the_whole_input_is_shown_and_nothing_in_it_is_invisible(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    ask(monitored, BASH | {"tool_input": {"command": HIDDEN}})
    card(page)
    shown = page.js("return document.querySelector('#needs-answer pre').textContent")
    assert shown == "python3 ⟨U+202E⟩⟨U+200B⟩x " + "y" * 20_000 + " END"


def test_questions_are_answered_in_a_form(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    hook = ask(monitored, QUESTIONS)
    armed(page)
    page.click("[data-decision=allow]")
    page.until(lambda: "every question" in status(page), "what is missing")
    page.js(
        "const i = document.querySelectorAll('#needs-answer input'); for (const n of [1, 3, 4]) i[n].checked = true"
    )
    page.click("[data-decision=allow]")
    decision = json.loads(hook.end())["hookSpecificOutput"]["decision"]
    assert decision["updatedInput"]["answers"] == {"Which color?": "Blue", "Which sizes?": "S, M"}


def test_a_plan_is_approved(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    hook = ask(monitored, PLAN)
    armed(page)
    assert page.text("#needs-answer .answer-plan li") == "make a file"
    assert page.text("[data-decision=deny]") == "Keep planning"
    page.click("[data-decision=allow]")
    assert json.loads(hook.end())["hookSpecificOutput"]["decision"]["behavior"] == "allow"


def test_a_subagents_question_has_a_countdown(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    ask(monitored, IN_AGENT)
    card(page)
    assert page.text(".answer-countdown").startswith("Claude asks in the terminal in ")


def test_two_questions_at_once_have_a_card_each(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    first = ask(monitored)
    page.until(lambda: page.count("#needs-answer .question-card") == 1, "the first card")
    second = ask(monitored, IN_AGENT | {"tool_input": {"command": "python3 y"}}, "t2")
    page.until(lambda: page.text("#needs-what") == "◆ 2 questions wait for an answer", "both cards")
    armed(page)
    assert "A subagent asks permission for Bash" in page.text("#needs-answer")
    page.click(".question-card:nth-child(2) [data-decision=allow]")
    assert json.loads(second.end()) == ALLOWED
    page.until(lambda: "has the answer" in page.text(".question-card:nth-child(2)"), "delivered")
    page.until(lambda: page.count(".question-card:nth-child(1) button:disabled") == 0, "the first card, armed anew")
    page.click(".question-card:nth-child(1) [data-decision=deny]")
    assert json.loads(first.end())["hookSpecificOutput"]["decision"]["behavior"] == "deny"


def test_a_card_that_moves_is_armed_anew(monitored: Monitored, page: Page) -> None:
    """The first card shrinks once it is answered, and the second one comes to be under the mouse."""
    look(page, monitored)
    first = ask(monitored)
    page.until(lambda: page.count("#needs-answer .question-card") == 1, "the first card")
    ask(monitored, IN_AGENT | {"tool_input": {"command": "python3 y"}}, "t2")
    page.until(lambda: page.count("#needs-answer .question-card") == 2, "both cards")
    armed(page)
    page.js(DISARMED, ".question-card:nth-child(2) [data-decision=allow]")
    page.click(".question-card:nth-child(1) [data-decision=allow]")
    first.end()
    applied(monitored)
    page.until(lambda: status(page).startswith("Claude acts"), "the first card has shrunk")
    assert page.js("return window.disarmed") is True
    page.until(lambda: page.count(".question-card:nth-child(2) button:disabled") == 0, "armed again")


def test_another_client_was_first(monitored: Monitored, page: Page) -> None:
    """The page is kept from hearing of it, so that its answer comes too late."""
    look(page, monitored)
    hook = ask(monitored)
    armed(page)
    page.js(
        "return import('/page/store.js').then(({ store }) => { const link = store.home, take = link.receive;"
        " link.receive = function (raw) { if (!raw.includes('claude.')) take.call(link, raw); }; })"
    )
    with monitored.client() as client:
        (question,) = client.get_status()["questions"]
        client.request("answer", request=question["request_id"], decision="deny")
    hook.end()
    page.click("[data-decision=allow]")
    page.until(lambda: "came first" in status(page), "that another client was first")
    assert page.count("#needs-answer button:disabled") == page.count("#needs-answer button")


def test_the_users_own_answer_withdraws_the_card(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    ask(monitored)
    card(page)
    applied(monitored)
    page.until(lambda: status(page).startswith("Not answered here: "), "why no answer counts any more")
    assert not page.shows("#needs-answer .answer-buttons")


def test_a_card_is_there_again_after_a_reload(monitored: Monitored, page: Page) -> None:
    look(page, monitored)
    hook = ask(monitored)
    card(page)
    page.driver.refresh()
    page.live()
    armed(page)
    page.click("[data-decision=allow]")
    assert json.loads(hook.end()) == ALLOWED


def test_what_cannot_be_answered_here_says_why(page: Page, home: Path) -> None:
    here = Monitored(home, unanswerable="Claude 1.0.128 cannot be answered")
    try:
        look(page, here)
        here.record("PreToolUse", tool_use_id="t1")
        here.record("PermissionRequest")
        page.until(lambda: "1.0.128 cannot be answered" in page.text("#needs-how"), "why")
        assert not page.shows("#needs-answer") and page.text("#needs-input") != ""
    finally:
        page.open("about:blank")
        here.finish()


def test_without_control_there_is_nothing_to_press(page: Page, home: Path) -> None:
    here = Monitored(home, control=False, unanswerable="control is off")
    try:
        look(page, here)
        here.record("PreToolUse", tool_use_id="t1")
        here.record("PermissionRequest")
        page.until(lambda: page.shows("#needs"), "the card")
        page.frame()
        assert not page.shows("#needs-answer") and not page.shows("#prompt")
    finally:
        page.open("about:blank")
        here.finish()


def test_a_card_taller_than_the_window_can_be_scrolled(monitored: Monitored, page: Page) -> None:
    page.size(1280, 500)
    look(page, monitored)
    ask(monitored, QUESTIONS)
    armed(page)
    script = "const e = document.querySelector('#needs'); return [e.getBoundingClientRect().bottom, e.scrollHeight - e.clientHeight]"
    bottom, hidden = page.js(script)
    assert bottom < 500 and hidden > 0


def test_on_the_phone_the_card_is_first_and_large_enough(monitored: Monitored, page: Page) -> None:
    page.size(390, 844)
    look(page, monitored)
    ask(monitored)
    armed(page)
    sizes = page.js(
        "return [...document.querySelectorAll('#needs-answer button')].map(e => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40
    tops = page.js(
        "return ['#needs', '#head', '#views'].map(s => document.querySelector(s).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops) and page.js("return document.documentElement.scrollWidth <= 390")
    assert not page.shows("#rail"), "the card is the first thing on the screen"


# --- prompts -----------------------------------------------------------------------------------------


class Prompter:
    """In the place of Prompts: notes what was entered, or refuses it."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.refusal: ProtocolError | None = None

    def send_prompt(self, text: str, client: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.entered.append(text)


@pytest.fixture
def prompter(monitored: Monitored) -> Prompter:
    prompter = Prompter()
    server = monitored.session._server
    assert server is not None
    server._session = replace(server._session, prompts=prompter)
    monitored.session._config = monitored.config._replace(launch_method="subprocess")
    monitored.session.log.append(ev.session_start(SESSION, monitored.session.info, "subprocess", 1.0))
    return prompter


def activity(monitored: Monitored, what: Any) -> None:
    monitored.session.log.append(ev.claude_status("running", origin=Origin("hook"), activity=what))


def test_an_idle_claude_takes_a_prompt(monitored: Monitored, prompter: Prompter, page: Page) -> None:
    activity(monitored, "working")
    look(page, monitored)
    page.frame()
    assert not page.shows("#prompt")
    activity(monitored, "idle")
    page.until(lambda: page.shows("#prompt"), "the box")
    assert page.js("return document.activeElement === document.body"), "nothing is focused by itself"
    page.click("#prompt-text")
    page.keys("run the tests")
    page.click("#prompt button")
    wait_until(lambda: prompter.entered == ["run the tests"], "the prompt")
    page.until(lambda: page.js("return document.querySelector('#prompt-text').value") == "", "an empty box")


def test_a_prompt_that_cannot_be_entered_says_why_and_is_kept(
    monitored: Monitored, prompter: Prompter, page: Page
) -> None:
    prompter.refusal = ProtocolError("busy", "something has been typed in the terminal")
    activity(monitored, "idle")
    look(page, monitored)
    page.until(lambda: page.shows("#prompt"), "the box")
    page.click("#prompt-text")
    page.keys("hello")
    page.click("#prompt button")
    page.until(lambda: "something has been typed" in page.text("#prompt-note"), "why")
    assert page.js("return document.querySelector('#prompt-text').value") == "hello"
    activity(monitored, "working")
    page.until(lambda: page.js("return document.querySelector('#prompt button').disabled"), "nothing to press")
    assert page.shows("#prompt"), "what was typed stays"
