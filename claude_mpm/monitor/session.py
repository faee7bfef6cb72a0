"""One monitored run: builds the parts, starts them in order, stops them in reverse.

Claude comes first. What the user waits for happens in the main thread (spawn, copy keys, exit code); everything
that watches and serves is started and stopped by the thread `monitor`, so that no disk, port or library can hold
up the session. A part that fails becomes one `system.error`, and the rest goes on.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event
from claude_mpm.feed.log import Log
from claude_mpm.launch.child import Exit
from claude_mpm.launch.command import Command
from claude_mpm.launch.version import Version
from claude_mpm.monitor.info import instance_info

if TYPE_CHECKING:
    from claude_mpm.screen.screen import Screen
    from claude_mpm.server.listener import Server
    from claude_mpm.server.session_view import Control
    from claude_mpm.sources.files.claude import ClaudeSources
    from claude_mpm.system.process_sampler import ProcessSampler

Reason = Literal["startup", "clear", "resume", "compact", "attach"]

log = logging.getLogger(__name__)

UNKNOWN = Exit(None, None)  # of a process that is not our child, or never ran
FINISH_TIME = 4.0  # seconds; to tell every client the end and take the parts down
DRAIN_TIME = 1.0  # seconds; reading what Claude wrote last, before the end is told


class Session:
    """What is watched of one run of Claude, and served. Methods are called in the main thread unless they say so.

    Args:
        config: what the user chose.
        command: what is, or was, started as Claude.
        sockets: listening, both loopback families; the session closes them.
        version: Claude's, where it is known.
        spool: the hooks' private directory; None when hooks are off.
        control: what clients with the right to may do to Claude.
    """

    def __init__(
        self,
        config: Config,
        command: Command,
        sockets: Sequence[socket.socket],
        *,
        version: Version | None = None,
        spool: Path | None = None,
        control: Control | None = None,
        has_output: bool = True,
        start_reason: Reason = "startup",
    ) -> None:
        self._config = config
        self._command = command
        self._sockets = sockets
        self._spool = spool
        self._control = control
        self._start_reason = start_reason
        self._started = time.monotonic()
        self._start_time = time.time()
        self._pid: int | None = None
        self._exit: tuple[Exit | None, str, float] | None = None
        self._server: Server | None = None
        self._sources: ClaudeSources | None = None
        self._sampler: ProcessSampler | None = None
        self._size: tuple[int, int] | None = None  # of Claude's terminal, where we are between
        self._screen: Screen | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._monitor, name="monitor", daemon=True)  # see finish()
        instance_id = str(uuid.uuid4())
        self.log = Log(instance_id, config.limits)
        self.info = instance_info(
            config,
            sockets[0].getsockname()[1],
            instance_id,
            command.cwd,
            self._start_time,
            has_output,
            ".".join(map(str, version)) if version else None,
        )

    # --- the life of Claude, told by whoever started it ---

    def claude_starting(self, hooks_trouble: str | None = None) -> None:
        """Claude is about to be launched; or, with the start reason `attach`, it runs already."""
        self.log.append(
            ev.session_start(
                self._command.session_id,
                self.info,
                self._config.launch_method,
                self._start_time,
                reason=self._start_reason,
            )
        )
        if self._start_reason != "attach":
            self.log.append(ev.claude_status("starting", source="process", message="Claude is about to be launched"))
        if hooks_trouble is not None:
            self._warn(hooks_trouble, "hooks")

    def claude_running(self, pid: int) -> None:
        """Claude has been launched; start watching and serving. Does not block."""
        self._pid = pid
        self.log.append(ev.claude_status("running", source="process", pid=pid))
        self._thread.start()

    def launch_failed(self, reason: str) -> None:
        """Claude could not be launched: whoever is connected or connects in this moment learns why."""
        self.log.append(ev.system_error(reason, "launch"))
        self._exit = (UNKNOWN, reason, time.time())
        self._thread.start()

    def finish(self, exit_status: Exit | None, reason: str) -> None:
        """Claude has ended, or (None) runs on and we leave it: tell every client, and take the parts down.

        Blocks up to FINISH_TIME.
        A part that does not come back by then is left behind in its thread: the process ends all the same.
        """
        if self._exit is None:
            self._exit = (exit_status, reason, time.time())
        self._ended.set()
        self._thread.join(FINISH_TIME)
        if self._thread.is_alive():
            log.warning("not everything ended in %g s", FINISH_TIME)

    def resized(self, rows: int, cols: int) -> None:
        """Claude's terminal has this size now. Any thread; a session that is told has a screen."""
        self._size = (rows, cols)
        if self._screen is not None:
            self._screen.resize(rows, cols)

    def stdout_line(self, line: bytes) -> None:
        """A line Claude printed in print mode. Any thread; does not block."""
        sources = self._sources
        if sources is not None:
            sources.stdout_line(line)

    # --- the thread `monitor` ---

    def _monitor(self) -> None:
        parts: list[tuple[str, Callable[[ExitStack], None]]] = [
            ("server", self._start_server),
            ("sampler", self._start_sampler),
            ("screen", self._start_screen),
            ("sources", self._start_sources),
            ("registry", self._start_registry),
        ]
        try:
            with ExitStack() as running:
                for name, start in parts:
                    try:
                        start(running)
                    except Exception as error:
                        log.exception("%s did not start", name)
                        self.log.append(ev.system_error(f"{name} did not start: {error}", name, severity="error"))
                self._ended.wait()
                self._last_words()
        except Exception:
            log.exception("the monitor did not end cleanly")

    def _start_server(self, running: ExitStack) -> None:
        from claude_mpm.server.listener import Server
        from claude_mpm.server.session_view import SessionView

        backend = SessionView(
            status=self.status,
            instances=self._instances,
            screen=lambda: self._screen.picture() if self._screen else None,
            demand=self._demand,
            control=self._control,
        )
        self._server = server = Server(self._sockets, self.log, self._config, backend)
        server.start()
        running.callback(server.join, 2.0)
        running.callback(server.stop)

    def _start_sampler(self, running: ExitStack) -> None:
        from claude_mpm.system.process_sampler import ProcessSampler

        self._sampler = sampler = ProcessSampler(lambda: self._pid)
        sampler.start(self._tick, self._config.limits.status_interval)  # stopped by _last_words()

    def _start_screen(self, running: ExitStack) -> None:
        from claude_mpm.screen.emulator import available
        from claude_mpm.screen.screen import Screen

        if self._size is None or not available():
            return
        screen = Screen(self.log, self._size)
        screen.start()
        running.callback(screen.join, 1.0)
        running.callback(screen.stop)
        self._screen = screen
        screen.resize(*self._size)  # told between the two lines above
        self.info["capabilities"].append("screen")

    def _start_sources(self, running: ExitStack) -> None:
        from claude_mpm.sources.files.claude import ClaudeSources
        from claude_mpm.sources.files.watcher import Watcher

        watcher = Watcher(lambda sentence: self._warn(sentence, "watcher"))
        self._sources = sources = ClaudeSources(
            watcher,
            self._command.config_dir,
            self._command.cwd,
            self._emit,
            self._spool,
            self._config.limits,
            new_session=self._new_session,
        )
        sources.start(self._command.session_id, self._pid, self._start_time)
        watcher.start()
        running.callback(watcher.join, 1.0)
        running.callback(watcher.stop)

    def _start_registry(self, running: ExitStack) -> None:
        from claude_mpm.system import instances, state_dir

        instances.register(self._config.state_dir, self.info, self._config.token)
        running.callback(instances.unregister, self._config.state_dir, self.log.instance_id)
        state_dir.prune(self._config.state_dir)

    def _last_words(self) -> None:
        """What Claude wrote last, then its end: nothing comes after `session.end`."""
        assert self._exit is not None
        exit_status, reason, end_time = self._exit
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler.join(1.0)
        if self._sources is not None:
            if exit_status is not None:
                self._sources.process_ended(exit_status.code, exit_status.signal)
            self._sources.drain(DRAIN_TIME)
        if exit_status is not None:
            self.log.append(self._final_status(exit_status, reason))
        self.log.append(
            ev.session_end(
                self.log.session_id,
                end_time,
                time.monotonic() - self._started,
                exit_code=exit_status.code if exit_status else None,
                signal=exit_status.signal if exit_status else None,
                reason=reason,
            )
        )

    def _final_status(self, exit_status: Exit, reason: str) -> Event:
        failed = self._pid is None or exit_status.signal is not None or exit_status.code not in (None, 0)
        return ev.claude_status(
            "error" if failed else "stopped",
            source="process",
            pid=self._pid,
            message=reason,
            exit_code=exit_status.code,
            signal=exit_status.signal,
        )

    # --- asked by the parts, any thread ---

    def status(self) -> dict[str, Any]:
        """The data of `system.status`."""
        data = self.log.snapshot() | {
            "websocket_port": self.info["port"],
            "instance_info": self.info,
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "connected_clients": self._server.client_count if self._server else 0,
            "launch_method": self._config.launch_method,
        }
        return data | (self._sampler.sample() if self._sampler else {})

    def _instances(self) -> list[dict[str, Any]]:
        from claude_mpm.system import instances

        return instances.live(self._config.state_dir)

    def _demand(self, types: frozenset[str]) -> None:
        if self._sampler is not None:
            self._sampler.set_active(ev.SYSTEM_STATUS in types)
        if self._screen is not None:
            self._screen.set_active(ev.CLAUDE_SCREEN in types)

    def _tick(self) -> None:
        self.log.append(ev.system_status(self.status()))

    def _emit(self, event: Event) -> None:
        self.log.append(event)

    def log_trouble(self, sentence: str) -> None:
        """The log file cannot be written."""
        self._warn(sentence, "log")

    def _new_session(self, session_id: str, reason: Reason, at: float) -> Event:
        """Claude moved on to another session in the same process."""
        return ev.session_start(session_id, self.info, self._config.launch_method, at, reason=reason, source="hook")

    def _warn(self, sentence: str, component: str) -> None:
        self.log.append(ev.system_error(sentence, component, severity="warning"))
