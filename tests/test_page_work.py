"""The renderers of Claude's work in Chromium, under the policy that the page is served with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from page import Page
from page_lab import lab_address

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with lab_address("work.html") as found:
        yield found


def opened(page: Page, url: str) -> None:
    page.open(url)
    page.until(lambda: page.js("return document.documentElement.dataset.ready") == "yes", "the renderers to finish")


def test_hostile_calls_agents_and_messages_make_only_elements_of_ours(page: Page, address: str) -> None:
    opened(page, address + "?hostile")
    result = page.js("return window.result")
    assert result["failures"] == []
    assert result["foreign"] == []
    assert result["links"] == []
    assert result["rows"] > 1000
    assert page.js("return window.pwned") is None


def test_a_hostile_message_shows_its_markup_and_its_links_true_host(page: Page, address: str) -> None:
    opened(page, address + "?hostile")
    text = page.text("main")
    assert "<img src=x onerror=window.pwned=1>" in text
    assert "[click](javascript:window.pwned=3)" in text
    assert "⟨RLO⟩gnp.exe" in text
    assert "https://good.example (evil.example)" in text
    assert page.count("main img, main script, main iframe") == 0


def test_each_tool_is_shown_as_work(page: Page, address: str) -> None:
    opened(page, address)
    text = page.text("main")
    assert " 0 ms" not in text
    assert page.count(".call[data-tool=TaskUpdate]") == 0
    assert "✔ Reproduce the bug" in text.replace("✔\n", "✔ ")
    assert "E AssertionError: assert ['caf'] == ['café']" in text
    assert "issue tracker · create issue" in text
    assert page.text(".diff-row.removed mark") == "[a-zA-Z]"
    assert page.js("return document.querySelector('.diff-row.added').dataset.new") == "3"


def test_a_detail_is_made_when_it_is_opened_and_the_raw_event_is_one_click_away(page: Page, address: str) -> None:
    opened(page, address)
    assert page.count(".call[data-tool=Bash] .call-body") == 0
    page.click(".call[data-tool=Bash] summary")
    page.until(lambda: "1 failed, 4 passed" in page.text(".call[data-tool=Bash] .part-output"), "the output")
    page.js("document.querySelector('.call[data-tool=Bash] .row-action').click()")
    page.js("document.querySelector('.agent-open').click()")
    page.js("document.querySelector('.call[data-tool=Edit] .row-action').click()")
    assert page.js("return window.asked") == [["raw", 5000], ["agent", "a1"], ["file", "/src/tally/words.py"]]


def test_code_is_copied_as_shown(page: Page, address: str) -> None:
    origin = address.rsplit("/tests", 1)[0]
    page.cdp("Browser.grantPermissions", origin=origin, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    opened(page, address)
    page.click(".markdown .code-copy")
    page.until(lambda: page.text(".markdown .code-copy") == "Copied", "the copy")
    assert page.js("return navigator.clipboard.readText()") == 'WORD = re.compile(r"\\w+", re.UNICODE)'


def test_nothing_is_wider_than_a_phone(page: Page, address: str) -> None:
    page.size(390, 844)
    opened(page, address)
    page.js("document.querySelectorAll('details').forEach((details) => { details.open = true })")
    page.until(lambda: page.count("details > .call-body") == page.count("details[open] > .call-body"), "all details")
    assert page.js("return document.documentElement.scrollWidth") <= 390


def test_headings_of_a_message_follow_the_pages_own_without_a_gap(page: Page, address: str) -> None:
    opened(page, address)
    script = "return import('/claude_mpm/page/render/markdown.js').then(({ renderMarkdown }) =>"
    script += " [...renderMarkdown(arguments[0]).querySelectorAll('h1, h2, h3, h4, h5, h6')].map((one) => one.tagName))"
    text = "### deep first\n\n##### deeper\n\n> # quoted\n\n###### last"
    assert page.js(script, text) == ["H2", "H3", "H2", "H3"]


def test_a_row_made_anew_is_open_as_the_reader_left_it(page: Page, address: str) -> None:
    opened(page, address)
    script = """
        const [done] = arguments;
        Promise.all([import('/claude_mpm/page/render/tool.js'), import('/tests/page/session.mjs')]).then(async ([tool, session]) => {
          const [, running] = session.call('c', 1, { tool: 'Bash', input: { command: 'make' } });
          const ctx = { opened: new Map(), now: session.START + 5001 };
          const first = tool.renderCall(running, ctx);
          document.querySelector('main').append(first);
          const toggled = new Promise((resolve) => first.querySelector('details').addEventListener('toggle', resolve));
          first.querySelector('summary').click();
          await toggled;
          const before = first.querySelector('.call-time').textContent;
          tool.tickRunning(first, session.START + 9001);
          const again = tool.renderCall({ ...running, ok: true, endAt: session.START + 9001, summary: 'built' }, ctx);
          done([before, first.querySelector('.call-time').textContent, again.querySelector('.part-output')?.textContent]);
        });
    """
    assert page.driver.execute_async_script(script) == ["running 5 s", "running 9 s", "built"]
