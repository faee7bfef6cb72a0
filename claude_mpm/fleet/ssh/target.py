"""Where an ssh source connects to, as the user wrote it, and the command line that does it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from claude_mpm.errors import UsageError

FORM = "ssh://[user@]host[:port], or ssh://host?command=~/path/to/claude-mpm"
PROGRAM = "claude-mpm"
CONNECT_TIME = 10  # seconds for the TCP connection
ALIVE_INTERVAL, ALIVE_COUNT = 10, 3  # seconds of silence after which ssh asks, and how often until the peer is dead

_URL = re.compile(
    r"ssh://(?:(?P<user>[^/?#]*)@)?(?P<host>\[[^\]/?#@]*\]|[^@:/?#\[\]]*)(?::(?P<port>[^/?#]*))?/?(?:\?(?P<query>[^#]*))?"
)
# ssh hands both to a local shell where its config has a ProxyCommand or a `Match exec` (CVE-2023-51385), so they have
# no character that means something there. A host that begins with `-` would be an option.
_HOST = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._-]+)?)\]")  # a zone as in RFC 6874
_USER = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._@+-]*")


@dataclass(frozen=True)
class SshTarget:
    """One machine, or one account of it.

    Attributes:
        name: as the user wrote it; it holds no secret.
        program: the claude-mpm over there.
    """

    name: str
    host: str
    user: str | None = None
    port: int | None = None
    program: str = PROGRAM

    def argv(self, ssh: str, options: Sequence[str]) -> list[str]:
        """The command line that runs the bridge.

        A claude-mpm that knows no bridge would take the word for a prompt and start Claude, so it is asked first.
        """
        program = _quoted(self.program)
        fixed = {
            "BatchMode": "yes",  # nobody can answer a question
            "ConnectTimeout": CONNECT_TIME,
            "ServerAliveInterval": ALIVE_INTERVAL,
            "ServerAliveCountMax": ALIVE_COUNT,
            "ClearAllForwardings": "yes",  # those of the config are for the user's own connections
            "RemoteCommand": "none",
            "ControlMaster": "no",  # others may not depend on our process; a master that is there is used
            "LogLevel": "INFO",  # its reasons are read
        }
        settings = [part for name, value in fixed.items() for part in ("-o", f"{name}={value}")]
        where = [*(["-p", str(self.port)] if self.port else []), *(["-l", self.user] if self.user else [])]
        command = f"{program} help bridge >/dev/null && exec {program} bridge"
        return [ssh, "-T", "-a", "-x", *settings, *options, *where, "--", self.host, command]

    @property
    def by_hand(self) -> str:
        """What a user types to connect there."""
        port = f"-p {self.port} " if self.port else ""
        return f"ssh {port}{self.user}@{self.host}" if self.user else f"ssh {port}{self.host}"


def ssh_target(text: str) -> SshTarget:
    """Read the URL of an ssh source. What may hold a password is not repeated in an error.

    Raises:
        UsageError: it is not one; the text says why.
    """
    match = _URL.fullmatch(text) if text.isprintable() and " " not in text else None
    if match is None:
        raise UsageError(f"an ssh source has the form {FORM}")
    user = None if match["user"] is None else unquote(match["user"])
    if user is not None and ":" in user:
        raise UsageError("an ssh source takes no password: ssh uses your keys, so leave it out of the URL")
    if user is not None and not _USER.fullmatch(user):
        raise UsageError(f"the user of an ssh source has only letters, digits and ._@+-; its form is {FORM}")
    return SshTarget(text, _host(match["host"]), user, _port(match["port"]), _program(match["query"]))


def _host(text: str) -> str:
    if ipv6 := _IPV6.fullmatch(text):
        return unquote(ipv6[1])
    if not _HOST.fullmatch(text):
        raise UsageError(
            f"the host of an ssh source has only letters, digits and ._-, and does not begin with -; its form is {FORM}"
        )
    return text


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise UsageError(f"the port of an ssh source is a number from 1 to 65535; its form is {FORM}")
    return int(text)


def _program(query: str | None) -> str:
    if query is None:
        return PROGRAM
    name, _, value = query.partition("=")
    program = unquote(value)
    if name != "command" or "&" in value or not program.isprintable() or program[:1] in ("", "-"):
        raise UsageError(f"after the ? of an ssh source stands the path of claude-mpm over there; its form is {FORM}")
    return program


def _quoted(program: str) -> str:
    """For a shell over there. `~/` is left to it, as nobody here knows that home directory."""
    if program.startswith("~/"):
        return f"~/{shlex.quote(program[2:])}"
    return shlex.quote(program)
