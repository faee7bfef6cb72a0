"""One frozen Config: what the user chose, and every limit with its unit and its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

DEFAULT_PORT = 8765


class Limits(NamedTuple):
    """Bounds of everything that holds data or waits. Seconds and bytes unless the name says otherwise."""

    # the event log
    structured_events: int = 10_000  # events; a long day of one session
    structured_bytes: int = (
        16 * 1024 * 1024
    )  # memory of structured events; large todo lists reach it before their number
    output_bytes: int = 16 * 1024 * 1024  # memory of claude.output, JSON and overhead included
    output_join: float = 0.015  # a repaint arrives in many small reads; 15 ms joins them and nobody sees the delay
    output_join_bytes: int = 64 * 1024  # a joined event stays a moderate frame

    # the server
    clients: int = 256
    handshakes: int = 64  # connections whose request is not read yet; beyond, the oldest is dropped
    responses: int = 32  # HTTP responses being sent; beyond, 503
    handshake_time: float = 5.0
    head_bytes: int = 16 * 1024
    head_lines: int = 100
    message_bytes: int = 64 * 1024  # a command is small
    commands_waiting: int = 256  # commands read but not answered; a client that has more is not read
    command_bytes_waiting: int = 256 * 1024  # the same for their size; each may have message_bytes
    send_buffer_bytes: int = 256 * 1024  # SO_SNDBUF: a stalled client costs this much kernel memory
    send_time: float = 30.0  # a client that takes nothing for this long is reset
    ping_interval: float = 20.0
    ping_time: float = 20.0  # unanswered for this long: the peer is gone (found in at most 40 s)
    close_time: float = 1.0  # wait for the peer's close frame
    batch_events: int = 256  # events one client gets under one lock and one system call
    status_interval: float = 5.0  # periodic system.status

    # Claude's process
    terminate_time: float = 3.0  # between SIGTERM (or HUP) and SIGKILL; all are gone within 5 s
    drain_time: float = 1.0  # output after Claude's end: a grandchild may hold the terminal open

    # files
    todo_bytes: int = 4 * 1024 * 1024  # a todo file larger than this is not one
    line_bytes: int = 16 * 1024 * 1024  # one transcript line; images are kept inline by Claude
    log_bytes: int = 1024 * 1024
    log_files: int = 3


class Config(NamedTuple):
    """What the user chose. Built by cli/options.py, read everywhere, never changed."""

    claude: str = "claude"  # a name to look up on PATH, or a path
    claude_args: tuple[str, ...] = ()
    launch_method: Literal["exec", "subprocess"] = "exec"
    claude_name: str | None = None  # what --name said, for a Claude that knows the option
    name: str | None = None  # what tells this session from others: --name, else CLAUDE_MPM_NAME
    websocket: bool = False
    record: bool = False  # keep the session's events in a file, too
    port: int = DEFAULT_PORT
    port_given: bool = False  # a port the user named is not replaced by another
    host: str | None = None  # None: both loopback families
    token: str | None = None
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    control: bool = False
    hooks: bool = True
    open_page: bool = False
    limits: Limits = Limits()

    @property
    def state_dir(self) -> Path:
        """Where the registry of instances, the logs and the hooks' spools are."""
        return Path.home() / ".claude-mpm"

    @property
    def recordings_dir(self) -> Path:
        """Where recordings are, one file per recorded run; its name ends with the id of its session."""
        return self.state_dir / "recordings"
