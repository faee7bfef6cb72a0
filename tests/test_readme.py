"""The README's examples, run as they stand there; and its command lines, checked against the program."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from page import Page
from program import PROGRAM, environment, port_in
from support import ROOT, TIMEOUT, wait_until
from terminal import Terminal

from claude_mpm.cli.main import COMMANDS
from claude_mpm.cli.options import config_from

pytest_plugins = ("page_fixtures",)
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO = ("--demo", "--websocket-port", "0")


def example(language: str) -> str:
    """The only block of code in that language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    assert isinstance(block, str)
    return block


@pytest.fixture()
def demo(home: Path, tmp_path: Path) -> Iterator[int]:
    """The port of a demo that plays at ten times its speed."""
    with Terminal([*PROGRAM, *DEMO], env=environment(home, CLAUDE_MPM_DEMO_SPEED="10"), cwd=tmp_path) as terminal:
        yield wait_until(lambda: port_in(bytes(terminal.output)), "the demo's port") or 0


def test_the_python_example_prints_every_event(demo: int, tmp_path: Path) -> None:
    pytest.importorskip("websockets")
    code = example("python")
    assert code.count("8765") == 1
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code.replace("8765", str(demo))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    kinds = set()
    try:
        for line in process.stdout:
            kinds.add(line.split()[0])
            if {"system.status", "todo.update", "tool.start"} <= kinds:
                break
    finally:
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
    assert {"system.status", "todo.update", "tool.start"} <= kinds, said


@pytest.mark.browser
def test_the_javascript_example_logs_every_event_in_a_page_from_localhost(demo: int, page: Page) -> None:
    code = example("javascript")
    assert code.count("8765") == 1
    page.open(f"http://localhost:{demo}/healthz")
    catch = "window.logged = []; console.log = (...what) => window.logged.push(what);"
    page.js(catch + code.replace("8765", str(demo)))
    kinds: set[str] = set()

    def seen() -> bool:
        logged = json.loads(page.js("return JSON.stringify(window.logged.map(what => what[0]))"))
        kinds.update(logged)
        return {"system.status", "todo.update", "tool.start"} <= kinds

    wait_until(seen, "events in the page's console", TIMEOUT * 2)
    page.open("about:blank")
    page.console()  # /healthz has no icon, and the browser complains of it


def shell_commands() -> list[list[str]]:
    """The arguments of every claude-mpm in a shell block."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.S))
    return [shlex.split(line)[1:] for line in blocks.splitlines() if line.startswith(("bin/claude-mpm", "claude-mpm"))]


def test_every_command_line_is_one_that_the_program_understands() -> None:
    assert len(shell_commands()) >= 7
    for args in shell_commands():
        if args and not args[0].startswith("-"):
            assert args[0] in COMMANDS, args
            continue
        config, is_demo = config_from(args, {})
        assert config.websocket or is_demo, args
        assert set(config.claude_args) <= {"--resume", "-p", "say hello"}, args


def test_the_extra_that_the_install_section_names_is_there() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    (section,) = re.findall(r"\n## Install\n(.*?)\n## ", README, re.S)
    extras = set(re.findall(r"'\.\[(\w+)\]'", section))
    assert extras == {"screen"} and '"screen": ["pyghostty' in setup
    assert "pipx install" in section and "bin/pip install" in section
