"""What must hold when claude is not ours to begin with, or goes on from before: exec mode, attach, resume, our own end.

Run by test_real_cli.py, one case at a time, where only loopback can be reached.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from real_cli import World, latest_only, leave, say, wait_ready
from real_cli_cases import BYPASS, PRINT, activity, ends_well, script_was_seen, suspended_and_back
from support import wait_until
from terminal import is_running
from watching import SLOW, Watcher

pytest_plugins = ("real_cli_fixtures",)


def zombies(pid: int) -> list[psutil.Process]:
    """Children of the process that have ended and were not collected; a new one may be just about to be."""
    found = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def no_instances(world: World) -> bool:
    return not list((world.home / ".claude-mpm/instances").iterdir())


# --- the process we become ---------------------------------------------------------------------------


def test_exec_mode_sees_the_whole_script_beside_the_process_that_is_claude(world: World) -> None:
    with world.terminal(world.wrapped(BYPASS, method="exec")) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN]] go")
        watcher.wait_for(lambda: len(watcher.all("agent.delegation", status="completed")) == 3)
        watcher.wait_for(lambda: world.api.said("main")[-1:] == ["All done. FINAL-TEXT-MARKER."])
        activity(watcher, "idle")
        (running,) = (data for data in watcher.all("claude.status", status="running") if "pid" in data)
        assert running["pid"] == terminal.pid, "the process that was started is claude"
        assert b"claude_mpm" not in Path(f"/proc/{terminal.pid}/cmdline").read_bytes()
        wait_until(lambda: not zombies(terminal.pid), "claude has nothing to collect that it did not start", SLOW)
        registered = world.registered()
        assert registered is not None
        sidecar = psutil.Process(registered["pid"])
        assert terminal.pid not in {process.pid for process in [sidecar, *sidecar.parents()]}
        assert os.getsid(sidecar.pid) != os.getsid(terminal.pid)
        assert sidecar.terminal() is None
        assert leave(terminal) == 0
        ends_well(watcher, exit_code=None)
        wait_until(lambda: not is_running(sidecar.pid), "the sidecar ended with claude", SLOW)
        assert no_instances(world)
    script_was_seen(watcher, world.api)
    assert watcher.all("claude.output") == []
    assert [data["launch_method"] for data in watcher.all("session.start")] == ["exec"]


def test_ctrl_z_suspends_the_process_that_is_claude_and_fg_brings_it_back(world: World) -> None:
    suspended_and_back(world, world.wrapped(BYPASS, method="exec"), exit_code=None)


# --- a claude that runs already ----------------------------------------------------------------------


@contextmanager
def attached(world: World, pid: int) -> Iterator[Watcher]:
    """A client of `claude-mpm attach`, which ends by itself when claude does."""
    argv = [sys.executable, "-m", "claude_mpm", "attach", str(pid), "--websocket-port", "0"]
    with subprocess.Popen(argv, env=world.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as ours:
        try:
            with world.watch() as watcher:
                yield watcher
            assert ours.wait(SLOW) == 0
        finally:
            ours.kill()


def test_a_claude_that_runs_already_is_watched_by_attach(world: World) -> None:
    """2.1 says in sessions/<pid>.json which session it is in; before, it is the one transcript of its directory that is written."""
    with world.terminal(world.bare(BYPASS)) as terminal:
        wait_ready(terminal)
        with attached(world, terminal.pid) as watcher:
            start = watcher.wait_event("session.start", reason="attach")
            assert start["instance_info"]["working_dir"] == str(world.project)
            if world.background_agents:
                activity(watcher, "idle")
            say(terminal, "[[MAIN]] go")
            watcher.wait_for(lambda: len(watcher.all("agent.delegation", status="completed")) == 3)
            watcher.wait_for(lambda: "FINAL-TEXT-MARKER" in watcher.text("claude.message", "text"))
            assert leave(terminal) == 0
            ends_well(watcher, exit_code=None)
    script_was_seen(watcher, world.api)
    assert no_instances(world)


# --- a session from before ---------------------------------------------------------------------------


def watched_to_its_end(world: World, *args: str) -> Watcher:
    """Run claude-mpm without a terminal until claude ends well. Returns what a client saw."""
    argv = world.wrapped(*args)
    with subprocess.Popen(
        argv, env=world.env, cwd=world.project, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            with world.watch() as watcher:
                assert process.wait(SLOW) == 0
                ends_well(watcher)
        finally:
            process.kill()
    return watcher


def said(watcher: Watcher) -> list[str]:
    return [data["text"] for data in watcher.all("claude.message")]


def test_a_resumed_session_is_learnt_and_only_what_is_new_is_told(world: World) -> None:
    first = str(uuid.uuid4())
    ran = world.run(world.bare(BYPASS, "--session-id", first, "-p", "[[MAIN:bash]] before"))
    assert ran.returncode == 0, ran.stderr
    with world.terminal(world.wrapped(BYPASS, "--resume", first)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        say(terminal, "[[MAIN:hello]] again")
        watcher.wait_for(lambda: "HELLO-MARKER" in watcher.text("claude.message", "text"))
        activity(watcher, "idle")
        assert leave(terminal) == 0
        ends_well(watcher)
    assert said(watcher) == ["[[MAIN:hello]] again", "Hello there. HELLO-MARKER."]
    assert watcher.all("tool.start") == []
    assert watcher.session_ids() == {first}
    assert len(watcher.all("session.start")) == 1


def test_a_continued_session_in_print_mode_is_learnt_and_only_what_is_new_is_told(world: World) -> None:
    first = str(uuid.uuid4())
    ran = world.run(world.bare(BYPASS, "--session-id", first, "-p", "[[MAIN:bash]] before"))
    assert ran.returncode == 0, ran.stderr
    watcher = watched_to_its_end(world, "--continue", *PRINT, "[[MAIN:hello]] again")
    assert said(watcher) == ["[[MAIN:hello]] again", "Hello there. HELLO-MARKER."]
    assert watcher.all("tool.start") == []
    assert watcher.session_ids() == {first}
    assert len(watcher.all("session.start")) == 1


# --- our own end, and the user's own settings --------------------------------------------------------


@latest_only
def test_a_killed_claude_mpm_hangs_up_on_claude(world: World) -> None:
    """Claude's terminal goes with us: the kernel tells it, and no claude is left behind."""
    with world.terminal(world.wrapped(BYPASS)) as terminal, world.watch() as watcher:
        wait_ready(terminal)
        pid = next(data["pid"] for data in watcher.all("claude.status", status="running") if "pid" in data)
        started = psutil.Process(pid).children(recursive=True)
        terminal.signal(signal.SIGKILL)
        assert terminal.wait(SLOW) == -signal.SIGKILL
        wait_until(lambda: not is_running(pid), "claude ended", SLOW)
        wait_until(lambda: not any(is_running(child.pid) for child in started), "what it had started ended", SLOW)


@latest_only
def test_the_users_own_settings_are_left_alone_and_his_hooks_run_beside_ours(world: World) -> None:
    ran_at = world.home / "his-hook-ran"
    his = {"hooks": [{"type": "command", "command": f"cat >>{ran_at}"}]}
    settings = world.home / ".claude/settings.json"
    hooks = {"UserPromptSubmit": [his], "PreToolUse": [{"matcher": "Bash", **his}]}
    # claude itself adds the second where it is missing
    settings.write_text(json.dumps({"hooks": hooks, "skipDangerousModePermissionPrompt": True}))
    before = settings.read_bytes()
    watcher = watched_to_its_end(world, *PRINT, "[[MAIN:bash]] go")
    assert settings.read_bytes() == before
    for event in (b"UserPromptSubmit", b"PreToolUse"):
        assert ran_at.read_bytes().count(b'"hook_event_name":"%s"' % event) == 1
    assert "hook" in watcher.sources()
