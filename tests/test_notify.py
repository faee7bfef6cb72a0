"""`--notify-url` against real receivers: one that works, fails for a while, hangs, redirects, or is not there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hub import FakeSource, instance, serving_hub
from program import registered, run, script
from support import ROOT, TIMEOUT, wait_until

from claude_mpm.config import Config
from claude_mpm.errors import UsageError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Event, Origin
from claude_mpm.feed.log import Log
from claude_mpm.fleet.notify import notifier as notify
from claude_mpm.fleet.notify.notifier import Notifier
from claude_mpm.system.post_target import Target

Json = dict[str, Any]
SECRET = "se-cr3t"
NEW_CERTIFICATE = [
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
]  # fmt: skip
WAITING = ev.claude_status(
    "running", origin=Origin("hook"), activity="waiting", waiting_for={"kind": "permission", "tool": "Bash"}
)
WORKING = ev.claude_status("running", origin=Origin("hook"), activity="working")


def ended(code: int = 0) -> Event:
    return ev.session_end("s-1", time.time(), 5.0, exit_code=code, signal=None, reason="Claude ended")


class Receiver:
    """An HTTP server that keeps what is posted. `statuses` are its answers, the last one for all further requests."""

    def __init__(self, statuses: Sequence[int], tls: ssl.SSLContext | None = None) -> None:
        self.bodies: list[Json] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.proceed = threading.Event()  # cleared: requests hang
        self.proceed.set()
        self.asked = threading.Event()
        waiting, receiver = list(statuses), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.requests.append((self.path, dict(self.headers)))
                receiver.asked.set()
                receiver.proceed.wait(TIMEOUT)
                status = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                if status < 300:
                    receiver.bodies.append(body)
                try:
                    self.send_response(status)
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._server.daemon_threads = False

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.proceed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(TIMEOUT)

    @property
    def url(self) -> str:
        return f"http://user:{SECRET}@127.0.0.1:{self.port}/{SECRET}?key={SECRET}"

    @property
    def events(self) -> list[str]:
        return [body["event"] for body in self.bodies]


@contextmanager
def notifying(log: Log, url: str, **options: Any) -> Iterator[Notifier]:
    """A notifier without patience; it has ended when the block is left."""
    options = {"settle": 0.0, "first_pause": 0.01, **options}
    notifier = Notifier(log, url, lambda instance_id: {"name": instance_id}, **options)
    notifier.start()
    try:
        yield notifier
    finally:
        notifier.stop()
        assert notifier.join(TIMEOUT)


def errors(log: Log) -> list[str]:
    """What clients were told; never anything of the URL but scheme and host."""
    found = [entry.message()["data"] for entry in log.read(0, ["system.error"], 1000)]
    assert all((data["component"], data["severity"]) == ("notifier", "warning") for data in found)
    assert SECRET not in json.dumps(found)
    return [data["error"] for data in found]


def test_a_question_and_the_end_are_posted_as_json() -> None:
    log = Log("i-1")
    with Receiver([204]) as receiver, notifying(log, receiver.url):
        log.append(WAITING)
        wait_until(lambda: receiver.bodies, "the question")
        log.append(WORKING)
        log.append(ended(3))
        wait_until(lambda: len(receiver.bodies) == 2, "the end")
    assert receiver.events == ["needs_you", "ended"] and errors(log) == []
    assert receiver.bodies[0]["text"] == "i-1: needs you: permission (Bash)"
    path, headers = receiver.requests[0]
    assert path == f"/{SECRET}?key={SECRET}"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic dXNlcjpzZS1jcjN0"


def test_it_is_tried_again_until_it_is_taken_and_said_once_each_time_it_stops_working() -> None:
    log = Log("i-1")
    with Receiver([500, 503, 429, 200, 500, 200]) as receiver, notifying(log, receiver.url):
        log.append(WAITING)
        wait_until(lambda: receiver.events == ["needs_you"], "the question")
        assert errors(log) == ["A notification could not be delivered to http://127.0.0.1: it answered with HTTP 500"]
        log.append(ended())
        wait_until(lambda: receiver.events == ["needs_you", "ended"], "the end")
    assert len(errors(log)) == 2


def test_a_question_that_was_answered_while_the_receiver_was_gone_is_not_posted() -> None:
    log = Log("i-1")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with notifying(log, f"http://127.0.0.1:{bound.getsockname()[1]}/{SECRET}") as notifier:
            log.append(WAITING)
            wait_until(lambda: errors(log), "the failure")
            log.append(WORKING)
            wait_until(lambda: not notifier._queue, "the queue to be empty")
    assert errors(log) == ["A notification could not be delivered to http://127.0.0.1: connection refused"]


@pytest.mark.parametrize("status", [301, 307, 404, 401])
def test_a_redirect_is_not_followed_and_what_would_fail_again_is_not_repeated(status: int) -> None:
    log = Log("i-1")
    with Receiver([status, 200]) as receiver, notifying(log, receiver.url):
        log.append(WAITING)
        wait_until(lambda: errors(log), "the failure")
        log.append(ended())
        wait_until(lambda: receiver.bodies, "the end")
    assert receiver.events == ["ended"] and len(receiver.requests) == 2
    assert f"HTTP {status}" in errors(log)[0]


def test_tries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "TRIES", 3)
    log = Log("i-1")
    with Receiver([500, 500, 500, 200]) as receiver, notifying(log, receiver.url):
        log.append(WAITING)
        wait_until(lambda: len(receiver.requests) == 3, "the third try")
        log.append(ended())
        wait_until(lambda: receiver.bodies, "the end")
    assert receiver.events == ["ended"] and len(errors(log)) == 1


def test_a_flood_keeps_the_newest_and_says_once_that_some_are_dropped() -> None:
    log = Log("i-1")
    with Receiver([200]) as receiver, notifying(log, receiver.url):
        receiver.proceed.clear()
        log.append(ended(0))
        assert receiver.asked.wait(TIMEOUT)
        for code in range(1, 301):
            log.append(ended(code))
        receiver.proceed.set()
        wait_until(lambda: receiver.bodies and receiver.bodies[-1]["exit_code"] == 300, "the newest")
    codes = [body["exit_code"] for body in receiver.bodies]
    assert codes == [0, *range(301 - notify.MAX_QUEUED, 301)]
    assert [error.partition(":")[0] for error in errors(log)] == ["Notifications to http"]


def test_the_end_is_posted_although_the_notifier_is_stopped_at_once() -> None:
    log = Log("i-1")
    with Receiver([500, 200]) as receiver:
        with notifying(log, receiver.url, first_pause=60.0):
            log.append(WAITING)
            wait_until(lambda: errors(log), "the failure")
            log.append(ended(7))
        assert receiver.events == ["ended"] and receiver.bodies[0]["exit_code"] == 7


@pytest.mark.parametrize(
    ("scheme", "first"),
    [("http", b""), ("http", b"HTTP/1.1 "), ("http", b"x" * 5000), ("http", b"220 smtp\r\n"), ("https", b"")],
)
def test_a_receiver_that_hangs_or_speaks_otherwise_delays_no_end(scheme: str, first: bytes) -> None:
    log = Log("i-1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
        notifier = Notifier(log, url, lambda instance_id: {}, settle=0.0)
        notifier.start()
        log.append(WAITING)
        sock, _ = listener.accept()
        with sock:
            sock.sendall(first)
            log.append(ended())
            notifier.stop()
            assert notifier.join(0.1), "the notifier hangs"
    assert len(errors(log)) == 1


def test_a_notifier_that_was_never_started_can_be_stopped() -> None:
    notifier = Notifier(Log("i"), "http://127.0.0.1:9/", lambda instance_id: {})
    notifier.stop()
    assert notifier.join(0.0)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [*NEW_CERTIFICATE, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=TIMEOUT,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    log = Log("i-1")
    with Receiver([200], tls) as receiver, notifying(log, f"https://localhost:{receiver.port}/{SECRET}"):
        log.append(ended())
        wait_until(lambda: errors(log), "the refusal")
    assert receiver.bodies == [] and "certificate is not valid" in errors(log)[0]


# --- the option ------------------------------------------------------------------------------------


def test_a_target_is_what_the_url_says() -> None:
    targets = [Target(url) for url in ("http://h", "https://[::1]/a?b=c#d", "http://a:b@h:81/x%20y")]
    assert [(t.where, t.host, t.port, t.path) for t in targets] == [
        ("http://h", "h", 80, "/"),
        ("https://[::1]", "::1", 443, "/a?b=c"),
        ("http://h", "h", 81, "/x%20y"),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://h/s3c s", "http://h/s3c\u00e9", f"http://{'a' * 70}/s3c", "ftp://h/s3c", "s3c", "http://", "http:///s3c",
        "http://h:99999/s3c", "http://h:x/s3c", "http://[s3c", "file:///s3c", "",
    ],
)  # fmt: skip
def test_what_is_no_url_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as failure:
        Target(url)
    assert "s3c" not in str(failure.value)


def test_the_program_says_in_one_line_which_of_its_two_urls_is_wrong(home: Path, tmp_path: Path) -> None:
    start = ["--websocket", "--claude", str(script(tmp_path, "true"))]
    given = run(*start, "--notify-url", "ftp://h/s3c", home=home, cwd=tmp_path)
    named = run(*start, home=home, cwd=tmp_path, CLAUDE_MPM_NOTIFY_URL="ftp://h/s3c")
    for done, name in ((given, b"--notify-url"), (named, b"CLAUDE_MPM_NOTIFY_URL")):
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1
        assert name in done.stderr and b"s3c" not in done.stderr


def test_it_needs_a_session_that_is_watched(home: Path, tmp_path: Path) -> None:
    claude = str(script(tmp_path, "exit 4"))
    done = run("--notify-url", "http://127.0.0.1:9/", "--claude", claude, home=home, cwd=tmp_path)
    assert done.returncode == 2 and b"--websocket" in done.stderr
    done = run("--claude", claude, home=home, cwd=tmp_path, CLAUDE_MPM_NOTIFY_URL="http://127.0.0.1:9/")
    assert done.returncode == 4, "the variable is a default for the sessions that are watched"


@pytest.mark.parametrize("method", ["exec", "subprocess"])
def test_the_end_of_a_session_is_posted_and_claude_learns_nothing_of_the_url(
    method: str, home: Path, tmp_path: Path
) -> None:
    claude = script(tmp_path, f'env >"{tmp_path}/env"; echo "$@" >"{tmp_path}/args"; exit 3')
    start = ["--websocket", "--websocket-port", "0", "--launch-method", method, "--name", "n", "--claude", str(claude)]
    with Receiver([200]) as receiver:
        for given, in_environment in ((["--notify-url", receiver.url], ""), ([], receiver.url)):
            done = run(*start, *given, home=home, cwd=tmp_path, CLAUDE_MPM_NOTIFY_URL=in_environment)
            assert done.returncode == 3
            assert SECRET not in (tmp_path / "env").read_text() + (tmp_path / "args").read_text()
        wait_until(lambda: len(receiver.bodies) == 2, "both ends")
    for body in receiver.bodies:
        assert (body["event"], body["instance"]["name"], body["instance"]["working_dir"]) == (
            "ended",
            "n",
            str(tmp_path),
        )
        assert body["exit_code"] == (3 if method == "subprocess" else None)


def test_what_fails_is_in_the_log_without_the_url(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "exit 3")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/{SECRET}"
        start = ["--websocket", "--websocket-port", "0", "--claude", str(claude), "--notify-url", url]
        assert run(*start, home=home, cwd=tmp_path).returncode == 3

        def logged() -> str:
            return "".join(path.read_text() for path in home.glob(".claude-mpm/logs/*"))

        wait_until(lambda: "connection refused" in logged(), "the failure in the log")
        wait_until(lambda: not registered(home), "the end of the monitor")
    assert SECRET not in logged()


# --- the documentation -----------------------------------------------------------------------------

TEXT = (ROOT / "docs" / "status-line.md").read_text(encoding="utf-8")


def test_the_receiver_of_the_documentation_prints_what_it_gets() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    assert code.count("9099") == 1
    argv = [sys.executable, "-I", "-c", code.replace("9099", str(port))]
    log = Log("i-1")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PATH": ""}) as receiver:
        assert receiver.stdout is not None
        try:
            with notifying(log, f"http://127.0.0.1:{port}/"):
                log.append(ended(3))  # tried again until the receiver listens
                assert receiver.stdout.readline().endswith(b"Z i-1: ended with exit code 3\n")
        finally:
            receiver.kill()


def test_the_message_of_the_documentation_has_the_fields_of_a_real_one() -> None:
    log = Log("i-1")
    with Receiver([200]) as receiver, notifying(log, receiver.url):
        log.append(WAITING)
        wait_until(lambda: receiver.bodies, "the question")
    (shown,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.S) if '"event"' in block)
    (real,) = receiver.bodies
    assert shown.keys() == real.keys() and shown["instance"].keys() == real["instance"].keys()


def test_a_hub_announces_for_each_of_its_instances() -> None:
    source = FakeSource()
    waiting = {"status": "running", "activity": "waiting", "waiting_for": {"kind": "permission", "tool": "Bash"}}
    with Receiver([200]) as receiver, serving_hub(source, config=Config(notify_url=receiver.url)):
        source.lists(instance(1), instance(2, "beta"))
        for number, machine in ((1, "alpha"), (2, "beta")):
            source.event(instance(number, machine), 1, ev.CLAUDE_STATUS, dict(waiting))
        wait_until(lambda: len(receiver.bodies) == 2, "both are announced")
        assert {(body["event"], body["instance"]["machine"]) for body in receiver.bodies} == {
            ("needs_you", "alpha"),
            ("needs_you", "beta"),
        }
