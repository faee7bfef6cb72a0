"""Every machine on one page, in a real Chromium: the programs as users start them, a real sshd, a real Redis.

Each machine is a UTS namespace, so that it has a host name of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hub import HUB, ServedHub
from page import Page
from program import PROGRAM, environment, port_in
from redis_server import needs_redis, redis_server
from serving import TOKEN
from support import TIMEOUT, wait_until
from terminal import Terminal
from test_answer import Monitored
from test_answer_desk import ALLOWED
from test_fleet_ssh import machine, needs_sshd

from claude_mpm.client import Client
from claude_mpm.config import Config
from claude_mpm.fleet.local import LocalSource
from claude_mpm.system.instances import register, unregister

pytest_plugins = ("page_fixtures",)
pytestmark = pytest.mark.browser

BOX, LAB = "build-box", "lab-7"
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root may give a namespace a host name"
)


def on(name: str) -> list[str]:
    """What runs the command behind it on a machine of that name."""
    return ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name]


@contextmanager
def demo(home: Path, *options: str, run_by: list[str] | None = None, **more: str) -> Iterator[Terminal]:
    home.mkdir(exist_ok=True)
    argv = [*(run_by or []), *PROGRAM, "--demo", "--websocket-port", "0", *options]
    with Terminal(argv, env=environment(home, CLAUDE_MPM_DEMO_SPEED="4", **more), cwd=home) as terminal:
        wait_until(lambda: port_in(bytes(terminal.output)), "the demo to serve")
        yield terminal
        terminal.signal(signal.SIGTERM)
        terminal.wait()


@contextmanager
def hub(home: Path, ssh: tuple[str, ...], *sources: str) -> Iterator[int]:
    """`claude-mpm hub` as a user starts it, with an ssh whose configuration is the test's; the port."""
    (home / "bin").mkdir()
    wrapper = home / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {" ".join(ssh)} "$@"\n')
    wrapper.chmod(0o755)
    env = environment(home)
    env["PATH"] = f"{home / 'bin'}:{env['PATH']}"
    argv = [*PROGRAM, "hub", *sources, "--websocket-port", "0"]
    process = subprocess.Popen(argv, env=env, cwd=home, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        yield port_in(process.stderr.readline()) or 0
    finally:
        process.terminate()
        assert process.wait(TIMEOUT) == 0
        process.stderr.close()


@needs_namespaces
@needs_sshd
@needs_redis
def test_three_machines_are_on_one_page(home: Path, tmp_path: Path, page: Page) -> None:
    here = socket.gethostname()
    (tmp_path / "box").mkdir()
    (tmp_path / "redis").mkdir()
    with ExitStack() as machines:
        far = machines.enter_context(machine(tmp_path / "box", on(BOX)))
        redis = machines.enter_context(redis_server(tmp_path / "redis"))
        url = f"redis://127.0.0.1:{redis.port}"
        port = machines.enter_context(hub(home, far.options, "ssh://there", url))
        page.open(f"http://localhost:{port}/")
        page.until(lambda: "No sessions" in page.text("#overview"), "a page before the first session")
        machines.enter_context(demo(home, "--name", "near"))
        machines.enter_context(demo(tmp_path / "box" / "home", "--name", "far", run_by=on(BOX)))
        machines.enter_context(demo(tmp_path / "lab", "--name", "remote", "--publish", url, run_by=on(LAB)))

        page.until(lambda: page.count("#cards .card") == 3, "three cards")
        heads = "return [...document.querySelectorAll('#cards .machine-head b')].map(e => e.textContent)"
        assert page.js(heads) == [here, BOX, LAB], "grouped by machine, this one first"

        waiting: set[str] = set()
        names = "return [...document.querySelectorAll('#cards .card[data-mood=waiting] b')].map(e => e.textContent)"

        def all_have_waited() -> bool:
            waiting.update(page.js(names))
            return waiting == {"near", "far", "remote"}

        wait_until(all_have_waited, "each of them to need somebody", 3 * TIMEOUT)

        with Client(port) as client:
            for info in client.get_instances():
                status = client.request("get_status", instance_id=info["instance_id"])["data"]
                assert status["instance_info"]["instance_id"] == info["instance_id"]
                assert status["instance_info"]["hostname"] == info["machine"]
            sources = {info["machine"]: info["source"] for info in client.get_instances()}
            assert sources == {here: "local", BOX: "ssh://there", LAB: f"redis://127.0.0.1:{redis.port}/0"}


def test_the_page_of_a_hub_answers_a_real_hook(home: Path, page: Page) -> None:
    monitored, state_dir = Monitored(home), home / ".claude-mpm"
    register(state_dir, monitored.session.info, TOKEN)
    served = ServedHub(Config(token=TOKEN, control=True), LocalSource(state_dir), hub_id=HUB)
    try:
        page.open(f"http://localhost:{served.port}/#token={TOKEN}")
        page.until(lambda: page.count("#cards .card") == 1, "the card")
        hook = monitored.ask()
        page.until(lambda: page.text("#needy") == "◆ 1 needs you", "who needs the reader")
        page.keys("n")
        armed = "const b = document.querySelector('#needs-answer [data-decision=allow]'); return b && !b.disabled"
        page.until(lambda: page.js(armed), "an armed button")
        page.click("[data-decision=allow]")
        assert json.loads(hook.end()) == ALLOWED
        text = "document.querySelector('#needs-answer .answer-status').textContent"
        page.until(lambda: page.js(f"return {text}").startswith("Claude has the answer."), "delivered")
    finally:
        served.hub.stop()
        unregister(state_dir, monitored.session.info["instance_id"])
        monitored.finish()
