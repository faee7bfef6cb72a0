"""Why an ssh connection ended or never stood, and what the user can do: one line each."""

from __future__ import annotations

import re
from typing import NamedTuple

from claude_mpm.fleet.ssh.target import SshTarget

OF_SSH = 255  # ssh's own exit code when it fails; every other one is the remote command's (ssh(1))
NOT_FOUND, NOT_EXECUTABLE, USAGE = 127, 126, 2  # exit codes of a shell, and of claude-mpm
LAST_CHARS = 200  # of what somebody said


class Trouble(NamedTuple):
    """Both are one sentence for the user."""

    sentence: str
    hint: str


# What OpenSSH says on stderr; the first pattern that occurs counts.
_SAID = (
    (
        "Connection refused",
        "{host} refuses ssh connections",
        "start sshd there, or name its port: ssh://host:port",
    ),
    (
        "Could not resolve hostname",
        "{host} is an unknown host",
        "check the spelling; names from ~/.ssh/config work, too",
    ),
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key of {host} has changed",
        "if you know why, remove the old one with ssh-keygen -R, then connect once by hand: {by_hand}",
    ),
    (
        "Host key verification failed|host key is known for",
        "the host key of {host} is not known here",
        "connect once by hand and accept it: {by_hand}",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "{host} does not let you in without a question",
        "use a key without a passphrase or load it with ssh-add; copy it there with ssh-copy-id; test: {by_hand} -o BatchMode=yes true",
    ),
    (
        "not responding",
        "the connection to {host} was lost: it does not answer any more",
        "it is tried again",
    ),
    (
        "timed out|No route to host|Network is unreachable|Host is down",
        "{host} cannot be reached",
        "is it on, and in this network? it is tried again",
    ),
)
_UNKNOWN_COMMAND = re.compile("there is no help on|invalid choice|[Nn]o such command|there is no command")
_UNKNOWN_PROGRAM = re.compile("[Cc]ommand not found|[Uu]nknown command|[Nn]o such file or directory|: not found")


def no_ssh(error: OSError) -> Trouble:
    return Trouble(f"ssh cannot be started: {error.strerror or error}", "install OpenSSH's client on this machine")


def no_hello(target: SshTarget, seconds: float) -> Trouble:
    sentence = f"claude-mpm on {target.host} said nothing for {seconds:g} s"
    return Trouble(sentence, f"see what happens there: {target.by_hand} {target.program} help bridge")


def not_a_bridge(target: SshTarget) -> Trouble:
    sentence = f"what {target.host} sends is not a bridge's"
    return Trouble(sentence, f"this must print nothing: {target.by_hand} true; look into the shell's startup files")


def other_protocol(target: SshTarget) -> Trouble:
    return Trouble(f"claude-mpm on {target.host} speaks another version of the bridge", "update claude-mpm on both")


def diagnose(target: SshTarget, code: int, errors: str, was_connected: bool) -> Trouble:
    """Why ssh ended.

    Args:
        code: its exit code; negative for a signal.
        errors: what it, or the remote command, wrote to stderr last.
        was_connected: whether the bridge had said hello.
    """
    if code == OF_SSH:
        return _of_ssh(target, errors, was_connected)
    if was_connected:
        what = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return Trouble(f"the bridge on {target.host} {what}{_last(errors)}", "it is started again")
    if code == NOT_FOUND or _UNKNOWN_PROGRAM.search(errors):
        hint = "install it there; if it is not on the PATH of ssh's shell, name it: ssh://host?command=~/path/to/claude-mpm"
        return Trouble(f"{target.program} was not found on {target.host}", hint)
    if code == NOT_EXECUTABLE:
        return Trouble(f"{target.program} on {target.host} cannot be executed", "give the path of the program itself")
    if code == USAGE and _UNKNOWN_COMMAND.search(errors):
        return Trouble(f"claude-mpm on {target.host} is too old to have a bridge", "update it there")
    hint = f"see what happens there: {target.by_hand} {target.program} help bridge"
    return Trouble(f"claude-mpm on {target.host} ended with exit code {code}{_last(errors)}", hint)


def _of_ssh(target: SshTarget, errors: str, was_connected: bool) -> Trouble:
    for pattern, sentence, hint in _SAID:
        if re.search(pattern, errors):
            names = {"host": target.host, "by_hand": target.by_hand}
            return Trouble(sentence.format(**names), hint.format(**names))
    if was_connected:
        return Trouble(f"the connection to {target.host} was lost{_last(errors)}", "it is made again")
    return Trouble(f"ssh to {target.host} failed{_last(errors)}", f"see why: {target.by_hand}")


def _last(errors: str) -> str:
    """`: ` and the last line, made safe to show; nothing if there is none."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    shown = "".join(c if c.isprintable() else "?" for c in lines[-1])[:LAST_CHARS] if lines else ""
    return f": {shown}" if shown else ""
