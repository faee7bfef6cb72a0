"""The ways to watch: beside a front whose child Claude is, beside the Claude a front became, beside one that ran before.

Each is the main thread of a process that does nothing else.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from claude_mpm.config import Config
from claude_mpm.monitor.channel import FrontChannel
from claude_mpm.monitor.output_reader import OutputReader, Received
from claude_mpm.monitor.run_info import Ending, RunInfo, ending_of
from claude_mpm.monitor.session import Session
from claude_mpm.system.exit_watch import ExitWatch
from claude_mpm.system.logs import file_log
from claude_mpm.system.poll import wait_ready
from claude_mpm.system.processes import descendants, process_identity, signal_all
from claude_mpm.system.signals import Signals
from claude_mpm.system.state_dir import log_path

log = logging.getLogger(__name__)

Info = Mapping[str, Any]  # `instance_info` of the protocol

OUTPUT_TIME = 2.0  # seconds; for the last output to arrive after Claude's end
ORPHAN_TIME = 0.3  # seconds between SIGHUP and SIGKILL to a Claude whose front was killed
TOLD_TO_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
STOPPED = Ending("claude-mpm was told to stop watching", has_ended=False)
UNKNOWN_EXIT = Ending("Claude ended (its exit code is known to its parent only)")
FRONT_KILLED = Ending("claude-mpm was killed")


def beside_child(
    config: Config,
    run: RunInfo,
    info: Info,
    sockets: Sequence[socket.socket],
    signals: Signals,
    control_fd: int,
    data_fd: int,
) -> None:
    """Watch the child of the front at the other end of the channel until it ends, the front dies, or we are told to stop. Blocks."""
    with ExitStack() as undo:
        front = FrontChannel(control_fd, has_terminal=run.terminal_size is not None)
        front.ready()
        undo.callback(front.close)
        session = Session(
            config,
            run,
            info,
            sockets,
            control=front if config.control else None,
            keyboard=front if config.control else None,
            notice=front.notice,
        )
        undo.enter_context(_log_file(config, session))
        session.start_server()
        output = OutputReader(
            data_fd, session.log, config.limits, session.resized, session.stdout_line if run.print_mode else None
        )
        pid, ending, received = _follow_front(session, front, output, signals)
        _release(session, front)
        if ending is FRONT_KILLED and pid is not None:
            _end_orphan(pid)
        output.finish(received, OUTPUT_TIME)
        session.finish(ending)


def _follow_front(
    session: Session, front: FrontChannel, output: OutputReader, signals: Signals
) -> tuple[int | None, Ending, Received | None]:
    """Until the end. Returns Claude's pid if it was started, how it ended, and how much output there was."""
    pid: int | None = None
    while True:
        ready, _ = wait_ready([front.fileno(), signals.fd])
        if signals.read() & TOLD_TO_STOP:
            return pid, STOPPED, None
        events = front.read() if front.fileno() in ready else []
        if events is None:
            return pid, FRONT_KILLED, None
        if any(event["event"] == "exited" for event in events):
            _release(session, front)  # first of all: the front waits for it
        for event in events:
            if event["event"] == "started":
                pid = int(event["pid"])
                session.claude_running(pid, event["time"])
                session.start_parts()
                output.start()
            elif event["event"] == "failed":
                return None, Ending(str(event["reason"]), failed_to_start=True), None
            elif event["event"] == "exited":
                return pid, ending_of(event), Received(event["stdout"], event["stderr"])


def _release(session: Session, front: FrontChannel) -> None:
    """Give up the port, and tell the front, which waits for it. Idempotent."""
    session.release_port()
    front.release()
    session.unregister()


def beside_exec(
    config: Config,
    run: RunInfo,
    info: Info,
    sockets: Sequence[socket.socket],
    signals: Signals,
    front_pid: int,
    control_fd: int,
) -> None:
    """Watch the process `front_pid`, which becomes Claude, until it ends or we are told to stop. Blocks."""
    with ExitStack() as undo:
        front = FrontChannel(control_fd, has_terminal=False)
        undo.callback(front.close)
        claude = undo.enter_context(ExitWatch(front_pid))
        session = Session(config, run, info, sockets)
        undo.enter_context(_log_file(config, session))
        session.start_server()
        failure = _wait_for_exec(front, signals)
        if failure is not None:
            _release(session, front)
            session.finish(failure)
        else:
            _follow_process(session, front_pid, claude, signals)


def _wait_for_exec(front: FrontChannel, signals: Signals) -> Ending | None:
    """None once the front has become Claude, which closes its end of the channel."""
    while True:
        ready, _ = wait_ready([front.fileno(), signals.fd])
        if signals.read() & TOLD_TO_STOP:
            return STOPPED
        events: list[dict[str, Any]] | None = front.read() if front.fileno() in ready else []
        if events is None:
            return None
        for event in events:
            return Ending(str(event.get("reason")), failed_to_start=True)


def beside_process(
    config: Config, run: RunInfo, info: Info, sockets: Sequence[socket.socket], signals: Signals, pid: int
) -> bool:
    """Watch a Claude that already runs. Returns whether it ended (False: we were told to stop). Blocks."""
    with ExitStack() as undo:
        claude = undo.enter_context(ExitWatch(pid))
        session = Session(config, run, info, sockets, start_reason="attach")
        undo.enter_context(_log_file(config, session))
        session.start_server()
        return _follow_process(session, pid, claude, signals)


def _follow_process(session: Session, pid: int, claude: ExitWatch, signals: Signals) -> bool:
    session.claude_running(pid)
    session.start_parts()
    ending = UNKNOWN_EXIT
    while not claude.wait(signals.fd):
        if signals.read() & TOLD_TO_STOP:
            ending = STOPPED
            break
    session.release_port()
    session.unregister()
    session.finish(ending)
    return ending.has_ended


def _end_orphan(pid: int) -> None:
    """The front was killed: its Claude must not run on unseen. On a terminal the kernel has hung up on it already."""
    identity = process_identity(pid)
    if identity is None:
        return
    family = [*descendants(pid), identity]
    signal_all([identity], signal.SIGHUP)
    with ExitWatch(pid) as claude:
        claude.wait(timeout=ORPHAN_TIME)
    signal_all(family, signal.SIGKILL)


@contextmanager
def _log_file(config: Config, session: Session) -> Iterator[None]:
    def tell(sentence: str) -> None:
        session.warn(sentence, "log")

    with file_log(log_path(config.state_dir, session.info["port"]), config.limits, tell):
        try:
            yield
        except Exception:  # a defect of ours; Claude is not concerned
            log.exception("the monitor failed")
            raise
