"""`--publish`: from the command line to what a hub reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import environment, run, script
from redis_server import RedisServer, needs_redis, redis_server, sourcing
from support import TIMEOUT, wait_until

from claude_mpm.cli.options import config_from
from claude_mpm.errors import UsageError
from claude_mpm.fleet.redis import connection
from claude_mpm.launch.command.command_line import environment as claude_environment
from claude_mpm.monitor.audience import Audience
from claude_mpm.system.argv import hide

PASSWORD = "correct-horse-battery"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


# --- the command line -------------------------------------------------------------------------------


def test_the_option_wins_over_the_environment() -> None:
    environ = {"CLAUDE_MPM_PUBLISH": "redis://from-environment"}
    assert config_from(["--websocket"], environ)[0].publish == "redis://from-environment"
    config, _ = config_from(["--websocket", "--publish", "redis://given", "--", "-p"], environ)
    assert (config.publish, config.claude_args) == ("redis://given", ("-p",))
    assert config_from([], environ)[0].publish is None


def test_what_cannot_be_published_is_said_before_claude_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="needs --websocket"):
        config_from(["--publish", "redis://host"], {})
    with pytest.raises(UsageError, match="redis://"):
        config_from(["--websocket", "--publish", "http://host"], {})
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'claude-mpm\[fleet\]'"):
        config_from(["--websocket", "--publish", "redis://host"], {})


@pytest.mark.parametrize("args", [["hub", "redis://localhost"], ["--websocket", "--publish", "redis://localhost"]])
def test_without_redis_py_the_extra_is_named(args: list[str], home: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['redis'] = None; from claude_mpm.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *args, "--websocket-port", "0"],
        env=environment(home),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 3,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("claude-mpm: Redis needs the redis library: pip install 'claude-mpm[fleet]'")
    assert done.stderr.count("\n") == 1


def test_what_is_not_on_the_command_line_cannot_be_hidden_there() -> None:
    assert not hide("no-such-secret")
    assert not hide("")


def test_claude_gets_neither_variable() -> None:
    environ = {"CLAUDE_MPM_PUBLISH": "redis://:secret@host", "CLAUDE_MPM_REDIS_PASSWORD": "secret", "LANG": "C"}
    assert "secret" not in str(claude_environment(environ))


def test_nobody_who_does_not_publish_loads_redis() -> None:
    code = "import sys, claude_mpm.cli.launch, claude_mpm.monitor.session; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(Path("/nonexistent"))).returncode == 0


def test_what_hubs_and_clients_want_is_one_demand() -> None:
    told: list[frozenset[str]] = []
    audience = Audience(told.append)
    audience.of_hubs(frozenset({"claude.screen"}))
    audience.of_clients(frozenset({"system.status"}))
    audience.of_clients(frozenset())
    assert [sorted(types) for types in told] == [
        ["claude.screen"],
        ["claude.screen", "system.status"],
        ["claude.screen"],
    ]


# --- the program ------------------------------------------------------------------------------------


@needs_redis
@pytest.mark.parametrize("method", ["exec", "subprocess"])
def test_a_session_is_published_to_its_end_and_its_password_shows_nowhere(
    redis: RedisServer, tmp_path: Path, method: str
) -> None:
    redis.call("ACL", "SETUSER", "me", "on", f">{PASSWORD}", "+@all", "~*")
    seen = tmp_path / "seen"
    claude = script(tmp_path, f"sleep 0.3; cat /proc/[0-9]*/cmdline >> {seen} 2>/dev/null; env >> {seen}; exit 3")
    url = f"redis://me:{PASSWORD}@127.0.0.1:{redis.port}"
    with sourcing(redis.url) as (_, hub):
        wait_until(lambda: hub.of_type("instances"), "the first look")
        args = ("--websocket", "--websocket-port", "0", "--claude", claude, "--launch-method", method, "--publish", url)
        done = run(*args, home=tmp_path, cwd=tmp_path)
        wait_until(lambda: hub.of_type("session.end"), "the end of the session")
        wait_until(lambda: hub.instances() == [], "the end of the instance")
    assert done.returncode == 3
    [instance_id] = {frame["instance_id"] for frame in hub.of_type("session.start")}
    assert hub.accounted(instance_id) >= {1, 2, 3}
    assert hub.of_type("system.error") == []
    texts = (done.stderr + done.stdout).decode() + seen.read_text(errors="replace") + str(hub.frames)
    texts += "".join(path.read_text() for path in (tmp_path / ".claude-mpm").rglob("*.log"))
    assert PASSWORD not in texts
    assert "--publish" in texts or method == "exec"


@needs_redis
def test_a_redis_that_is_not_there_keeps_nobody_from_working(tmp_path: Path) -> None:
    claude = script(tmp_path, "exit 3")
    args = ("--websocket", "--websocket-port", "0", "--claude", claude, "--publish", "redis://127.0.0.1:1")
    done = run(*args, "--launch-method", "subprocess", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 3
