"""The fixtures of the tests in a real Chromium: one browser for the whole run, one tab that each test finds empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from page import Page, start_browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One Chromium, started when the first test needs it. Its start takes a second or more."""
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.driver.quit()


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """A tab at 1280×800 that nothing was opened in. No test may leave an error in the console."""
    browser.size(1280, 800)
    browser.console()  # what the tab before said when it was left, such as a blocked question whether to leave
    yield browser
    errors = browser.errors()
    browser.open("about:blank")
    assert errors == []
