"""The demo as a stranger starts it: an empty home, a terminal, nothing else."""

from __future__ import annotations

import re
import signal
import termios
from pathlib import Path

import pytest
from page import Page
from program import PROGRAM, environment, port_in, run
from support import ROOT, TIMEOUT, wait_until
from terminal import Terminal
from watching import Watcher

pytest_plugins = ("page_fixtures",)
EDITS = ("Edit", "MultiEdit", "Write")


def demo(home: Path, *args: str, speed: int = 40) -> Terminal:
    """A demo on a port of its own."""
    env = environment(home, CLAUDE_MPM_DEMO_SPEED=str(speed))
    return Terminal([*PROGRAM, "--demo", "--websocket-port", "0", *args], env=env, cwd=home, rows=30, cols=100)


def port_of(terminal: Terminal) -> int:
    return wait_until(lambda: port_in(bytes(terminal.output)), "the announcement of the page") or 0


def test_the_demo_ends_by_itself_and_a_client_sees_all_of_it(home: Path) -> None:
    with demo(home) as terminal, Watcher(port_of(terminal)) as seen:
        seen.wait_ended()
        assert terminal.wait(60) == 0
        assert terminal.attributes()[3] & termios.ICANON, "the terminal is the shell's again"
    types = seen.types()
    assert types[2] == "session.start"
    assert types[-1] == "session.end"
    last = seen.all("todo.update")[-1]
    assert last["stats"]["total"] == last["stats"]["completed"] > 0
    started, completed = (
        seen.all("agent.delegation", status="started"),
        seen.all("agent.delegation", status="completed"),
    )
    assert {a["agent_id"] for a in started if "agent_id" in a} <= {a["agent_id"] for a in completed}
    assert len(started) == len(completed) == 4
    assert any(s.get("waiting_for", {}).get("kind") == "permission" for s in seen.all("claude.status"))
    assert "DEMO" in seen.text("claude.output", "content")
    costs = [usage["cost_usd"] for usage in seen.all("claude.usage") if "cost_usd" in usage]
    assert len(set(costs)) >= 4 and costs == sorted(costs), "the cost is told turn by turn, and not estimated"
    assert not any(usage.get("cost_is_estimate") for usage in seen.all("claude.usage"))
    edited = [call["input"]["file_path"] for call in seen.all("tool.start") if call["tool"] in EDITS]
    assert sorted(Path(path).name for path in edited) == ["CHANGELOG.md", "README.md", "test_unicode.py", "words.py"]
    assert [call["tool"] for call in seen.all("tool.end", ok=False)] == ["Bash"]


def test_the_address_of_the_page_is_on_the_demos_own_screen(home: Path) -> None:
    with demo(home, speed=1) as terminal:
        port = port_of(terminal)
        drawn = terminal.wait_for(b"?1049h")
        terminal.wait_for(f"watch it at http://localhost:{port}/".encode(), since=drawn)


def test_in_print_mode_the_context_is_known_in_percent(home: Path) -> None:
    """Only the results of stream-json name the size of the model's context."""
    with demo(home, "--", "-p", "x", "--output-format", "stream-json", "--verbose") as terminal:
        with Watcher(port_of(terminal)) as seen:
            seen.wait_ended()
        assert terminal.wait(60) == 0
    percents = [usage["context_percent"] for usage in seen.all("claude.usage") if "context_percent" in usage]
    assert percents and percents == sorted(percents) and 1 < percents[0] < 10


def test_without_a_terminal_the_demo_is_told_line_by_line(home: Path) -> None:
    done = run("--demo", "--websocket-port", "0", home=home, cwd=home, CLAUDE_MPM_DEMO_SPEED="200")
    lines = done.stdout.decode().splitlines()
    assert lines[0].endswith(f"Watch it at http://localhost:{port_in(done.stderr)}/")
    assert len(lines) > 60 and "Todo completed: Run the whole test suite" in lines


def test_a_dumb_terminal_gets_lines_and_no_escape_sequence(home: Path) -> None:
    env = environment(home, CLAUDE_MPM_DEMO_SPEED="50", TERM="dumb")
    with Terminal([*PROGRAM, "--demo", "--websocket-port", "0"], env=env, cwd=home, rows=30, cols=100) as terminal:
        assert terminal.wait(30) == 0
    assert b"\x1b" not in terminal.output
    assert b"Todo completed: Run the whole test suite\r\n" in terminal.output


def test_the_demo_touches_nothing_but_its_own_directory_and_ours(home: Path) -> None:
    done = run("--demo", "--websocket-port", "0", home=home, cwd=home, CLAUDE_MPM_DEMO_SPEED="200")
    assert done.returncode == 0
    assert b"no terminal here" in done.stderr
    assert [path.name for path in home.iterdir()] == [".claude-mpm"]
    for name in ("spool", "instances"):  # the monitor takes leave of its clients a moment longer than the command runs
        wait_until(lambda name=name: not list((home / ".claude-mpm" / name).iterdir()), f"an empty {name}")  # type: ignore[misc]


def test_open_without_a_browser_says_so_and_goes_on(home: Path) -> None:
    done = run(
        "--demo",
        "--open",
        "--websocket-port",
        "0",
        home=home,
        cwd=home,
        CLAUDE_MPM_DEMO_SPEED="200",
        PATH="/nonexistent",
    )
    assert done.returncode == 0
    assert b"no browser found here to open; the page is at http://localhost:" in done.stderr


@pytest.mark.browser
def test_the_page_opened_from_disk_ends_on_the_served_one_and_its_todos_move(home: Path, page: Page) -> None:
    env = environment(home, CLAUDE_MPM_DEMO_SPEED="8")
    with Terminal([*PROGRAM, "--demo"], env=env, cwd=home, rows=30, cols=100) as terminal:
        port = port_of(terminal)
        page.open((ROOT / "monitor.html").as_uri())
        page.until(lambda: page.driver.current_url.startswith(f"http://localhost:{port}/"), "the served page")
        page.live()
        shown = set()

        def moved() -> bool:
            shown.add(page.text(".card"))
            return len({words for text in shown for words in re.findall(r"\d+/\d+", text)}) >= 3

        page.until(moved, "three states of the todo list on the card")
        assert page.errors() == []


@pytest.mark.browser
def test_three_demos_are_three_cards_and_one_that_waits_says_so(home: Path, page: Page) -> None:
    with demo(home, speed=4) as one, demo(home, speed=4) as two, demo(home, speed=2) as three:
        ports = {port_of(one), port_of(two), port_of(three)}
        page.open(f"http://localhost:{port_of(three)}/")
        page.until(lambda: page.count(".card") == len(ports) == 3, "a card for each")
        cards = "return [...document.querySelectorAll('.card')].map((card) => card.textContent).join()"
        wait_until(lambda: "permission" in page.js(cards), "the card of one that waits", 3 * TIMEOUT)
        page.until(lambda: page.driver.title.startswith("("), "the title to call")
        one.signal(signal.SIGTERM)
        assert one.wait() == 143
        page.until(lambda: "exit code 143" in page.text("body"), "a word on how it ended")
        assert page.errors() == []


def test_on_a_dumb_terminal_ctrl_c_ends_the_demo(home: Path) -> None:
    env = environment(home, TERM="dumb")
    with Terminal([*PROGRAM, "--demo", "--websocket-port", "0"], env=env, cwd=home) as terminal:
        terminal.wait_for(b"Ctrl-C ends it.")
        terminal.write(b"\x03")
        assert terminal.wait() == 0
        assert terminal.attributes()[3] & termios.ICANON, "the terminal is the shell's again"
    assert b"Execution error" not in terminal.output


@pytest.mark.parametrize("key", [b"q", b"/exit\r"])
def test_the_demo_can_be_left(key: bytes, home: Path) -> None:
    with demo(home, speed=1) as terminal:
        terminal.wait_for(b"DEMO")
        terminal.write(key)
        assert terminal.wait() == 0
