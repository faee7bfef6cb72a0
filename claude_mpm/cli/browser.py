"""Opening the monitor page."""

from __future__ import annotations

import subprocess
import sys
import webbrowser


def open_page(url: str, token: str | None) -> str | None:
    """Open the page in the user's browser, without waiting for it.

    The token is passed in the fragment, which browsers send to no server; the page removes it from the address bar.

    Returns:
        None, or one sentence for the user when there is no browser that can be opened.
    """
    sentence = f"no browser found here to open; the page is at {url}"
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return sentence
    if type(browser) is webbrowser.GenericBrowser:  # lynx and the like: they would take over Claude's terminal
        return sentence
    # The shell exits at once, so that the browser becomes neither our child nor that of the claude we turn into, and
    # nothing it prints reaches Claude's terminal. -I keeps Python from importing a webbrowser.py of the project's.
    script = '"$0" -I -m webbrowser "$1" </dev/null >/dev/null 2>&1 &'
    try:
        subprocess.run(["sh", "-c", script, sys.executable, f"{url}#token={token}" if token else url], check=True)
    except (OSError, subprocess.CalledProcessError):
        return sentence
    return None
