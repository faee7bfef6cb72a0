"""Parts of the page by themselves, on the pages of tests/page, and a mouse that is moved on them by the pixel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from page import Page
from support import ROOT

from claude_mpm.server.http.pages import CONTENT_SECURITY_POLICY

START = 1_772_355_600_000  # ms; the first event of the story, as in session.mjs
X_OF = """
const [at] = arguments, plot = document.querySelector('.tl-plot').getBoundingClientRect();
const span = lab.now - lab.log.oldestAt;
return Math.round(plot.left + plot.width * (at - lab.log.oldestAt) / span);
"""


class Handler(SimpleHTTPRequestHandler):
    timeout = 0.5  # seconds; a browser opens sockets that it may never use, each of which holds a thread

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=str(ROOT))

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def lab_address(name: str) -> Iterator[str]:
    """Serve the checkout under the policy that the monitor serves its page with; gives the address of this page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="page-files")
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/tests/page/{name}"
        finally:
            server.shutdown()
            thread.join()


def mouse(page: Page, kind: str, x: float, y: float, **more: Any) -> None:
    page.cdp("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def drag(page: Page, x: float, to: float, y: float, modifiers: int = 0) -> None:
    button = {"button": "left", "buttons": 1, "modifiers": modifiers, "clickCount": 1}
    mouse(page, "mousePressed", x, y, **button)
    for part in range(1, 5):
        mouse(page, "mouseMoved", x + (to - x) * part / 4, y, **button)
    mouse(page, "mouseReleased", to, y, button="left", modifiers=modifiers, clickCount=1)


def click(page: Page, x: float, y: float) -> None:
    drag(page, x, x, y)


def x_of(page: Page, seconds: float) -> float:
    """Where a second of the story is while all of it is in sight."""
    return float(page.js(X_OF, START + seconds * 1000))


def y_of(page: Page, row: int) -> float:
    """The middle of a row of the plot; 0 is the main thread's."""
    top = float(page.js("return document.querySelector('.tl-plot').getBoundingClientRect().top"))
    return top + (33 if row == 0 else 48 + (row - 1) * 22 + 11)


def texts(page: Page, selector: str) -> list[str]:
    return list(page.js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector))


def settle(page: Page) -> None:
    """Until everything that was asked for is drawn."""
    page.driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
    )


def told(page: Page, what: str, count: int) -> list[Any]:
    """What the lab noted about `seeks`, `ranges`, `agents` or `chosen`, once there are `count` of them."""
    page.until(lambda: len(page.js(f"return lab.{what}")) >= count, f"{count} of {what}")
    return list(page.js(f"return lab.{what}"))
