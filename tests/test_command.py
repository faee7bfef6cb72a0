from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from claude_mpm.errors import ClaudeNotFound
from claude_mpm.launch.command import command_line as command

ENV = {"PATH": "/usr/bin:/bin", "HOME": "/home/u"}
SID = "11111111-1111-4111-8111-111111111111"


def build(*args: str, env: dict[str, str] | None = None) -> command.Command:
    return command.build("sh", args, ENV | (env or {}), SID)


@pytest.mark.parametrize("args", [(), ("hello",), ("-p", "hi"), ("--model", "opus"), ("fix -c in a.py",), ("-d",)])
def test_a_new_session_gets_an_id_known_in_advance(args: tuple[str, ...]) -> None:
    made = build(*args)
    assert made.session_id == SID
    assert made.argv[1:] == ("--session-id", SID, *args)
    assert made.is_session


@pytest.mark.parametrize(
    "args",
    [
        ("-r",),
        ("--resume", "x"),
        ("--resume=x",),
        ("-c",),
        ("--continue",),
        ("-pc", "hi"),
        ("--fork-session",),
        ("--from-pr=1",),
    ],
)
def test_a_session_that_has_an_id_already_is_left_alone(args: tuple[str, ...]) -> None:
    made = build(*args)
    assert made.session_id is None
    assert made.argv[1:] == args


@pytest.mark.parametrize("args", [("--session-id", "chosen"), ("--session-id=chosen",)])
def test_an_id_the_user_chose_is_used(args: tuple[str, ...]) -> None:
    made = build(*args)
    assert made.session_id == "chosen"
    assert made.argv[1:] == args


@pytest.mark.parametrize(
    ("version", "session_id", "settings"),
    [("1.0.51", False, False), ("1.0.60", True, False), ("1.0.61", True, True), ("2.1.330", True, True)],
)
def test_an_option_that_a_known_version_lacks_is_left_out(
    version: str, session_id: bool, settings: bool, tmp_path: Path
) -> None:
    package = tmp_path / "claude-code"
    package.mkdir()
    (package / "package.json").write_text(json.dumps({"name": "@anthropic-ai/claude-code", "version": version}))
    (package / "cli.js").write_text("#!/bin/sh\n")
    (package / "cli.js").chmod(0o755)
    made = command.build(str(package / "cli.js"), ("hello",), ENV, SID)
    assert made.argv[1:] == (("--session-id", SID) if session_id else ()) + ("hello",)
    assert made.session_id == (SID if session_id else None)
    assert command.takes_settings(made.version) is settings


@pytest.mark.parametrize("args", [("mcp", "list"), ("--version",), ("-v",), ("--help",), ("doctor",)])
def test_what_is_no_session_gets_nothing_added(args: tuple[str, ...]) -> None:
    made = build(*args)
    assert not made.is_session
    assert made.argv[1:] == args


def test_options_behind_two_dashes_are_text() -> None:
    assert build("--", "-c").session_id == SID


@pytest.mark.parametrize(
    ("args", "expected"), [(("-p", "x"), True), (("--print",), True), (("-pc",), True), (("x",), False)]
)
def test_print_mode_is_recognised(args: tuple[str, ...], expected: bool) -> None:
    assert build(*args).print_mode is expected


def test_what_another_session_left_in_the_environment_is_dropped() -> None:
    left = {
        "CLAUDECODE": "1",
        "CLAUDE_CODE_CHILD_SESSION": "1",
        "CLAUDE_CODE_MESSAGING_SOCKET": "x",
        "CLAUDE_MPM_WEBSOCKET_TOKEN": "s",
        "CLAUDE_MPM_NOTIFY_URL": "https://u:p@example.org/secret",
    }
    env = build(env=left | {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}).env
    assert not set(left) & set(env)
    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"


def test_todo_tools_are_on_unless_the_user_decided() -> None:
    assert build().env["CLAUDE_CODE_ENABLE_TODO_TOOLS"] == "1"
    assert build(env={"CLAUDE_CODE_ENABLE_TODO_TOOLS": "0"}).env["CLAUDE_CODE_ENABLE_TODO_TOOLS"] == "0"


def test_the_config_directory_is_the_one_claude_will_use() -> None:
    assert build().config_dir == Path("/home/u/.claude")
    assert build(env={"CLAUDE_CONFIG_DIR": "/x"}).config_dir == Path("/x")


@pytest.mark.parametrize("claude", ["claude", "/nowhere/claude", "no-such-claude"])
def test_a_missing_claude_says_how_to_get_it_and_names_the_demo(claude: str) -> None:
    with pytest.raises(ClaudeNotFound, match=r"npm install -g .*--demo"):
        command.build(claude, (), {"PATH": "/nonexistent"})


# --- settings --------------------------------------------------------------------------------------

OURS = {"Stop": [{"hooks": [{"type": "command", "command": "ours"}]}]}


def settings_of(made: command.Command, path: Path) -> dict[str, object]:
    assert made.argv.count("--settings") == 1
    assert made.argv[made.argv.index("--settings") + 1] == str(path)
    value = json.loads(path.read_text())
    assert isinstance(value, dict)
    return value


def test_hooks_travel_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    made = command.with_settings(build("hi"), OURS, path)
    assert settings_of(made, path) == {"hooks": OURS}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.argv[-1] == "hi"


@pytest.mark.parametrize("form", ["inline", "file", "joined"])
def test_settings_of_the_user_are_merged_not_replaced(form: str, tmp_path: Path) -> None:
    theirs = {"env": {"A": "1"}, "hooks": {"Stop": [{"hooks": []}], "PreCompact": [{"hooks": []}]}}
    (tmp_path / "user.json").write_text(json.dumps(theirs))
    given = {
        "inline": ("--settings", json.dumps(theirs)),
        "file": ("--settings", str(tmp_path / "user.json")),
        "joined": (f"--settings={tmp_path / 'user.json'}",),
    }[form]
    path = tmp_path / "s.json"
    made = command.with_settings(build("-p", *given, "hi"), OURS, path)
    merged = settings_of(made, path)
    assert merged["env"] == {"A": "1"}
    assert merged["hooks"] == {"Stop": [{"hooks": []}, *OURS["Stop"]], "PreCompact": [{"hooks": []}]}
    assert made.argv[-2:] == ("-p", "hi")
    assert json.loads((tmp_path / "user.json").read_text()) == theirs


@pytest.mark.parametrize(
    "given",
    [
        ("--settings", "{"),
        ("--settings", "/nowhere"),
        ("--settings", "[1]"),
        ("--settings",),
        ("--settings", "{}", "--settings", "{}"),
    ],
)
def test_settings_we_do_not_understand_are_left_to_claude(given: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--settings"):
        command.with_settings(build(*given), OURS, tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()
