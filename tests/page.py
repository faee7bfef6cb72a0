"""The monitor page in a real Chromium, against real servers in this process."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import pytest
from support import ROOT, TIMEOUT, wait_until

from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.feed.selection import Selection
from claude_mpm.server.bind import bind
from claude_mpm.server.commands.session_view import SessionView
from claude_mpm.server.http import proof
from claude_mpm.server.listener import Server

CHROMIUM_ARGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--js-flags=--expose-gc", "--force-color-profile=srgb", "--hide-scrollbars",
)  # fmt: skip


class Instance:
    """A server as a session runs it, fed by the test. `peers` are the instances it lists in `get_instances`."""

    def __init__(
        self,
        peers: list[Instance],
        name: str = "project",
        *,
        port: int = 0,
        branch: str | None = "main",
        token: str | None = None,
        started: float | None = None,
        log: Log | None = None,
    ) -> None:
        sockets = bind(None, port)
        self.port: int = sockets[0].getsockname()[1]
        self.log = log or Log(str(uuid.uuid4()))
        self.started = time.time() if started is None else started
        self.screen: dict[str, Any] | None = None
        self.demand: frozenset[str] = frozenset()
        self.info: dict[str, Any] = {
            "port": self.port,
            "host": "localhost",
            "working_dir": f"/home/user/src/{name}",
            "instance_id": self.log.instance_id,
            "pid": 4711,
            "git_branch": branch,
            "started_at": ev.rfc3339(self.started),
            "capabilities": [],
        }
        self.peers = peers
        backend = SessionView(self._status, lambda: [p.info for p in peers], lambda: self.screen, self._demand)
        self._server = Server(sockets, self.log, Config(token=token, port=self.port), backend)
        self._server.start()
        peers.append(self)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    @property
    def clients(self) -> int:
        return self._server.client_count

    def feed(self, *events: ev.Event) -> None:
        for event in events:
            self.log.append(event)

    def begin(self, *, activity: Any = "working") -> None:
        """Append the events that every session begins with."""
        self.feed(
            ev.session_start("s-" + self.log.instance_id[:8], self.info, "subprocess", self.started),
            ev.claude_status("running", origin=Origin("process"), pid=4712, activity=activity),
        )

    def stop(self) -> None:
        """Idempotent."""
        self._server.stop()
        assert self._server.join(TIMEOUT)
        if self in self.peers:
            self.peers.remove(self)

    def _status(self) -> dict[str, Any]:
        process = {"process": {"cpu_percent": 12.0, "memory_mb": 310.0, "children": 2}}
        return {**self.log.snapshot(), "websocket_port": self.port, "instance_info": self.info, **process}

    def _demand(self, selection: Selection) -> None:
        self.demand = selection.types


@contextlib.contextmanager
def instances(count: int = 1, **options: Any) -> Iterator[list[Instance]]:
    """Start `count` servers that list each other; a test may add some and stop some."""
    peers: list[Instance] = []
    made: list[Instance] = []
    try:
        for number in range(count):
            made.append(Instance(peers, f"project-{number + 1}", **options))
        yield made
    finally:
        for instance in {*made, *peers}:
            instance.stop()


class ForeignServer:
    """An HTTP server that is not ours, and remembers the head of every request."""

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        self.requests: list[str] = []
        foreign = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                foreign.requests.append(f"{self.requestline}\n{self.headers}")
                body = answer(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "image/svg+xml" if body.startswith(b"<svg") else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="foreign-server")
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def foreign_server(kind: str, imitated: int = 0) -> Iterator[ForeignServer]:
    """A server that answers everything with "any page", with "the identity alone", or, with "the proof of the right
    instance", as the claude-mpm on port `imitated` does."""

    def answer(path: str) -> bytes:
        if kind == "any page":
            return b"<!doctype html><title>not a claude-mpm</title>"
        if kind == "the identity alone":
            return proof.svg(*proof.IDENTITY)
        headers = {"Host": f"localhost:{server.port}"}
        with urlopen(UrlRequest(f"http://127.0.0.1:{imitated}{path}", headers=headers), timeout=TIMEOUT) as answered:
            return bytes(answered.read())

    server = ForeignServer(answer)
    try:
        yield server
    finally:
        server.stop()


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Page:
    """One tab. `driver` is Selenium's; the methods say what a person looking at the page would see."""

    def __init__(self, driver: Any, actions: Any) -> None:
        self.driver = driver
        self._actions = actions

    def open(self, url: str) -> None:
        self.driver.get(url)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def module(self, name: str, expression: str, *arguments: Any) -> Any:
        """The value of an expression about `m`, the page's module of that name; `a` are the arguments."""
        return self.js(
            f"const a = [...arguments]; return import('/page/{name}').then((m) => ({expression}))", *arguments
        )

    def text(self, selector: str) -> str:
        """The visible text of the first match, "" when there is none."""
        return str(self.js("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", selector))

    def count(self, selector: str) -> int:
        return int(self.js("return document.querySelectorAll(arguments[0]).length", selector))

    def shows(self, selector: str) -> bool:
        script = "const e = document.querySelector(arguments[0]); return Boolean(e && e.checkVisibility())"
        return bool(self.js(script, selector))

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def keys(self, text: str) -> None:
        self._actions(self.driver).send_keys(text).perform()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return wait_until(condition, what, TIMEOUT)

    def frame(self) -> None:
        """Wait until what was last asked for is drawn."""
        self.js("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def live(self) -> None:
        """Wait until the selected session's connection is live."""
        self.until(lambda: self.js("return document.documentElement.dataset.link") == "live", "a live connection")

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def metrics(self) -> dict[str, float]:
        """Chromium's own counters after a collection: JSHeapUsedSize, Nodes, …"""
        self.cdp("HeapProfiler.collectGarbage")
        return {m["name"]: m["value"] for m in self.cdp("Performance.getMetrics")["metrics"]}

    def size(self, width: int, height: int) -> None:
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def dark(self, on: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def errors(self) -> list[str]:
        """Return what the console has received since the last call: exceptions, blocked scripts, violated policies."""
        quiet = (
            "WebSocket connection to",
            "net::ERR_CONNECTION_REFUSED",
            "/status - Failed",
        )  # the page itself reports these
        return [line for line in self.console() if not any(word in line for word in quiet)]

    def console(self) -> list[str]:
        """Return every error that the console has received since the last call, refused connections included."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


def start_browser(profile: Path, extra: Sequence[str] = ()) -> Page:
    """A fresh Chromium; skips the test, saying why, where there is none. Close with `page.driver.quit()`."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: pip install selenium")
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium or chromedriver is not on PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*CHROMIUM_ARGS, f"--user-data-dir={profile}", *extra):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    page = Page(webdriver.Chrome(options=options, service=service), webdriver.ActionChains)
    page.cdp("Performance.enable")
    return page


def axe_source() -> str:
    """The source of axe-core, from the npm registry, kept in the checkout's cache. Skips the test where it has none."""
    cache = Path(os.environ.get("CLAUDE_MPM_TEST_CACHE", ROOT / ".cache")) / "axe"
    script = cache / "node_modules/axe-core/axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not on PATH, and axe-core comes from there: apt-get install npm")
        command = [npm, "install", "--prefix", str(cache), "--no-audit", "--no-fund", "axe-core@4"]
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            pytest.skip(f"axe-core could not be installed from npm: {done.stderr.strip()[-200:]}")
    return script.read_text(encoding="utf-8")
