"""One monitored run: builds the parts, starts them in order, stops them in reverse.

A part that fails becomes one `system.error`, and the rest goes on.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from claude_mpm.archive.past import Past
from claude_mpm.archive.recorder import Recorder, recording_path
from claude_mpm.config import Config
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.monitor.answering import Answering
from claude_mpm.monitor.answers.prompts import Keyboard
from claude_mpm.monitor.audience import Audience
from claude_mpm.monitor.outlets import start_notifier, start_publishing
from claude_mpm.monitor.run_info import Ending, RunInfo, StartReason
from claude_mpm.screen import emulator
from claude_mpm.screen.screen import Screen
from claude_mpm.server.commands.session_view import Control, SessionView
from claude_mpm.server.listener import Server
from claude_mpm.sources.files.claude import ClaudeSources
from claude_mpm.sources.files.watcher import Watcher
from claude_mpm.system import instances, state_dir
from claude_mpm.system.process_sampler import ProcessSampler

log = logging.getLogger(__name__)

DRAIN_TIME = 1.0  # seconds; for reading what Claude wrote last, before the end is told
SERVER_TIME = 2.0  # seconds; for clients to take their last events
RECORD_TIME = 5.0  # seconds; for the recorder to write what the log still holds
PART_TIME = 1.0  # seconds; for any other part to end


class Session:
    """What is watched of one run of Claude, and served. Main thread only, unless a method says otherwise.

    The order of calls: start_server(), then claude_running() or nothing, start_parts(), and at the end finish().

    Args:
        config: what the user chose.
        run: what is known of the run.
        info: `instance_info` of the protocol.
        sockets: listening, of both loopback families; the session closes them.
        control: what clients with the right to may do to Claude.
        keyboard: by which their prompts are entered.
        notice: shows the user one sentence.
    """

    def __init__(
        self,
        config: Config,
        run: RunInfo,
        info: Mapping[str, Any],
        sockets: Sequence[socket.socket],
        *,
        start_reason: StartReason = "startup",
        control: Control | None = None,
        keyboard: Keyboard | None = None,
        notice: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.info = info
        self.log = Log(info["instance_id"], config.limits, machine=info.get("hostname", ""))
        self._config = config
        self._run = run
        self._sockets = sockets
        self._start_reason = start_reason
        self._control = control
        self._notice = notice
        self._started = time.monotonic()
        self._start_time = time.time()
        self._pid: int | None = None  # Claude's
        self._server: Server | None = None
        self._sources: ClaudeSources | None = None
        self._sampler: ProcessSampler | None = None
        self._screen: Screen | None = None
        self._watcher: Watcher | None = None
        self._answering = Answering(config, run, self.log, keyboard, self._is_attended, self._later)
        self._recorder: Recorder | None = None
        self._audience = Audience(self._activate)
        self._parts = ExitStack()  # stops what runs, in reverse

    # --- the beginning ---

    def start_server(self) -> None:
        """Tell the log that Claude is about to be launched, or runs already, and let clients connect."""
        self.log.append(
            ev.session_start(
                self._run.session_id, self.info, self._config.launch_method, self._start_time, reason=self._start_reason
            )
        )
        if self._start_reason != "attach":
            self.log.append(
                ev.claude_status("starting", origin=Origin("process"), message="Claude is about to be launched")
            )
        for component, sentence in self._run.troubles:
            self.warn(sentence, component)
        if self._config.record:
            self._start_part("recorder", self._start_recorder)
        if self._config.notify_url:
            self._start_part("notifier", lambda: start_notifier(self._config, self.log, self.info, self._parts))
        self._start_part("server", self._start_server)
        if self._config.publish is not None:
            self._start_part("publisher", self._start_publishing)

    def claude_running(self, pid: int, at: float | None = None) -> None:
        """Claude runs. `at`: since when, in seconds since the epoch; None for now."""
        self._pid = pid
        self.log.append(ev.claude_status("running", origin=Origin("process", at), pid=pid))

    def start_parts(self) -> None:
        """Start what watches Claude, which runs by now."""
        self._start_part("sampler", self._start_sampler)
        self._start_part("screen", self._start_screen)
        self._start_part("sources", self._start_sources)
        self._start_part("answers", self._start_answering)
        self._audience.tell()  # somebody may have looked before the screen was there
        self._start_part("state directory", lambda: state_dir.prune(self._config.state_dir))

    def _start_part(self, name: str, start: Callable[[], None]) -> None:
        try:
            start()
        except Exception as error:
            log.exception("%s did not start", name)
            self.log.append(ev.system_error(f"{name} did not start: {error}", name, severity="error"))
            self._notice(f"{name} did not start: {error}")

    def _start_recorder(self) -> None:
        """The first part to start is the last to stop, so that a recording has everything the others say."""
        name = self._run.session_id or self.log.instance_id
        path = recording_path(self._config.recordings_dir, self._start_time, name)
        recorder = Recorder(self.log, path, self._run.terminal_size)
        recorder.start()
        self._recorder = recorder
        self._notice(f"this session is recorded in {path}")
        self._parts.callback(recorder.join, RECORD_TIME)
        self._parts.callback(recorder.stop)

    def _start_server(self) -> None:
        past = Past(self._run.config_dir, self._config.recordings_dir, self._watched_session)
        self._parts.callback(past.close)
        view = SessionView(
            status=self.status,
            instances=lambda: instances.live(self._config.state_dir),
            screen=lambda: self._screen.picture() if self._screen else None,
            demand=lambda selection: self._audience.of_clients(selection.types),
            control=self._control,
            past=past,
            answers=self._answering.desk,
            prompts=self._answering.prompts,
        )
        self._server = server = Server(self._sockets, self.log, self._config, view)
        server.start()
        self._parts.callback(server.join, SERVER_TIME)
        self._parts.callback(server.stop)

    def _start_publishing(self) -> None:
        """Stopped before the server, which executes the commands that hubs send."""
        start_publishing(self._config, self.log, self.info, self.status, self._audience.of_hubs, self._parts)

    def _start_sampler(self) -> None:
        self._sampler = sampler = ProcessSampler(lambda: self._pid)
        sampler.start(self._tick, self._config.limits.status_interval)  # stopped by finish()

    def _start_screen(self) -> None:
        if self._run.terminal_size is None or not emulator.available():
            return
        self._screen = screen = Screen(self.log, self._run.terminal_size)
        screen.start()
        self._parts.callback(screen.join, PART_TIME)
        self._parts.callback(screen.stop)

    def _start_sources(self) -> None:
        self._watcher = watcher = Watcher(lambda sentence: self.warn(sentence, "watcher"))
        self._sources = sources = ClaudeSources(
            watcher,
            self._run.config_dir,
            self._run.cwd,
            self._emit,
            self._run.spool,
            self._config.limits,
            new_session=self._new_session,
            unanswerable=self._run.unanswerable,
            has_answer_hook=self._run.unanswerable is None,
        )
        sources.start(self._run.session_id, self._pid, self._start_time)
        watcher.start()
        self._parts.callback(watcher.join, PART_TIME)
        self._parts.callback(watcher.stop)

    def _start_answering(self) -> None:
        if self._sources is not None:
            self._parts.callback(self._answering.join, PART_TIME)
            self._parts.callback(self._answering.stop)
            self._answering.start(self._sources.questions)

    # --- told by the output reader, in its thread ---

    def resized(self, rows: int, cols: int) -> None:
        """Claude's terminal has this size from the next output on."""
        if self._recorder is not None:
            self._recorder.resized(rows, cols)
        if self._screen is not None:
            self._screen.resize(rows, cols)

    def stdout_line(self, line: bytes) -> None:
        """A line Claude printed in print mode. Does not block."""
        if self._sources is not None:
            self._sources.stdout_line(line)

    # --- the end ---

    def release_port(self) -> None:
        """Let no more clients connect, so that the port is free for the next run. Those connected stay."""
        if self._server is not None:
            self._server.close_listeners()

    def unregister(self) -> None:
        """Nobody can connect any more: others should not find this instance. Idempotent; blocks on the disk."""
        instances.unregister(self._config.state_dir, self.info["instance_id"])

    def finish(self, ending: Ending) -> None:
        """Tell every client what Claude wrote last and how it ended, and take the parts down. Call it once.

        Blocks for DRAIN_TIME + SERVER_TIME + RECORD_TIME, what the outlets take, and a few times PART_TIME at most;
        usually for a few milliseconds.
        """
        if ending.failed_to_start:
            self.log.append(ev.system_error(ending.reason, "launch"))
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler.join(PART_TIME)
        if self._sources is not None:
            if ending.has_ended:
                self._sources.process_ended(ending.code, ending.signal)
            self._sources.drain(DRAIN_TIME)
        if ending.has_ended:
            self.log.append(ending.status(self._pid))
        self.log.append(
            ev.session_end(
                self.log.session_id,
                ending.time or time.time(),
                time.monotonic() - self._started,
                exit_code=ending.code,
                signal=ending.signal,
                reason=ending.reason,
            )
        )
        self._parts.close()

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

    def _watched_session(self) -> dict[str, str]:
        return {self.log.session_id: self.log.instance_id} if self.log.session_id else {}

    def warn(self, sentence: str, component: str) -> None:
        """Tell the clients that something of ours is impaired. Any thread."""
        self.log.append(ev.system_error(sentence, component, severity="warning"))

    def _activate(self, types: frozenset[str]) -> None:
        if self._sampler is not None:
            self._sampler.set_active(ev.SYSTEM_STATUS in types)
        if self._screen is not None:
            self._screen.set_active(ev.CLAUDE_SCREEN in types)

    def _tick(self) -> None:
        self.log.append(ev.system_status(self.status()))

    def _emit(self, event: Event) -> None:
        self.log.append(event)
        self._answering.note(event)

    def _later(self, seconds: float, work: Callable[[], None]) -> bool:
        return self._watcher is not None and self._watcher.post_after(seconds, work)

    def _is_attended(self) -> bool:
        return self._server is not None and self._server.is_attended()

    def _new_session(self, session_id: str, reason: StartReason, at: float) -> Event:
        """Claude moved on to another session in the same process."""
        return ev.session_start(session_id, self.info, self._config.launch_method, at, reason=reason, source="hook")
