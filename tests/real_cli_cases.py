"""What must hold with the real claude. Run by test_real_cli.py, one case at a time, where only loopback can be reached."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from messages_api import MessagesApi
from real_cli import (
    World,
    contains_in_order,
    differences,
    latest_only,
    leave,
    old_only,
    say,
    screen,
    wait_ready,
)
from support import wait_until
from terminal import is_running
from watching import SLOW, Json, Watcher

BYPASS = "--dangerously-skip-permissions"
PRINT = (BYPASS, "--output-format", "stream-json", "--verbose", "-p")
MAKE_FILE = "python3 -c \"open('made-by-claude', 'w')\""
NAP = b"import time; time.sleep(60)\0"
TASKS = ("Research the topic", "Parallel beta", "Parallel gamma")
TODOS = ("Plan the work", "Delegate research", "Summarise")
TODO_STATES = [
    ["in_progress", "pending", "pending"],
    ["completed", "in_progress", "pending"],
    ["completed", "completed", "completed"],
]


pytest_plugins = ("real_cli_fixtures",)


# --- the same as without claude-mpm ----------------------------------------------------------------


def test_print_mode_is_what_it_is_without_us(worlds: tuple[World, World]) -> None:
    alone, watched = worlds
    args = (BYPASS, "-p", "[[MAIN:bash]] go")
    without, with_us = alone.run(alone.bare(*args)), watched.run(watched.wrapped(*args))
    assert (
        (with_us.returncode, with_us.stdout)
        == (without.returncode, without.stdout)
        == (0, "It printed one. BASH-MARKER.\n")
    )
    assert differences(alone, watched) == ""


def test_terminal_is_what_it_is_without_us(worlds: tuple[World, World]) -> None:
    """Before 2.1 without our hooks: with any PreToolUse hook, a user's own too, 1.x loses the line of a short tool call,
    and with any SessionStart hook 2.0 draws a wider greeting."""
    alone, watched = worlds
    options = ["--no-hooks"] if alone.version.startswith(("1.", "2.0.")) else []
    shown, codes = [], []
    for world, argv in ((alone, alone.bare(BYPASS)), (watched, watched.wrapped(BYPASS, options=options))):
        with world.terminal(argv) as terminal:
            before = terminal.initial
            wait_ready(terminal)
            say(terminal, "[[MAIN:bash]] go")
            terminal.wait_for(lambda terminal=terminal: "BASH-MARKER" in screen(terminal.output), SLOW)  # type: ignore[misc]
            terminal.wait_quiet(1.5, SLOW)
            lines = screen(terminal.output).splitlines()
            shown.append([line for line in lines if not line.startswith("claude-mpm: watch this session at ")])
            codes.append(leave(terminal))
            assert terminal.attributes() == before
    assert codes == [0, 0]
    assert shown[1] == shown[0]
    assert differences(alone, watched) == ""


# --- claude alone: shows that the script, the terminal and the namespace do their work ---------------


@latest_only
def test_a_bare_claude_follows_the_script_in_print_mode(world: World) -> None:
    ran = world.run(world.bare(*PRINT, "[[MAIN]] go"))
    assert ran.returncode == 0, ran.stderr
    assert world.api.said("main")[-1] == "All done. FINAL-TEXT-MARKER."
    assert {text for text in world.api.said("sub") if "result" in text} == {
        f"Sub {name} result: RESULT-{name.upper()}." for name in ("alpha", "beta", "gamma")
    }
    assert any(path.endswith("ID.jsonl") for path, _ in world.transcripts())


@latest_only
def test_a_bare_claude_follows_the_script_in_a_terminal(world: World) -> None:
    with world.terminal(world.bare(BYPASS)) as terminal:
        before = terminal.initial
        wait_ready(terminal)
        say(terminal, "[[MAIN:bash]] go")
        terminal.wait_for(lambda: "BASH-MARKER" in screen(terminal.output), SLOW)
        assert leave(terminal) == 0
        assert terminal.attributes() == before


# --- what clients see of the whole script ----------------------------------------------------------


def todo_states(watcher: Watcher) -> list[list[str]]:
    """The session's todo list as it went: the statuses, of lists that have all three."""
    lists = [data["todos"] for data in watcher.all("todo.update") if data.get("agent_id") is None]
    return [[todo["status"] for todo in todos] for todos in lists if [todo["content"] for todo in todos] == list(TODOS)]


def script_was_seen(watcher: Watcher, api: MessagesApi) -> None:
    """Each thing the script made claude do was told once."""
    for status in ("started", "completed"):
        delegations = watcher.all("agent.delegation", status=status)
        assert sorted(data["task"] for data in delegations) == sorted(TASKS), (status, watcher.brief())
        assert {data["agent"] for data in delegations} == {"general-purpose"}
    assert watcher.all("agent.delegation", status="failed") == []
    assert watcher.all("agent.status")[-1]["active_agents"] == []
    assert any(len(data["active_agents"]) == 2 for data in watcher.all("agent.status")), "the two in parallel"
    assert contains_in_order(todo_states(watcher), TODO_STATES), watcher.brief()
    bash = [data for data in watcher.all("tool.start", tool="Bash") if data.get("agent_id") is None]
    assert [data["input"]["command"] for data in bash if data["input"]["command"] == "echo hi"] == ["echo hi"]
    (started,) = (data for data in bash if data["input"]["command"] == "echo hi")
    (ended,) = (data for data in watcher.all("tool.end", tool="Bash") if data["tool_use_id"] == started["tool_use_id"])
    assert ended["ok"] is True
    texts = [d["text"] for d in watcher.all("claude.message", role="assistant") if d.get("agent_id") is None]
    assert texts == api.said("main")
    prompts = [d["text"] for d in watcher.all("claude.message", role="user") if d.get("agent_id") is None]
    assert prompts == ["[[MAIN]] go"]


def ends_well(watcher: Watcher, exit_code: int | None = 0) -> None:
    """After a clean exit: stopped, session.end, and nothing behind it. Only a parent knows the exit code."""
    watcher.wait_ended()
    assert watcher.all("claude.status")[-1]["status"] == "stopped"
    ends = watcher.all("session.end")
    assert (ends[-1]["exit_code"], ends[-1]["signal"]) == (exit_code, None)
    assert len(ends) == len(watcher.all("session.start"))
    assert watcher.types()[-1] == "session.end"
    assert watcher.all("system.error") == []
    assert "system.gap" not in watcher.types()


def test_clients_see_the_whole_script_in_print_mode(world: World) -> None:
    argv = world.wrapped(*PRINT, "[[MAIN]] go")
    with subprocess.Popen(
        argv, env=world.env, cwd=world.project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            with world.watch() as watcher:
                stdout, stderr = process.communicate(timeout=SLOW)
                ends_well(watcher)
        finally:
            process.kill()
    assert process.returncode == 0, stderr
    script_was_seen(watcher, world.api)
    assert watcher.text("claude.output", "content") == stdout.decode()


def test_clients_see_the_whole_script_in_a_terminal(world: World) -> None:
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        before = len(watcher.types())
        say(terminal, "[[MAIN]] go")
        watcher.wait_for(lambda: len(watcher.all("agent.delegation", status="completed")) == 3)
        watcher.wait_for(lambda: world.api.said("main")[-1:] == ["All done. FINAL-TEXT-MARKER."])
        watcher.wait_for(lambda: watcher.all("claude.status")[-1].get("activity") == "idle")
        assert len(watcher.types()) > before
        terminal.wait_quiet(1.0, SLOW)
        assert leave(terminal) == 0
        ends_well(watcher)
    script_was_seen(watcher, world.api)
    assert watcher.text("claude.output", "content").encode() in terminal.output
    assert [data["reason"] for data in watcher.all("session.start")] == ["startup"]


# --- what goes wrong, and what waits ---------------------------------------------------------------


def activity(watcher: Watcher, wanted: str) -> Json:
    """Wait until claude is, as far as clients know, `working`, `idle` or `waiting`; that status."""
    current: Json = watcher.wait_for(
        lambda: (states := watcher.all("claude.status")) and states[-1].get("activity") == wanted and states[-1]
    )
    return current


def test_a_permission_dialog_is_told_and_so_is_its_end(world: World) -> None:
    with world.terminal(world.wrapped("--permission-mode", "default")) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:permission]] go")
        waiting = activity(watcher, "waiting")
        assert waiting["waiting_for"]["kind"] == "permission"
        assert waiting["waiting_for"]["tool"] == "Bash"
        assert waiting["waiting_for"]["input"]["command"] == MAKE_FILE
        assert not (world.project / "made-by-claude").exists()
        terminal.wait_quiet(0.5, SLOW)
        terminal.write(b"\r")  # "1. Yes"
        watcher.wait_for(lambda: "PERMISSION-MARKER" in watcher.text("claude.message", "text"))
        activity(watcher, "idle")
        assert (world.project / "made-by-claude").exists()
        (started,) = watcher.all("tool.start", tool="Bash")
        (ended,) = watcher.all("tool.end", tool="Bash")
        assert (ended["tool_use_id"], ended["ok"]) == (started["tool_use_id"], True)
        assert leave(terminal) == 0
        ends_well(watcher)


def test_esc_during_a_tool_ends_it_as_not_ok_and_claude_is_idle(world: World) -> None:
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:sleep]] go")
        watcher.wait_event("tool.start", tool="Bash")
        activity(watcher, "working")
        wait_until(lambda: _sleepers(world), "the tool runs", SLOW)
        terminal.write(b"\x1b")
        (ended,) = watcher.wait_for(lambda: watcher.all("tool.end", tool="Bash"))
        assert ended["ok"] is False
        activity(watcher, "idle")
        assert leave(terminal) == 0
        ends_well(watcher)


def test_esc_during_an_agent_fails_its_delegation_or_lets_it_run_on(world: World) -> None:
    """1.x and 2.0 interrupt the agent; 2.1.200 and later run it in the background, where Esc does not reach it."""
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:slow_agent]] go")
        watcher.wait_event("agent.delegation", status="started")
        wait_until(lambda: _sleepers(world), "the agent's tool runs", SLOW)
        terminal.write(b"\x1b")
        if world.background_agents:
            assert watcher.all("agent.delegation", status="failed") == []
        else:
            failed = watcher.wait_event("agent.delegation", status="failed")
            assert failed["reason"] == "interrupted"
            watcher.wait_for(lambda: watcher.all("agent.status")[-1]["active_agents"] == [])
            activity(watcher, "idle")
        terminal.signal(signal.SIGTERM)
        terminal.wait(SLOW)
        watcher.wait_ended()
        ends = [d for d in watcher.all("agent.delegation") if d["status"] != "started"]
        assert [d["status"] for d in ends] == ["failed"], "each delegation ends once"
        assert watcher.types()[-1] == "session.end"


def test_clear_starts_a_new_session_with_an_empty_list(world: World) -> None:
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:hello]] go")
        activity(watcher, "working")
        activity(watcher, "idle")
        terminal.wait_quiet(0.5, SLOW)
        say(terminal, "/clear")
        second = watcher.wait_event("session.start", reason="clear")
        first = watcher.all("session.start", reason="startup")[0]
        assert second["session_id"] not in (None, first["session_id"])
        say(terminal, "[[MAIN:bash]] go")
        watcher.wait_for(lambda: "BASH-MARKER" in watcher.text("claude.message", "text"))
        assert leave(terminal) == 0
        ends_well(watcher)
        sessions = [data["session_id"] for data in watcher.all("session.end")]
        assert sessions == [first["session_id"], second["session_id"]]


def test_an_api_error_is_told_and_print_mode_fails_as_without_us(worlds: tuple[World, World]) -> None:
    alone, watched = worlds
    args = (BYPASS, "-p", "[[MAIN:error]] go")
    without, with_us = alone.run(alone.bare(*args)), watched.run(watched.wrapped(*args))
    assert without.returncode == 1
    assert (with_us.returncode, with_us.stdout) == (without.returncode, without.stdout)
    with watched.terminal(watched.wrapped(BYPASS)) as terminal, watched.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:error]] go")
        told = watcher.wait_event("system.error", component="claude")
        assert "SCRIPTED-ERROR" in told["error"]
        activity(watcher, "idle")
        assert leave(terminal) == 0


def test_a_killed_claude_is_told_with_its_signal_and_leaves_the_terminal_as_it_was(world: World) -> None:
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        before = terminal.initial
        wait_ready(terminal)
        say(terminal, "[[MAIN:slow_agent]] go")
        watcher.wait_event("agent.delegation", status="started")
        pid = next(data["pid"] for data in watcher.all("claude.status", status="running") if "pid" in data)
        os.kill(pid, signal.SIGKILL)
        assert terminal.wait(SLOW) == 128 + signal.SIGKILL
        watcher.wait_ended()
        (end,) = watcher.all("session.end")
        assert (end["exit_code"], end["signal"]) == (None, "SIGKILL")
        assert watcher.all("claude.status")[-1]["status"] == "error"
        (failed,) = (d for d in watcher.all("agent.delegation") if d["status"] != "started")
        assert (failed["status"], failed["reason"]) == ("failed", "process_ended")
        assert b"\x1b[?1049l" in terminal.output or b"\x1b[?1049h" not in terminal.output
        assert terminal.attributes() == before or not terminal.is_raw()


def test_sigterm_to_claude_mpm_ends_claude_and_all_it_started(world: World) -> None:
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:sleep]] go")
        watcher.wait_event("tool.start", tool="Bash")
        wait_until(lambda: _sleepers(world), "the tool runs", SLOW)
        pid = next(data["pid"] for data in watcher.all("claude.status", status="running") if "pid" in data)
        terminal.signal(signal.SIGTERM)
        assert terminal.wait(SLOW) == 128 + signal.SIGTERM
        watcher.wait_ended()
        assert watcher.types()[-1] == "session.end"
        assert not is_running(pid)
        wait_until(lambda: not _sleepers(world), "the tool's process is gone", SLOW)


def _sleepers(world: World) -> list[int]:
    """Processes in the world's project that run the script's nap."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes().endswith(NAP) and Path(os.readlink(path / "cwd")) == world.project:
                found.append(int(path.name))
        except OSError:
            continue
    return found


# --- the terminal's own keys -----------------------------------------------------------------------


def test_ctrl_z_suspends_claude_and_us_and_fg_brings_both_back(world: World) -> None:
    suspended_and_back(world, world.wrapped(BYPASS), exit_code=0)


def suspended_and_back(world: World, argv: list[str], exit_code: int | None) -> None:
    """Ctrl-Z and fg under a job-control shell, as a user has it."""
    with world.terminal(["/bin/bash", "--norc", "--noprofile", "-i"]) as terminal:
        terminal.write(b"PS1='READ''Y> '\r")
        terminal.wait_for(b"READY> ", SLOW)
        terminal.write(shlex.join(argv).encode() + b"\r")
        with world.watch() as watcher:
            terminal.wait_for(
                lambda: b"bypass permissions" in terminal.output or "bypass permissions" in screen(terminal.output),
                SLOW,
            )
            wait_ready(terminal)
            at = len(terminal.output)
            terminal.write(b"\x1a")
            terminal.wait_for(b"READY> ", SLOW, since=at)
            assert not terminal.is_raw()
            terminal.write(b"echo still $((40+2))\r")
            terminal.wait_for(b"still 42", SLOW, since=at)
            terminal.write(b"fg\r")
            terminal.wait_for(terminal.is_raw, SLOW)
            terminal.wait_quiet(0.7, SLOW)
            say(terminal, "[[MAIN:hello]] go")
            watcher.wait_for(lambda: "HELLO-MARKER" in watcher.text("claude.message", "text"))
            at = len(terminal.output)
            terminal.wait_quiet(0.5, SLOW)
            say(terminal, "/exit")
            terminal.wait_for(b"READY> ", SLOW, since=at)
            ends_well(watcher, exit_code)


# --- a version that lacks what we would ask for ------------------------------------------------------


@old_only
def test_a_claude_without_our_options_starts_and_is_watched_by_what_remains(world: World) -> None:
    """1.0.60 ends with "error: unknown option '--settings'" when it is given one."""
    prompt = "[[MAIN:bash]] go"
    bare = world.run(world.bare(BYPASS, "-p", prompt))
    with subprocess.Popen(
        world.wrapped(BYPASS, "-p", prompt), env=world.env, cwd=world.project, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        with world.watch() as watcher:
            watcher.wait_event("session.end", exit_code=0)
            (trouble,) = watcher.all("system.error", component="hooks")
            assert "1.0.60" in trouble["error"]
            assert watcher.all("tool.end", tool="Bash", ok=True)
            assert "BASH-MARKER" in watcher.text("claude.message", "text")
        output, errors = program.communicate(timeout=SLOW)
        assert (program.returncode, output) == (bare.returncode, bare.stdout) == (0, "It printed one. BASH-MARKER.\n")
        assert "unknown option" not in errors
    doctor = [sys.executable, "-m", "claude_mpm", "doctor", "--claude", str(world.claude)]
    assert "--settings" in world.run(doctor).stdout
