"""Opening the monitor page."""

from __future__ import annotations

import subprocess
import sys
import webbrowser


def open_page(url: str, token: str | None) -> str | None:
    """Open the page without waiting for it; returns None, or one sentence when there is no browser to open it in.

    The token goes behind `#`: the page reads it and removes it from the address bar; no server sees it.
    """
    sentence = f"no browser found here to open; the page is at {url}"
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return sentence
    if type(browser) is webbrowser.GenericBrowser:  # lynx and the like would take the terminal Claude is about to use
        return sentence
    # Through a shell that leaves at once: a browser is no child of ours (or of the claude we become), and what it says
    # does not land in Claude's terminal. -I: a webbrowser.py in the project's directory is not ours to run.
    script = '"$0" -I -m webbrowser "$1" </dev/null >/dev/null 2>&1 &'
    try:
        subprocess.run(["sh", "-c", script, sys.executable, f"{url}#token={token}" if token else url], check=True)
    except (OSError, subprocess.CalledProcessError):
        return sentence
    return None
