"""What the user chose (Config), and every limit with its unit and its reason (Limits). Both are immutable."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

DEFAULT_PORT = 8765


class Limits(NamedTuple):
    """Bounds on everything that holds data or waits. Times are in seconds and sizes in bytes unless noted otherwise."""

    # the event log
    structured_events: int = 10_000  # number; a long day of one session
    structured_bytes: int = 16 * 1024 * 1024  # memory; large todo lists reach it before the number above
    output_bytes: int = 16 * 1024 * 1024  # memory of claude.output events, JSON and overhead included
    output_join: float = 0.008  # seconds; joins the many small reads of a repaint, after the 5 ms of the front
    output_join_bytes: int = 64 * 1024  # keeps the frame of a joined event moderate

    # the server
    clients: int = 256  # WebSocket clients; one more gets 503
    handshakes: int = 64  # connections whose request has not been read; one more drops the oldest
    responses: int = 32  # HTTP responses being sent; one more gets 503
    handshake_time: float = 5.0  # from the accept to the end of the request; then 408
    head_bytes: int = 16 * 1024  # of a request; a larger one gets 431
    head_lines: int = 100  # headers of a request
    message_bytes: int = 64 * 1024  # of a command; a larger one closes the connection with 1009
    commands_waiting: int = (
        256  # number read but not answered; then the client is not read from until it has taken replies
    )
    command_bytes_waiting: int = 256 * 1024  # total size of these
    send_buffer_bytes: int = 256 * 1024  # SO_SNDBUF; what a stalled client costs in kernel memory
    send_time: float = 30.0  # a client that takes nothing for this long is reset
    ping_interval: float = 20.0
    ping_time: float = 20.0  # a peer that is silent this long after a ping is reset: a dead one is found within 40 s
    close_time: float = 1.0  # how long to wait for the peer to close
    batch_events: int = 256  # number of events read from the log and sent in one go
    status_interval: float = 5.0  # between two periodic system.status events

    # Claude's process
    terminate_time: float = 3.0  # between SIGTERM (or SIGHUP) and SIGKILL, so that all processes are gone within 5 s
    drain_time: float = 1.0  # for output after Claude's end; bounded because a grandchild may keep the terminal open

    # files
    todo_bytes: int = 4 * 1024 * 1024  # a larger file is not a todo file
    line_bytes: int = 16 * 1024 * 1024  # of one transcript line; Claude stores images inline
    log_bytes: int = 1024 * 1024  # per log file
    log_files: int = 3  # number kept, the current one included


class Config(NamedTuple):
    """What the user chose. Built by cli/options.py, read everywhere, never changed."""

    claude: str = "claude"  # a name to look up on PATH, or a path
    claude_args: tuple[str, ...] = ()
    launch_method: Literal["exec", "subprocess"] = "exec"
    claude_name: str | None = None  # the value of --name, passed on to a Claude that knows the option
    name: str | None = None  # distinguishes this session from others: --name, or else CLAUDE_MPM_NAME
    websocket: bool = False
    record: bool = False  # keep the session's events in a file, too
    port: int = DEFAULT_PORT
    port_given: bool = False  # a port the user named is not replaced by a free one
    host: str | None = None  # None: 127.0.0.1 and ::1
    token: str | None = None
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    control: bool = False
    hooks: bool = True
    publish: str | None = None  # the URL of a Redis that gets this session's events; it may hold a password
    notify_url: str | None = None  # gets a POST when a session starts to need somebody, or ends
    open_page: bool = False
    limits: Limits = Limits()

    @property
    def state_dir(self) -> Path:
        """The directory of the instance registry, the logs and the hooks' spools."""
        return Path.home() / ".claude-mpm"

    @property
    def recordings_dir(self) -> Path:
        """Where recordings are, one file per recorded run; its name ends with the id of its session."""
        return self.state_dir / "recordings"
