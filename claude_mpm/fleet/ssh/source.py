"""The instances of another machine, as a source: a bridge over there, started with ssh, and its frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from claude_mpm.errors import ServerUnavailable
from claude_mpm.feed import event as ev
from claude_mpm.fleet.frames import event_frame
from claude_mpm.fleet.source import Frame
from claude_mpm.fleet.ssh import trouble as ssh_trouble
from claude_mpm.fleet.ssh.bridge import HELLO, PROTOCOL
from claude_mpm.fleet.ssh.child import SshChild
from claude_mpm.fleet.ssh.lines import LineSplitter, TooLong, decode, encode
from claude_mpm.fleet.ssh.outbox import Outbox
from claude_mpm.fleet.ssh.target import ssh_target
from claude_mpm.fleet.ssh.trouble import Trouble
from claude_mpm.system.backoff import Backoff

RETRY_FIRST, RETRY_MOST = 1.0, 60.0  # seconds between attempts to connect: doubled each time, up to the second
STABLE = 60.0  # seconds after which a connection was a good one, so that the pauses begin anew
HELLO_TIME = 30.0  # seconds; ssh itself gives up connecting after 10
GREETING_BYTES = 64 * 1024  # of what a shell may print before that line
START = b'{"type":"' + HELLO.encode() + b'"'  # it may follow a greeting that does not end its line

log = logging.getLogger(__name__)


class _Failed(Exception):
    """The connection is of no use; `trouble` is for the user."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.sentence)
        self.trouble = trouble


class SshSource:
    """The instances of one user on another machine, see Source.

    Args:
        url: see ssh_target(), which raises UsageError.
        ssh: the client's executable.
        options: further options of its command line.
        retry_first: seconds before the second attempt.
        hello_time: seconds from the start of ssh to the bridge's first line.
    """

    def __init__(
        self,
        url: str,
        *,
        ssh: str = "ssh",
        options: Sequence[str] = (),
        retry_first: float = RETRY_FIRST,
        hello_time: float = HELLO_TIME,
    ) -> None:
        self._target = ssh_target(url)
        self.name = self._target.name
        self._argv = self._target.argv(ssh, options)
        self._retry_first, self._hello_time = retry_first, hello_time
        self._deliver: Callable[[Frame], None] = lambda frame: None
        self._seqs: dict[str, int] = {}  # of each listed instance: the newest event delivered, 0 before the first
        self._told: Trouble | None = None
        self._outbox: Outbox | None = None
        self._lock = threading.Lock()  # guards the next four, and that nothing is put into the outbox before `follow`
        self._is_connected = False
        self._wanted: Mapping[str, frozenset[str]] = {}
        self._attended = False
        self._want_due = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ssh-{self._target.host}")

    def start(self, deliver: Callable[[Frame], None]) -> None:
        self._deliver = deliver
        self._outbox = Outbox()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._outbox is not None:
            self._outbox.wake()

    def join(self, timeout: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def send(self, message: Mapping[str, Any], trusted: bool) -> None:
        line = encode({**message, "trusted": trusted})
        with self._lock:
            if not self._is_connected or self._outbox is None:
                raise ServerUnavailable(f"{self._target.host} cannot be reached at the moment")
            if message.get("instance_id") not in self._seqs:
                raise ServerUnavailable(f"there is no such session on {self._target.host}")
            if not self._outbox.put(line):
                raise ServerUnavailable(f"{self._target.host} takes no commands at the moment")

    def want(self, wanted: Mapping[str, frozenset[str]], attended: bool = False) -> None:
        with self._lock:
            self._wanted, self._attended, self._want_due = dict(wanted), attended, True
        if self._outbox is not None:
            self._outbox.wake()

    # --- the source's thread ---

    def _run(self) -> None:
        assert self._outbox is not None
        backoff = Backoff(self._retry_first, RETRY_MOST)
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                trouble = self._connect(self._outbox)
                if self._stopping.is_set():
                    return
                self._tell(trouble)
                if time.monotonic() - started > STABLE:
                    backoff.reset()
                self._stopping.wait(backoff.next())
        except Exception as error:  # the top of a thread
            log.exception("%s failed", self.name)
            sentence = f"{self.name} is not watched any more: {type(error).__name__}: {error}"
            self._tell(Trouble(sentence, "restart claude-mpm hub, and please report it"))
        finally:
            self._outbox.close()

    def _tell(self, trouble: Trouble) -> None:
        if trouble != self._told:
            self._told = trouble
            self._deliver(event_frame(ev.system_error(trouble.sentence, "ssh", hint=trouble.hint)))

    def _connect(self, outbox: Outbox) -> Trouble:
        """Run ssh once, to its end. Returns why it ended."""
        try:
            child = SshChild(self._argv)
        except OSError as error:
            return ssh_trouble.no_ssh(error)
        failed, was_connected, code = None, False, 0
        try:
            self._converse(child, outbox)
        except _Failed as error:
            failed = error.trouble
        finally:
            with self._lock:
                was_connected, self._is_connected = self._is_connected, False
                outbox.clear()
            code = child.end()
        return failed or ssh_trouble.diagnose(self._target, code, child.errors, was_connected)

    def _converse(self, child: SshChild, outbox: Outbox) -> None:
        """Pass lines both ways until the bridge's end of them, or ours. _Failed."""
        deadline, greeting, splitter = time.monotonic() + self._hello_time, 0, LineSplitter()
        while not self._stopping.is_set():
            self._put_wanted(outbox)
            data = child.exchange(outbox, None if self._is_connected else deadline - time.monotonic())
            if data is None:
                return
            try:
                for line in splitter.feed(data):
                    self._take(line, outbox)
            except TooLong:
                raise _Failed(ssh_trouble.not_a_bridge(self._target)) from None
            if not self._is_connected:
                greeting += len(data)
                if greeting > GREETING_BYTES:
                    raise _Failed(ssh_trouble.not_a_bridge(self._target))
                if time.monotonic() >= deadline:
                    raise _Failed(ssh_trouble.no_hello(self._target, self._hello_time))

    def _put_wanted(self, outbox: Outbox) -> None:
        """Say what is wanted, if that has changed; only the newest, and only when nothing else waits."""
        with self._lock:
            if self._want_due and self._is_connected and outbox.is_empty:
                self._want_due = False
                outbox.put(encode({"command": "want", **self._wish()}))

    def _wish(self) -> dict[str, Any]:
        """What want() said, for the bridge."""
        wanted = {name: sorted(kinds) for name, kinds in self._wanted.items() if kinds}
        return {"wanted": wanted, "attended": self._attended}

    # --- what the bridge says, in the source's thread ---

    def _take(self, line: bytes, outbox: Outbox) -> None:
        if not self._is_connected:
            at = line.find(START)
            if at >= 0 and (hello := decode(line[at:])) is not None:
                self._greet(hello, outbox)
            return  # a shell's greeting is passed over
        message = decode(line)
        if message is None or not isinstance(message.get("type"), str) or not isinstance(message.get("data"), dict):
            raise _Failed(ssh_trouble.not_a_bridge(self._target))
        if message["type"] == "instances" and "request_id" not in message:
            self._list(message)
        elif "request_id" in message or (message["type"] == ev.SYSTEM_ERROR and "instance_id" not in message):
            self._deliver(message)
        elif message.get("instance_id") in self._seqs:  # a machine speaks for its own instances only
            self._pass_on(message)

    def _greet(self, hello: Frame, outbox: Outbox) -> None:
        """Answer the bridge's first line: where to go on."""
        data = hello.get("data")
        if not isinstance(data, dict) or data.get("protocol") != PROTOCOL:
            raise _Failed(ssh_trouble.other_protocol(self._target))
        since = {name: seq for name, seq in self._seqs.items() if seq}
        with self._lock:
            follow = {"command": "follow", "since": since, **self._wish()}
            outbox.put(encode(follow))
            self._is_connected, self._want_due = True, False

    def _list(self, message: Frame) -> None:
        """The instances there are now; the others have gone. That the list came says that all is well again."""
        infos = message["data"].get("instances")
        names = [info.get("instance_id") for info in infos if isinstance(info, dict)] if isinstance(infos, list) else []
        self._seqs = {name: self._seqs.get(name, 0) for name in names if isinstance(name, str)}
        self._told = None
        self._deliver(message)

    def _pass_on(self, message: Frame) -> None:
        seq, name = message.get("seq"), message["instance_id"]
        if isinstance(seq, int):
            if seq <= self._seqs[name]:
                return
            self._seqs[name] = seq
        self._deliver(message)
