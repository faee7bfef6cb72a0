"""The URL of an ssh source: what is taken, what is refused, and the command line it becomes."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from claude_mpm.errors import UsageError
from claude_mpm.fleet.ssh.target import ssh_target


@pytest.mark.parametrize(
    ("text", "user", "host", "port", "program"),
    [
        ("ssh://build", None, "build", None, "claude-mpm"),
        ("ssh://Build_2.example.com/", None, "Build_2.example.com", None, "claude-mpm"),
        ("ssh://me@build:2222", "me", "build", 2222, "claude-mpm"),
        ("ssh://me@corp.example@build", "me@corp.example", "build", None, "claude-mpm"),
        ("ssh://[fe80::1%25eth0]:22", None, "fe80::1%eth0", 22, "claude-mpm"),
        ("ssh://[::1]", None, "::1", None, "claude-mpm"),
        ("ssh://build?command=~/x/bin/claude-mpm", None, "build", None, "~/x/bin/claude-mpm"),
        ("ssh://build?command=/a%20b/c%2Bd+e", None, "build", None, "/a b/c+d+e"),
    ],
)
def test_a_url_says_who_where_and_what(text: str, user: str | None, host: str, port: int | None, program: str) -> None:
    target = ssh_target(text)
    assert (target.user, target.host, target.port, target.program) == (user, host, port, program)
    assert target.name == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("build", "has the form ssh://[user@]host[:port]"),
        ("ssh:build", "has the form"),
        ("ssh://build/home", "has the form"),
        ("ssh://build#x", "has the form"),
        ("ssh://bu ild", "has the form"),
        ("ssh://build\n", "has the form"),
        ("ssh://", "the host"),
        ("ssh://-oProxyCommand=x", "does not begin with -"),
        ("ssh://[-x]", "the host"),
        ("ssh://a;b", "the host"),
        ("ssh://$(id)", "the host"),
        ("ssh://münchen", "the host"),
        ("ssh://-l@build", "the user"),
        ("ssh://a`b`@build", "the user"),
        ("ssh://@build", "the user"),
        ("ssh://build:", "the port"),
        ("ssh://build:0", "the port"),
        ("ssh://build:65536", "the port"),
        ("ssh://build:²", "the port"),
        ("ssh://build?command=", "the path of claude-mpm"),
        ("ssh://build?command=-x", "the path of claude-mpm"),
        ("ssh://build?command=a%0Ab", "the path of claude-mpm"),
        ("ssh://build?command=a&x=1", "the path of claude-mpm"),
        ("ssh://build?program=a", "the path of claude-mpm"),
    ],
)
def test_what_is_no_url_of_ours_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        ssh_target(text)
    assert said in str(refused.value) and str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text", ["ssh://me:s3cret@build", "ssh://me%3As3cret@build", "ssh://me:s3cret@bu ild", "me:s3cret@b"]
)
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        ssh_target(text)
    assert "s3cret" not in str(refused.value)


def test_the_command_line_asks_nothing_and_ends_its_options_before_the_host() -> None:
    argv = ssh_target("ssh://me@build:2222").argv("/usr/bin/ssh", ["-F", "config"])
    assert argv[:2] == ["/usr/bin/ssh", "-T"]
    assert {"BatchMode=yes", "ServerAliveInterval=10", "ControlMaster=no"} < set(argv)
    assert argv[-9:-2] == ["-F", "config", "-p", "2222", "-l", "me", "--"]
    assert argv[-2:] == ["build", "claude-mpm help bridge >/dev/null && exec claude-mpm bridge"]


@pytest.mark.parametrize("path", ["/a b/it's; echo $HOME `id`", "~/a b/$x", "~root/x", "claude-mpm", "a|b&c"])
def test_a_shell_over_there_takes_the_path_as_one_word(path: str) -> None:
    command = ssh_target(
        "ssh://build?command=" + path.replace("%", "%25").replace("&", "%26").replace(" ", "%20")
    ).argv("ssh", [])[-1]
    word = command.partition(" help bridge")[0]
    said = subprocess.run(["/bin/sh", "-c", f"printf %s {word}"], capture_output=True, text=True, env={"HOME": "/h"})
    assert said.stdout == (path.replace("~", "/h", 1) if path.startswith("~/") else path)
    assert shlex.split(word)
