"""The stand-in: what it writes, shows and answers, on a real terminal and in pipes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, TIMEOUT, wait_until

from claude_mpm.demo.effects import File, Hook, Line, Out
from claude_mpm.demo.hooks import load
from claude_mpm.demo.records import Records
from claude_mpm.demo.screen import LABEL, View, burst, fit, width
from claude_mpm.demo.story import IN_A_TERMINAL, story
from claude_mpm.screen.emulator import Emulator

SID = "55555555-5555-4555-8555-555555555555"
STAND_IN = [sys.executable, "-m", "claude_mpm.demo.stand_in"]
# a story that stays at one point until somebody does something
HELD = (
    "import sys; from claude_mpm.demo.stand_in import main; from claude_mpm.demo.story import Step, tool;"
    "call = Step('call', 0, use='u', tool='Bash', input={'command': 'true'});"
    "rest = [Step('result', 0, text='fine', use='u'), Step('say', 0, text='After all.'), Step('stop', 0), Step('end', 0)];"
    "held = {steps};"
    "sys.exit(main(None, [Step('prompt', 0, text='go'), call, *held, *rest]))"
)
AT_DIALOG = HELD.replace(
    "{steps}", "[Step('ask', 0, use='u'), Step('notice', 1e6, use='u'), Step('answer', 1e6, use='u')]"
)
IN_CALL = HELD.replace("{steps}", "[Step('notice', 1e6, use='u')]")


class Pty:
    """A stand-in whose controlling terminal is ours to read, type on and close."""

    def __init__(self, command: list[str], env: Mapping[str, str], cwd: Path) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(30, 90)
        self.before = termios.tcgetattr(self.slave)
        self.seen = bytearray()
        slave = self.slave
        self.child = subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0) and None,
        )  # fmt: skip

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read(self) -> bytes:
        while self.master >= 0 and select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return bytes(self.seen)

    def until(self, what: str | Callable[[], Any]) -> None:
        done = (lambda: what.encode() in self.read()) if isinstance(what, str) else lambda: (self.read(), what())[1]
        wait_until(done, f"{what} in {bytes(self.seen[-600:])!r}")

    def exit_code(self) -> int:
        self.until(lambda: self.child.poll() is not None)
        self.read()
        return int(self.child.returncode)

    def restored(self) -> bool:
        modes = (b"?1049", b"?2004", b"?1004")
        closed = all(self.seen.rfind(mode + b"l") >= self.seen.rfind(mode + b"h") for mode in modes)
        shown = self.seen.rfind(b"?25h") >= self.seen.rfind(b"?25l")
        return closed and shown and termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)
        self.master = self.slave = -1


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.mkdir()
    return path


@pytest.fixture
def env(config_dir: Path) -> dict[str, str]:
    speed = {"CLAUDE_MPM_DEMO_SPEED": "200", "CLAUDE_CONFIG_DIR": str(config_dir)}
    return {**os.environ, **speed, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


@pytest.fixture
def on_pty(env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Pty]]:
    started: list[Pty] = []

    def start(*args: str, program: str | None = None) -> Pty:
        command = [*STAND_IN, *args] if program is None else [sys.executable, "-c", program, *args]
        started.append(Pty([*command, "--session-id", SID], env, tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.child.kill()
        one.child.wait(TIMEOUT)
        one.close()


def in_pipe(env: Mapping[str, str], cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STAND_IN, *args], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
    )


def hook_settings(log: Path) -> str:
    events = (
        "SessionStart UserPromptSubmit PreToolUse PostToolUse PostToolUseFailure PermissionRequest Notification "
        "SubagentStart SubagentStop TaskCreated TaskCompleted Stop SessionEnd"
    )
    hook = {"type": "command", "command": f"cat >> '{log}'; echo >> '{log}'", "timeout": 10}
    return json.dumps({"hooks": {event: [{"matcher": "*", "hooks": [hook]}] for event in events.split()}})


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def conversation(path: Path) -> list[dict[str, Any]]:
    """The lines of a transcript without the cost records between them."""
    return [line for line in lines_of(path) if line["type"] != "cost-state"]


def transcript(config_dir: Path) -> Path:
    return next(config_dir.glob(f"projects/*/{SID}.jsonl"))


def told(interactive: bool = True) -> Iterator[Any]:
    """Every effect of the whole story."""
    records = Records(SID, Path("/config"), "/work/my proj", 4711, interactive, clock=iter(range(10_000)).__next__)
    yield from records.start()
    for step in story():
        if interactive or step.kind not in IN_A_TERMINAL:
            yield from records.apply(step)
    yield from records.finish("other")


# --- what is written -------------------------------------------------------------------------------


def test_every_transcript_is_one_chain_of_lines_as_claude_writes_them() -> None:
    last: dict[Path, str | None] = {}
    for line in (e for e in told() if isinstance(e, Line) and "uuid" in e.record):
        record = line.record
        assert record["parentUuid"] == last.get(line.path)
        assert record["sessionId"] == SID and record["cwd"] == "/work/my proj" and record["timestamp"].endswith("Z")
        assert record["isSidechain"] == ("agentId" in record)
        last[line.path] = record["uuid"]
    main, *agents = last
    assert main == Path(f"/config/projects/-work-my-proj/{SID}.jsonl")
    assert len(agents) == 4 and all(path.parent == main.with_suffix("") / "subagents" for path in agents)


def test_every_tool_use_has_one_result_and_one_hook_fails() -> None:
    blocks = [b for e in told() if isinstance(e, Line) for b in _blocks(e.record)]
    used = [b["id"] for b in blocks if b["type"] == "tool_use"]
    results = {b["tool_use_id"]: b["is_error"] for b in blocks if b["type"] == "tool_result"}
    assert len(used) == len(set(used)) and set(used) == set(results)
    hooks = [e.payload for e in told() if isinstance(e, Hook)]
    ends = [p for p in hooks if p["hook_event_name"] in ("PostToolUse", "PostToolUseFailure")]
    assert {p["tool_use_id"]: p["hook_event_name"] == "PostToolUseFailure" for p in ends} == results
    assert sum(results.values()) == 1


def _blocks(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = record.get("message", {}).get("content", [])
    return content if isinstance(content, list) else []


def test_todos_go_from_pending_over_in_progress_to_completed_and_then_away() -> None:
    history: dict[str, list[str]] = {}
    for file in (e for e in told() if isinstance(e, File) and "tasks" in e.path.parts):
        history.setdefault(file.path.name, []).append(file.record.get("status", file.how))
    assert list(history) == [f"{n}.json" for n in range(1, 7)]
    assert all(states == ["pending", "in_progress", "completed", "remove"] for states in history.values())


def test_the_session_file_tells_busy_waiting_and_idle() -> None:
    files = [e for e in told() if isinstance(e, File) and e.path == Path("/config/sessions/4711.json")]
    states = [f.record.get("status", f.how) for f in files]
    assert states == ["idle", "busy", "busy", "waiting", "busy", "busy", "busy", "idle", "remove"]
    assert [f.record["waitingFor"] for f in files if f.record.get("status") == "waiting"] == ["permission prompt"]


def test_agents_are_told_by_hooks_in_the_background_and_one_nested_in_the_foreground() -> None:
    hooks = [e.payload for e in told() if isinstance(e, Hook)]
    launched = [p for p in hooks if p["hook_event_name"] == "PostToolUse" and p["tool_name"] == "Agent"]
    stopped = [p["agent_id"] for p in hooks if p["hook_event_name"] == "SubagentStop"]
    assert {p["tool_response"]["agentId"] for p in launched} == set(stopped) and len(stopped) == 4
    nested = [p for p in launched if "agent_id" in p]
    assert [p["tool_response"]["status"] for p in nested] == ["completed"]
    assert sum(p["tool_response"].get("isAsync", False) for p in launched) == 3
    stops = [len(p["background_tasks"]) for p in hooks if p["hook_event_name"] == "Stop"]
    assert stops == [1, 2, 1, 0]


def test_an_answer_in_several_blocks_is_billed_once_and_tokens_grow() -> None:
    records = [e.record for e in told() if isinstance(e, Line) and e.record["type"] == "assistant"]
    answers = {r["message"]["id"]: r["message"]["usage"] for r in records}
    assert len(answers) < len(records)
    assert all(r["message"]["usage"] == answers[r["message"]["id"]] for r in records)
    main = [r["message"]["usage"]["cache_read_input_tokens"] for r in records if not r["isSidechain"]]
    assert main == sorted(main) and main[-1] > main[0]


def test_the_story_takes_about_two_minutes() -> None:
    assert 90 <= sum(step.wait for step in story()) <= 130


def test_an_interrupt_closes_the_open_call_and_runs_no_hook() -> None:
    records = Records(SID, Path("/config"), "/w", 1, True)
    for step in story()[:3]:
        records.apply(step)
    assert records.open_call() == "search"
    effects = records.interrupt()
    lines = [e.record for e in effects if isinstance(e, Line)]
    assert _blocks(lines[0])[0]["is_error"] and lines[1]["message"]["content"][0]["text"].startswith(
        "[Request interrupted"
    )
    assert not any(isinstance(e, Hook) for e in effects) and records.open_call() == "" and records.turn is None


def test_every_edit_has_its_diff_at_the_right_lines() -> None:
    """The shapes of Edit, MultiEdit and Write in Claude Code's records."""
    results = [e.record["toolUseResult"] for e in told() if isinstance(e, Line) and "toolUseResult" in e.record]
    changed = {r["filePath"]: r for r in results if isinstance(r, dict) and "structuredPatch" in r}
    assert set(changed) == {
        f"/work/my proj/{name}" for name in ("src/tally/words.py", "tests/test_unicode.py", "README.md", "CHANGELOG.md")
    }
    for path, result in changed.items():
        assert (result["originalFile"] is None) == path.endswith("test_unicode.py") == (result.get("type") == "create")
        for hunk in result["structuredPatch"]:
            before = result["originalFile"].splitlines()[hunk["oldStart"] - 1 :][: hunk["oldLines"]]
            assert [line[1:] for line in hunk["lines"] if line[0] in " -"] == before
            assert sum(line[0] in " +" for line in hunk["lines"]) == hunk["newLines"]
    assert len(changed["/work/my proj/README.md"]["edits"]) == 2
    assert changed["/work/my proj/src/tally/words.py"]["newString"].startswith("WORD")


def test_the_cost_is_told_after_every_turn_and_only_grows() -> None:
    records = [e.record for e in told() if isinstance(e, Line)]
    kinds = [r["type"] for r in records if r["type"] == "cost-state" or r.get("subtype") == "turn_duration"]
    assert kinds == ["system", "cost-state"] * 4 + ["cost-state"]
    costs = [r["totalCostUSD"] for r in records if r["type"] == "cost-state"]
    assert costs == sorted(costs) and 0 < costs[0] < costs[-2] == costs[-1]


def test_the_context_window_is_in_every_result_of_print_mode() -> None:
    results = [e.record for e in told(interactive=False) if isinstance(e, Out) and e.record["type"] == "result"]
    assert [r["modelUsage"]["claude-opus-5-5"]["contextWindow"] for r in results] == [1_000_000] * 4


def test_two_agents_work_at_the_same_time() -> None:
    steps = [step for step in story() if step.kind in ("call", "result") and step.by in ("cases", "docs")]
    assert {step.by for step in steps[:3]} == {"cases", "docs"}
    opened = [(s.by, s.use) for s in steps if s.kind == "call"]
    assert opened.index(("docs", "readme")) < [(s.by, s.use) for s in steps].index(("cases", "try")) + 2


def test_answers_have_markdown_with_code_and_a_table() -> None:
    said = "\n".join(step.text for step in story() if step.kind == "say")
    assert "```python\n" in said and "\n|---|---|---|\n" in said and "**" in said


# --- in pipes --------------------------------------------------------------------------------------


def test_print_mode_prints_stream_json_and_leaves_what_claude_leaves(
    env: dict[str, str], config_dir: Path, tmp_path: Path
) -> None:
    run = in_pipe(env, tmp_path, "-p", "Hello?", "--output-format", "stream-json", "--verbose", "--session-id", SID)
    out = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0 and run.stderr == ""
    assert (out[0]["subtype"], out[-1]["type"], out[-1]["subtype"]) == ("init", "result", "success")
    assert all(record["session_id"] == SID for record in out)
    kinds = [record.get("subtype", record["type"]) for record in out]
    assert kinds.count("task_started") == kinds.count("task_notification") == 4 and kinds.count("success") == 4
    inside = [r for r in out if r["type"] == "assistant" and r["parent_tool_use_id"]]
    assert inside and all(r["agent_id"] for r in inside)

    main = lines_of(transcript(config_dir))
    assert main[0]["message"]["content"] == "Hello?" and any(r.get("subtype") == "turn_duration" for r in main)
    subagents = transcript(config_dir).with_suffix("") / "subagents"
    metas = [json.loads(path.read_text()) for path in subagents.glob("*.meta.json")]
    assert len(metas) == 4 and all(m["finished"] for m in metas) and {m["spawnDepth"] for m in metas} == {1, 2}
    tasks = [json.loads(path.read_text()) for path in (config_dir / "tasks" / SID).glob("*.json")]
    assert len(tasks) == 6 and {task["status"] for task in tasks} == {"completed"}
    assert not (config_dir / "sessions").exists()


def test_without_a_terminal_it_prints_plain_text(env: dict[str, str], tmp_path: Path) -> None:
    run = in_pipe(env, tmp_path)
    assert run.returncode == 0 and "Fixed: words in every script" in run.stdout and "\x1b" not in run.stdout


def test_without_a_terminal_every_step_is_a_line_as_it_happens(env: dict[str, str], tmp_path: Path) -> None:
    lines = in_pipe({**env, "CLAUDE_MPM_DEMO_URL": "http://localhost:4711/"}, tmp_path).stdout.splitlines()
    assert lines[0] == f"{LABEL}. Ctrl-C ends it. Watch it at http://localhost:4711/"
    for line in (
        "Todo: Fix the splitter",
        "Edit: src/tally/words.py",
        "  Bash failed: 3 failed, 1 passed in 0.21s",
        "[Update the documentation] MultiEdit: README.md",
        "Todo completed: Run the whole test suite",
    ):
        assert lines.count(line) == 1, line
    assert len(lines) > 60 and lines[-1] == "The demo is over: nothing you saw was real."


def test_print_mode_prints_the_answers_only(env: dict[str, str], tmp_path: Path) -> None:
    run = in_pipe(env, tmp_path, "-p", "x")
    assert run.returncode == 0 and "Todo" not in run.stdout and LABEL not in run.stdout
    assert "Fixed: words in every script" in run.stdout


def test_it_works_on_to_the_end_when_nobody_reads_its_output(
    env: dict[str, str], config_dir: Path, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([*STAND_IN, "-p", "--session-id", SID], env=env, cwd=tmp_path, stdout=writer, timeout=TIMEOUT)
    os.close(writer)
    assert run.returncode == 0 and conversation(transcript(config_dir))[-1]["subtype"] == "turn_duration"


@pytest.mark.parametrize(
    ("number", "code", "out"), [(signal.SIGINT, 0, b"Execution error\n"), (signal.SIGTERM, 143, b"")]
)
def test_signals_end_print_mode_as_they_end_claude(
    number: signal.Signals, code: int, out: bytes, env: dict[str, str], tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    hook = {"type": "command", "command": f"touch '{ready}'"}
    settings = json.dumps({"hooks": {"SessionStart": [{"hooks": [hook]}]}})
    command = [*STAND_IN, "-p", "x", "--demo-wait", "--settings", settings]
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE) as child:
        wait_until(ready.exists)
        child.send_signal(number)
        assert child.communicate(timeout=TIMEOUT)[0] == out and child.returncode == code


def test_version_needs_nothing_and_tells_that_it_is_a_demo(env: dict[str, str], tmp_path: Path) -> None:
    run = in_pipe({k: v for k, v in env.items() if k != "CLAUDE_CONFIG_DIR"}, tmp_path, "--version")
    assert (run.returncode, run.stdout) == (0, "2.1.330-demo (claude-mpm demo stand-in)\n")


@pytest.mark.parametrize("config", ["", "~/.claude"])
def test_it_refuses_to_touch_the_users_own_claude_directory(
    config: str, env: dict[str, str], tmp_path: Path, home: Path
) -> None:
    run = in_pipe({**env, "CLAUDE_CONFIG_DIR": config.replace("~", str(home))}, tmp_path, "-p", "x")
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert not list(home.rglob("*"))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-p", "--session-id", "no-uuid"], "Invalid session ID"),
        (["-p", "--settings", "/nowhere.json"], "Invalid settings"),
        (["-p", "--settings", '{"hooks": {"Stop": "x"}}'], "Invalid settings"),
        (["-p", "--settings", '{"hooks": {"PreToolUse": [{"matcher": "(", "hooks": []}]}}'], "Invalid settings"),
        (["-p", "--output-format", "stream-json"], "requires --verbose"),
    ],
)
def test_wrong_usage_is_one_line(args: list[str], words: str, env: dict[str, str], tmp_path: Path) -> None:
    run = in_pipe(env, tmp_path, *args)
    assert run.returncode == 1 and words in run.stderr and run.stderr.count("\n") == 1 and run.stdout == ""


def test_a_session_id_is_used_once(env: dict[str, str], tmp_path: Path) -> None:
    first, second = (in_pipe(env, tmp_path, "-p", "x", "--session-id", SID) for _ in range(2))
    assert first.returncode == 0
    assert (second.returncode, second.stderr) == (1, f"Error: Session ID {SID} is already in use.\n")


def test_unwritable_directory_is_one_line(env: dict[str, str], config_dir: Path, tmp_path: Path) -> None:
    (config_dir / "projects").write_text("a file where a directory should be")
    run = in_pipe(env, tmp_path, "-p", "x")
    assert run.returncode == 1 and run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1


@pytest.mark.parametrize("size", [0, 1, 2, 241, 100_000])
def test_burst_is_exactly_that_many_bytes(size: int, env: dict[str, str], tmp_path: Path) -> None:
    assert len(burst(size).encode()) == size
    if size == 100_000:
        run = subprocess.run(
            [*STAND_IN, "--demo-burst", str(size)], env=env, cwd=tmp_path, capture_output=True, timeout=TIMEOUT
        )
        assert run.stdout == f"{LABEL}\r\n{burst(size)}".encode() and run.returncode == 0


# --- hooks -----------------------------------------------------------------------------------------


def test_hooks_run_in_order_from_session_start_to_session_end(on_pty: Callable[..., Pty], tmp_path: Path) -> None:
    log, settings = tmp_path / "hooks.log", tmp_path / "settings.json"
    settings.write_text(hook_settings(log))
    terminal = on_pty("--settings", str(settings))
    assert terminal.exit_code() == 0
    got = lines_of(log)
    expected = [e.payload for e in told() if isinstance(e, Hook)]
    assert [p["hook_event_name"] for p in got] == [p["hook_event_name"] for p in expected]
    assert [p.get("tool_use_id") for p in got] == [p.get("tool_use_id") for p in expected]
    assert (got[0]["source"], got[-1]["reason"]) == ("startup", "other")
    assert all(Path(p["transcript_path"]).name == f"{SID}.jsonl" and p["cwd"] == str(tmp_path) for p in got)


def test_hooks_see_the_session_in_their_environment_and_matchers_choose(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = {"type": "command", "command": f"cat > /dev/null; echo $CLAUDE_CODE_SESSION_ID >> '{log}'"}
    settings = {"hooks": {"PreToolUse": [{"matcher": "Task|Agent", "hooks": [hook]}]}}
    in_pipe(env, tmp_path, "-p", "x", "--session-id", SID, "--settings", json.dumps(settings))
    assert log.read_text() == f"{SID}\n" * 4


def test_a_hook_that_hangs_is_ended_at_its_timeout(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    hang = {"type": "command", "command": "exec sleep 1000", "timeout": 0.2}
    last = {"type": "command", "command": f"echo end > '{log}'"}
    settings = {"hooks": {"SessionStart": [{"hooks": [hang]}], "SessionEnd": [{"hooks": [last]}]}}
    assert in_pipe(env, tmp_path, "-p", "x", "--settings", json.dumps(settings)).returncode == 0
    assert log.read_text() == "end\n"


def test_settings_without_hooks_are_fine() -> None:
    assert load(None) == load("{}") == load('{"hooks": null}') == {}


# --- on a terminal ---------------------------------------------------------------------------------


def test_the_whole_session_on_a_terminal(on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty()
    assert terminal.exit_code() == 0 and terminal.restored()
    shown = terminal.seen.decode()
    for part in (LABEL, "\x1b]0;✳ ", "✔", "◼", "◻", "Do you want to go on?", "finished", "日本語", "╭──"):
        assert part in shown
    assert not list((config_dir / "sessions").iterdir()) and not list((config_dir / "tasks" / SID).iterdir())
    assert len(lines_of(transcript(config_dir))) > 60


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_without_a_cursor_gets_plain_lines(
    term: str, env: dict[str, str], on_pty: Callable[..., Pty], config_dir: Path
) -> None:
    env["TERM"] = term
    terminal = on_pty()
    assert terminal.exit_code() == 0 and terminal.restored()
    shown = terminal.seen.decode()
    assert "\x1b" not in shown and shown.count("Todo completed:") == 6
    assert "Claude asks for permission: Edit src/tally/words.py\r\n" in shown
    assert not list((config_dir / "sessions").iterdir()), "a session on a terminal has a session file, while it runs"


def test_the_address_of_the_page_stays_on_the_screen(env: dict[str, str], on_pty: Callable[..., Pty]) -> None:
    env["CLAUDE_MPM_DEMO_URL"] = "http://localhost:4711/"
    terminal = on_pty("--demo-wait")
    terminal.until("watch it at http://localhost:4711/")
    assert terminal.seen.index(b"?1049h") < terminal.seen.index(b"http://localhost:4711/")
    terminal.seen.clear()
    terminal.resize(6, 80)
    terminal.until("http://localhost:4711/")


def test_the_box_keeps_its_right_side(on_pty: Callable[..., Pty]) -> None:
    """Erasing to the end of the line after a character in the last column erases that character (Ghostty, xterm)."""
    pytest.importorskip("pyghostty")
    terminal = on_pty("--demo-wait")
    terminal.until("Ctrl-C")
    emulator = Emulator(30, 90)
    try:
        emulator.feed(terminal.seen.decode())
        rows = ["".join(run[0] for run in line) for line in emulator.picture().lines]
    finally:
        emulator.close()
    assert [row[-1:] for row in rows[:4]] == ["╮", "│", "│", "╯"]


def test_at_the_dialog_it_waits_and_enter_approves(on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty(program=AT_DIALOG)
    terminal.until("Do you want to go on?")
    [session] = (config_dir / "sessions").iterdir()
    assert json.loads(session.read_text())["status"] == "waiting"
    terminal.type("\r")
    assert terminal.exit_code() == 0 and terminal.restored()
    assert any(b.get("content") == "fine" for r in lines_of(transcript(config_dir)) for b in _blocks(r))


@pytest.mark.parametrize("program", [AT_DIALOG, IN_CALL])
def test_escape_interrupts_and_the_story_goes_on(program: str, on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty(program=program)
    terminal.until("Do you want to go on?" if program == AT_DIALOG else "Bash")
    terminal.type("\x1b")
    assert terminal.exit_code() == 0
    texts = json.dumps(lines_of(transcript(config_dir)))
    assert "[Request interrupted by user for tool use]" in texts and "Please go on." in texts and "After all." in texts


def test_what_is_typed_becomes_a_prompt_with_an_answer(on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty("--demo-wait")
    terminal.until(LABEL)
    terminal.type("Grüße\x7f\x7fße 👋\r")
    terminal.until("I am a stand-in")
    terminal.until(lambda: len(conversation(transcript(config_dir))) == 3)
    prompt, answer, end = conversation(transcript(config_dir))
    assert prompt["message"]["content"] == "Grüße 👋" and prompt["origin"] == {"kind": "human"}
    assert answer["message"]["role"] == "assistant" and end["subtype"] == "turn_duration"
    terminal.type("/exit\r")
    assert terminal.exit_code() == 0 and terminal.restored()


def test_words_typed_during_a_call_are_heard_after_it(on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty(program=IN_CALL)
    terminal.until("Bash")
    terminal.type("more\r\x1b")  # Escape ends the call that would never end
    assert terminal.exit_code() == 0
    said = [r["message"]["content"] for r in lines_of(transcript(config_dir)) if r.get("origin") == {"kind": "human"}]
    assert said == ["go", "Please go on.", "more"]


@pytest.mark.parametrize("keys", ["q", "\x03\x03", "/exit\r", "\x1b[Aq", "\x1b[I\x1b[200~\x1b[201~q"])
def test_keys_that_quit(keys: str, on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty("--demo-wait")
    terminal.until(LABEL)
    terminal.type(keys)
    assert terminal.exit_code() == 0 and terminal.restored()
    assert not list((config_dir / "sessions").iterdir())


def test_one_ctrl_c_only_warns(on_pty: Callable[..., Pty]) -> None:
    terminal = on_pty("--demo-wait")
    terminal.until(LABEL)
    terminal.type("\x03")
    terminal.until("Press Ctrl-C again to exit")
    assert terminal.child.poll() is None


def test_ctrl_z_gives_the_terminal_back_and_stops_until_continued(on_pty: Callable[..., Pty]) -> None:
    terminal = on_pty("--demo-wait")
    terminal.until(LABEL)
    terminal.type("\x1a")
    _, status = os.waitpid(terminal.child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    terminal.read()
    assert terminal.restored()
    terminal.seen.clear()
    terminal.child.send_signal(signal.SIGCONT)
    terminal.until(LABEL)
    terminal.type("q")
    assert terminal.exit_code() == 0 and terminal.restored()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_it_as_they_end_claude(
    number: signal.Signals, code: int, on_pty: Callable[..., Pty], config_dir: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    terminal = on_pty("--demo-wait", "--settings", hook_settings(log))
    terminal.until(LABEL)
    terminal.child.send_signal(number)
    assert terminal.exit_code() == code and terminal.restored()
    assert [p["hook_event_name"] for p in lines_of(log)] == ["SessionStart", "SessionEnd"]
    assert not list((config_dir / "sessions").iterdir())


def test_a_closed_terminal_ends_it(on_pty: Callable[..., Pty], config_dir: Path) -> None:
    terminal = on_pty("--demo-wait")
    terminal.until(LABEL)
    terminal.close()
    assert terminal.exit_code() == 0 and not list((config_dir / "sessions").iterdir())


def test_exit_and_crash_for_tests(on_pty: Callable[..., Pty], config_dir: Path) -> None:
    left = on_pty("--demo-exit", "7")
    assert left.exit_code() == 7 and left.restored() and LABEL in left.seen.decode()
    crashed = on_pty("--demo-crash", "SEGV")
    assert crashed.exit_code() == -signal.SIGSEGV and not crashed.restored()
    assert [path.name for path in (config_dir / "sessions").iterdir()] == [f"{crashed.child.pid}.json"]


def test_size_is_told_at_start_and_on_every_change(on_pty: Callable[..., Pty]) -> None:
    terminal = on_pty("--demo-size")
    terminal.until("30 90\r\n")
    terminal.resize(40, 120)
    terminal.until("40 120\r\n")
    assert "?1049h" not in terminal.seen.decode()


def test_a_resize_draws_everything_anew(on_pty: Callable[..., Pty]) -> None:
    terminal = on_pty("--demo-wait")
    terminal.until("Ctrl-C")
    terminal.seen.clear()
    terminal.resize(20, 60)
    terminal.until(LABEL)
    terminal.until("\x1b[20;1H")
    assert "\x1b[21;1H" not in terminal.seen.decode()


# --- the picture -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("cols", "rows"), [(1, 1), (10, 3), (20, 6), (80, 24), (200, 70)])
def test_every_line_fits_whatever_the_size(cols: int, rows: int) -> None:
    view = View()
    for frame, step in enumerate(story()):
        view.apply(step)
        lines = view.lines(cols, rows, frame, frame)
        assert len(lines) == rows
        assert all(width("".join(_plain(line))) <= cols for line in lines)
        if cols > 40:
            assert LABEL in "".join(lines[:2])


def _plain(line: str) -> Iterator[str]:
    for part in line.split("\x1b["):
        yield part.split("m", 1)[1] if part and part[0].isdigit() and "m" in part else part


def test_width_counts_columns() -> None:
    assert [width(t) for t in ("abc", "日本", "☕", "e\u0301", "──")] == [3, 4, 2, 1, 2]
    assert fit("日本語", 5) == "日本\x1b[0m"


def test_it_starts_fast_with_the_standard_library_only() -> None:
    code = "import sys; before = set(sys.modules); import claude_mpm.demo.stand_in; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    roots = {name.partition(".")[0] for name in run.stdout.split()}
    assert roots - {"claude_mpm"} <= set(sys.stdlib_module_names) and "asyncio" not in roots
    assert not [name for name in run.stdout.split() if name.startswith("claude_mpm.") and "demo" not in name]


def test_stream_lines_are_made_in_print_mode_only() -> None:
    assert not any(isinstance(e, Out) for e in told()) and any(isinstance(e, Out) for e in told(interactive=False))
