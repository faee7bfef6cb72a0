"""The ways to watch Claude: as our child, as the process we become, or as one that already runs."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Literal, NoReturn

from claude_mpm.config import Config
from claude_mpm.errors import ClaudeMpmError, LaunchFailed, UsageError
from claude_mpm.feed.log import Log
from claude_mpm.launch.command import Command, with_settings
from claude_mpm.launch.pipe_child import PipeChild
from claude_mpm.launch.pty_child import PtyChild
from claude_mpm.launch.reader import SinkFor
from claude_mpm.launch.sidecar import become, fork_sidecar, read_report
from claude_mpm.launch.signals import Signals
from claude_mpm.launch.terminal import Terminal
from claude_mpm.launch.version import Version, installed_version
from claude_mpm.monitor.output import OutputDecoder
from claude_mpm.monitor.session import UNKNOWN, Session
from claude_mpm.sources.files.tail import Lines
from claude_mpm.system.logs import file_log
from claude_mpm.system.state_dir import log_path, make_spool

log = logging.getLogger(__name__)


def beside_a_child(config: Config, command: Command, sockets: Sequence[socket.socket]) -> int:
    """Run Claude as a child, on a PTY when it would have had a terminal, and watch it. Returns our exit code.

    Raises:
        LaunchFailed: Claude cannot be started; clients were told.
    """
    on_terminal = not command.print_mode and os.isatty(0) and os.isatty(1)
    with ExitStack() as undo:
        version = installed_version(Path(command.executable))
        command, spool, trouble = _with_hooks(config, command, version, undo)
        signals = undo.enter_context(Signals())
        control = _Control()
        session = Session(
            config, command, sockets, version=version, spool=spool, control=control if config.control else None
        )
        tree = _Tree(lambda: child.pid)
        child: PtyChild | PipeChild
        if on_terminal:
            terminal = Terminal()
            undo.callback(terminal.restore)
            sink = _Output(session.log, "stdout", "pty", config)
            child = PtyChild(command, signals, config.limits, tree, terminal, sink, session.resized)
        else:
            child = PipeChild(command, signals, config.limits, tree, _pipe_sinks(config, command, session))
        control.child = child
        session.claude_starting(trouble)
        try:
            child.spawn()
        except LaunchFailed as error:
            session.launch_failed(str(error))
            session.finish(None, str(error))
            raise
        with _log_file(config, session):
            session.claude_running(child.pid)
            exit_status = child.run()
            session.finish(exit_status, _reason(exit_status.code, exit_status.signal))
            child.close()
        return exit_status.shell_code


def beside_ourselves(config: Config, command: Command, sockets: Sequence[socket.socket]) -> NoReturn:
    """Become Claude, and leave a sidecar that watches it. Returns only by LaunchFailed."""
    undo = ExitStack()  # the sidecar's to unwind, also when Claude cannot be started
    version = installed_version(Path(command.executable))
    command, spool, trouble = _with_hooks(config, command, version, undo)
    pid = os.getpid()

    def sidecar(report_fd: int) -> None:
        with undo:
            session = Session(config, command, sockets, version=version, spool=spool, has_output=False)
            session.claude_starting(trouble)
            with _log_file(config, session):
                failure = read_report(report_fd)
                if failure is not None:
                    session.launch_failed(failure)
                    session.finish(None, failure)
                else:
                    watch(session, pid)

    report_fd = fork_sidecar(sidecar, [s.fileno() for s in sockets])
    for listening in sockets:
        listening.close()
    become(command, report_fd)


def watch(session: Session, pid: int) -> bool:
    """Watch a claude that is not our child until it ends (True) or we are told to stop. In the main thread; blocks."""
    from claude_mpm.system.exit_watch import ExitWatch

    with Signals() as signals, ExitWatch(pid) as claude:
        session.claude_running(pid)
        while not claude.wait(signals.fd):
            if signals.read() & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
                session.finish(None, "claude-mpm was told to stop watching")
                return False
        session.finish(UNKNOWN, "Claude ended (its exit code is known to its parent only)")
        return True


def attached_command(pid: int) -> Command:
    """What is known of a claude that already runs: where it works and where its files are.

    Raises:
        UsageError: there is no such process of ours, or its files cannot be told.
    """
    from claude_mpm.system.processes import surroundings

    try:
        found = surroundings(pid)
    except (ProcessLookupError, PermissionError) as error:
        raise UsageError(f"{error}; name the pid of a claude of your own") from None
    env = {"HOME": found.home or str(Path.home())}
    if found.claude_config_dir:
        env["CLAUDE_CONFIG_DIR"] = str(found.cwd / found.claude_config_dir)
    return Command("", (), env, None, print_mode=False, is_session=True, cwd=found.cwd)


def beside_a_stranger(config: Config, command: Command, pid: int, sockets: Sequence[socket.socket]) -> int:
    """Watch a claude that already runs, in the foreground. Returns our exit code."""
    session = Session(config, command, sockets, has_output=False, start_reason="attach")
    session.claude_starting()
    with _log_file(config, session):
        return 0 if watch(session, pid) else 130


def _with_hooks(
    config: Config, command: Command, version: Version | None, undo: ExitStack
) -> tuple[Command, Path | None, str | None]:
    """The command with our hooks, their spool, and why there are none: the session goes on without them."""
    if not config.hooks or not command.is_session:
        return command, None, None
    from claude_mpm.launch.hook_settings import hook_settings

    try:
        spool = make_spool(config.state_dir)
        undo.callback(shutil.rmtree, spool, ignore_errors=True)
        hooks = hook_settings(spool, version)
        return with_settings(command, hooks, spool / "settings.json"), spool, None
    except (OSError, ValueError) as error:
        return command, None, f"Claude runs without our hooks: {error}"


def _log_file(config: Config, session: Session) -> AbstractContextManager[None]:
    return file_log(log_path(config.state_dir, session.info["port"]), config.limits, session.log_trouble)


def _reason(code: int | None, signal_name: str | None) -> str:
    if signal_name is not None:
        return f"Claude was ended by {signal_name}"
    return "Claude ended" if code == 0 else f"Claude ended with exit code {code}"


def _pipe_sinks(config: Config, command: Command, session: Session) -> SinkFor:
    def sink_for(stream: Literal["stdout", "stderr"]) -> _Output:
        parsed = command.print_mode and stream == "stdout"
        return _Output(session.log, stream, "process", config, session.stdout_line if parsed else None)

    return sink_for


class _Control:
    """What a client with the right to may do to Claude (server.backend.Control)."""

    child: PtyChild | PipeChild

    def send_input(self, text: str) -> None:
        self._on_terminal().send_input(text)

    def interrupt(self) -> None:
        self.child.interrupt()

    def stop(self) -> None:
        self.child.ask_to_stop()

    def resize(self, cols: int, rows: int) -> None:
        self._on_terminal().resize(cols, rows)

    def _on_terminal(self) -> PtyChild:
        if not isinstance(self.child, PtyChild):
            raise ClaudeMpmError("this Claude runs without a terminal")
        return self.child


class _Output:
    """An OutputSink that appends what passes to the log, joined, and hands on whole lines of print mode."""

    def __init__(
        self,
        events: Log,
        stream: Literal["stdout", "stderr"],
        source: Literal["pty", "process"],
        config: Config,
        on_line: Callable[[bytes], None] | None = None,
    ) -> None:
        limits = config.limits
        self._log = events
        self._decoder = OutputDecoder(stream, source, limits.output_join, limits.output_join_bytes)
        self._lines = Lines(limits.line_bytes)
        self._on_line = on_line

    @property
    def deadline(self) -> float | None:
        return self._decoder.deadline

    def feed(self, data: bytes) -> None:
        for event in self._decoder.feed(data, time.monotonic()):
            self._log.append(event)
        if self._on_line is not None:
            for line in self._lines.feed(data):
                self._on_line(line)

    def tick(self) -> None:
        deadline = self._decoder.deadline
        if deadline is not None and time.monotonic() >= deadline:
            self._flush(final=False)

    def finish(self) -> None:
        self._flush(final=True)

    def _flush(self, final: bool) -> None:
        for event in self._decoder.flush(final):
            self._log.append(event)


class _Tree:
    """What Claude left running when it had to be told to end. psutil is loaded only then."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self._left: list[tuple[int, float]] = []

    def __call__(self, number: int) -> None:
        """0: remember Claude's descendants; else send that signal to those of them that still run."""
        from claude_mpm.system.processes import descendants, signal_all

        if number:
            signal_all(self._left, number)
        else:
            self._left = descendants(self._pid())
