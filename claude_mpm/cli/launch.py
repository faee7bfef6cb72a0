"""`claude-mpm [options] [-- CLAUDE ARGS...]`: start Claude, and a monitor beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from claude_mpm.cli.options import config_from
from claude_mpm.cli.startup import announce, bind_port, require_libraries
from claude_mpm.cli.terminal_lines import say
from claude_mpm.config import Config
from claude_mpm.launch import command as claude
from claude_mpm.launch.become import become
from claude_mpm.launch.command import Command

if TYPE_CHECKING:
    import socket


def run(args: Sequence[str]) -> int:
    """Start Claude as `args` say; returns the exit code. Does not return where this process becomes Claude."""
    config, is_demo = config_from(args, os.environ)
    with ExitStack() as undo:  # unwound by the monitor once there is one
        temporary = [_demo_world(undo)] if is_demo else []
        build = claude.build(config.claude, config.claude_args, os.environ) if not is_demo else None
        command = build or claude.demo(config.claude_args, os.environ)
        if not config.websocket:
            become(command)
        require_libraries()
        sockets = bind_port(config)
        for listening in sockets:
            undo.callback(listening.close)
        announce(config, sockets)
        if is_demo and not (os.isatty(0) and os.isatty(1)):
            say("no terminal here, so the demo prints plain lines")
        return _watched(config, command, sockets, temporary, undo)


def _watched(
    config: Config, command: Command, sockets: Sequence[socket.socket], temporary: list[Path], undo: ExitStack
) -> int:
    from claude_mpm.launch.front import on_terminal, run_child
    from claude_mpm.launch.monitor_process import fork_monitor
    from claude_mpm.launch.terminal import get_winsize, rows_and_cols
    from claude_mpm.system.signals import Signals

    command, spool, trouble = _with_hooks(config, command, undo)
    is_child = config.launch_method == "subprocess"
    size = rows_and_cols(get_winsize(1)) if is_child and on_terminal(command) else None
    front_pid = os.getpid()

    def watch(control_fd: int, data_fd: int | None) -> None:
        """In the monitor's process. What is loaded here is never loaded in the front."""
        from claude_mpm.monitor import entry
        from claude_mpm.monitor.run_info import RunInfo

        run = RunInfo(
            config_dir=command.config_dir,
            cwd=command.cwd,
            session_id=command.session_id,
            version=command.version,
            print_mode=command.print_mode,
            has_output=is_child,
            terminal_size=size,
            spool=spool,
            temporary=(*temporary, *(() if spool is None else (spool,))),
            troubles=() if trouble is None else (("hooks", trouble),),
        )
        if data_fd is None:
            entry.beside_exec(config, run, sockets, front_pid, control_fd)
        else:
            entry.beside_child(config, run, sockets, front_pid, control_fd, data_fd)

    signals = Signals()
    listening = [sock.fileno() for sock in sockets]
    channel = fork_monitor(watch, listening, with_output=is_child, wake=signals.wake)
    undo.pop_all()
    for sock in sockets:
        sock.close()
    if not is_child:
        become(command, channel)
    return run_child(command, config.limits, channel, signals, say).shell_code


def _with_hooks(config: Config, command: Command, undo: ExitStack) -> tuple[Command, Path | None, str | None]:
    """The command with our hooks, their spool, and why there are none: the session goes on without them."""
    if not config.hooks or not command.is_session:
        return command, None, None
    if not claude.takes_settings(command.version):
        number = ".".join(map(str, command.version or ()))
        return command, None, f"Claude runs without our hooks: version {number} does not know --settings"
    from claude_mpm.launch.hook_settings import hook_settings
    from claude_mpm.system.state_dir import make_spool

    try:
        spool = make_spool(config.state_dir)
        undo.callback(shutil.rmtree, spool, ignore_errors=True)
        hooks = hook_settings(spool, command.version)
        return claude.with_settings(command, hooks, spool / "settings.json"), spool, None
    except (OSError, ValueError) as error:
        return command, None, f"Claude runs without our hooks: {error}"


def _demo_world(undo: ExitStack) -> Path:
    """A temporary directory with a project and a Claude configuration; nothing outside it is touched."""
    import tempfile

    undo.callback(os.chdir, Path.cwd())
    directory = Path(tempfile.mkdtemp(prefix="claude-mpm-demo-"))
    undo.callback(shutil.rmtree, directory, ignore_errors=True)
    project = directory / "demo-project"
    project.mkdir()
    os.environ["CLAUDE_CONFIG_DIR"] = str(directory / "claude")
    os.chdir(project)
    return directory
