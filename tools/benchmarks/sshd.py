"""An sshd on loopback with keys of its own, which lets in whoever runs it: for measurements and tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 20.0  # seconds until it accepts
PRIVILEGE_SEPARATION = Path("/run/sshd")  # must be there if root runs sshd; the system's own start makes it
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
TOOLS = (SSHD, shutil.which("ssh"), shutil.which("ssh-keygen"))


class Sshd:
    """One sshd; start() and stop() it as often as needed, always on the same port.

    Args:
        directory: for its files, which nobody else writes.
        environment: what the sessions' shells get beside sshd's own.
        run_by: a command line that runs the one behind it, such as `nice`.

    Attributes:
        options: of ssh, with which it finds the host `there` and is let in.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], run_by: Sequence[str] = ()) -> None:
        self.directory = directory
        self.port = _free_port()
        self.options = ("-F", str(directory / "ssh_config"))
        self._run_by = run_by
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host_key", "user_key", "strange_key"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        (directory / "known_hosts").write_text(f"there {(directory / 'host_key.pub').read_text()}")
        settings = " ".join(f'"{name}={value}"' for name, value in environment.items())
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {directory}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {directory}/user_key.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSetEnv {settings}\n"
        )
        (directory / "ssh_config").write_text(
            f"Host *\nHostName 127.0.0.1\nPort {self.port}\nHostKeyAlias there\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"IdentityFile {directory}/user_key\nUserKnownHostsFile {directory}/known_hosts\nGlobalKnownHostsFile none\n"
        )

    def start(self) -> None:
        """Start it, and wait until it accepts. OSError, TimeoutError."""
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        with (self.directory / "sshd.log").open("ab") as log:
            argv = [*self._run_by, str(SSHD), "-D", "-e", "-f", str(self.directory / "sshd_config")]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise TimeoutError((self.directory / "sshd.log").read_text(errors="replace")[-500:]) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """End it together with the connections it serves. Does nothing if it does not run."""
        if self._process is None:
            return
        import psutil

        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self._process.pid).children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.Error):
                if process.name() == "sshd":
                    process.kill()
        self._process.terminate()
        self._process.wait()
        self._process = None


@contextmanager
def sshd(directory: Path, environment: Mapping[str, str], run_by: Sequence[str] = ()) -> Iterator[Sshd]:
    """A running sshd, stopped afterwards. LookupError where OpenSSH is not installed."""
    if None in TOOLS:
        raise LookupError("OpenSSH's ssh, sshd and ssh-keygen are not all installed")
    server = Sshd(directory, environment, run_by)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def program_in(directory: Path, checkout: Path) -> Path:
    """A `claude-mpm` on its own in a new directory below `directory`, for a PATH."""
    place = directory / "bin"
    place.mkdir()
    program = place / "claude-mpm"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{checkout}" exec "{sys.executable}" -m claude_mpm "$@"\n')
    program.chmod(0o755)
    return program


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
