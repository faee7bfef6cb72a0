"""`claude-mpm [options] [-- CLAUDE ARGS...]`: start Claude, and a monitor beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from claude_mpm.cli.options import config_from
from claude_mpm.cli.startup import announce, bind_port, hide_password, page_url, require_home, require_libraries
from claude_mpm.cli.terminal_lines import say
from claude_mpm.config import Config
from claude_mpm.errors import UsageError
from claude_mpm.launch.become import become
from claude_mpm.launch.command import command_line as claude
from claude_mpm.launch.command.command_line import Command

if TYPE_CHECKING:
    import socket

NO_HOOKS = "Claude runs without our hooks"


def run(args: Sequence[str]) -> int:
    """Start Claude as `args` say and return the exit code. Does not return when this process becomes Claude.

    Raises:
        ClaudeMpmError: nothing was started; its subclasses say why.
        SystemExit: argparse has printed help, the version or a complaint.
    """
    config, is_demo = config_from(args, os.environ)
    with ExitStack() as undo:  # unwound by the monitor once there is one
        temporary = [_demo_world(undo)] if is_demo else []
        command = claude.demo(config.claude_args, os.environ) if is_demo else _claude_command(config)
        if not config.websocket:
            become(command)
        hide_password(config.publish)
        require_home()
        require_libraries()
        sockets = bind_port(config)
        for listening in sockets:
            undo.callback(listening.close)
        announce(config, sockets)
        if is_demo:
            command = command._replace(env={**command.env, "CLAUDE_MPM_DEMO_URL": page_url(config, sockets)})
            if not (os.isatty(0) and os.isatty(1)):
                say("there is no terminal here, so the demo prints plain lines")
        return _watched(config, command, sockets, temporary, undo)


def _claude_command(config: Config) -> Command:
    """The real Claude's command. --name is an option of Claude's own, too, so a session that knows it gets it as well."""
    command = claude.build(config.claude, config.claude_args, os.environ)
    if config.claude_name is None or not command.is_session or not claude.takes_name(command.version):
        return command
    return command._replace(argv=(command.argv[0], "--name", config.claude_name, *command.argv[1:]))


def _watched(
    config: Config, command: Command, sockets: Sequence[socket.socket], temporary: list[Path], undo: ExitStack
) -> int:
    from claude_mpm.launch.child.terminal import get_winsize, rows_and_cols
    from claude_mpm.launch.front import on_terminal, run_child
    from claude_mpm.launch.monitor_process import fork_monitor
    from claude_mpm.system.signals import Signals

    unanswerable = _unanswerable(config, command)
    command, spool, trouble = _with_hooks(config, command, unanswerable is None, undo)
    is_child = config.launch_method == "subprocess"
    size = rows_and_cols(get_winsize(1)) if is_child and on_terminal(command) else None
    front_pid = os.getpid()

    def watch(control_fd: int, data_fd: int | None) -> None:
        """Run the monitor, in its own process: what is imported here is never imported by the front."""
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
            unanswerable=unanswerable if spool else unanswerable or trouble or NO_HOOKS,
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


def _unanswerable(config: Config, command: Command) -> str | None:
    """Why clients cannot answer Claude's dialogs; None: they can, if Claude gets our hooks."""
    if not config.control:
        return "claude-mpm was started without --websocket-control"
    from claude_mpm.launch.command.hook_settings import unanswerable

    return unanswerable(command.version, command.print_mode)


def _with_hooks(
    config: Config, command: Command, answers: bool, undo: ExitStack
) -> tuple[Command, Path | None, str | None]:
    """Add our hooks to the command.

    Returns:
        The command, the hooks' spool directory, and, where the session must do without hooks, the reason for it.
    """
    if not config.hooks or not command.is_session:
        return command, None, None
    if not claude.takes_settings(command.version):
        number = ".".join(map(str, command.version or ()))
        return command, None, f"Claude runs without our hooks: version {number} has no --settings"
    from claude_mpm.launch.command.hook_settings import hook_settings
    from claude_mpm.system.state_dir import make_spool

    try:
        spool = make_spool(config.state_dir)
        undo.callback(shutil.rmtree, spool, ignore_errors=True)
        hooks = hook_settings(spool, command.version, answers=answers)
        return claude.with_settings(command, hooks, spool / "settings.json"), spool, None
    except (OSError, ValueError) as error:
        return command, None, f"Claude runs without our hooks: {error}"


def _demo_world(undo: ExitStack) -> Path:
    """Make the demo's project and Claude configuration in a temporary directory and change to the project.

    The demo touches nothing outside this directory. `undo` removes it and changes back.

    Raises:
        UsageError: there is no place for temporary files, or the current directory has been deleted.
    """
    import tempfile

    try:
        undo.callback(os.chdir, Path.cwd())
    except FileNotFoundError:
        raise UsageError("the current directory no longer exists; change to another first") from None
    try:
        directory = Path(tempfile.mkdtemp(prefix="claude-mpm-demo-"))
    except OSError as error:
        raise UsageError(f"cannot make a temporary directory for the demo: {error.strerror}") from None
    undo.callback(shutil.rmtree, directory, ignore_errors=True)
    project = directory / "demo-project"
    project.mkdir()
    os.environ["CLAUDE_CONFIG_DIR"] = str(directory / "claude")
    os.chdir(project)
    return directory
