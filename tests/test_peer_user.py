from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import TOKEN, Answer, ask, get, serving, upgrade
from support import TIMEOUT

from claude_mpm.config import Config
from claude_mpm.errors import Refused
from claude_mpm.server.http import sock_diag
from claude_mpm.server.http.peer_user import Lookup, PeerCheck, owner, table_pairs
from claude_mpm.server.http.sock_diag import Endpoint

NOBODY = 65534
# Captured from /proc/net/tcp and tcp6 of Linux 6.8, x86-64; the uids are made up.
TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 21001 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 21002 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 21003 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000
"""
TCP6 = b"""\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:C352 00000000000000000000000001000000:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 21004 1 0000000000000000 20 4 30 10 -1
   1: 0000000000000000FFFF00000100007F:C353 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  1003        0 21005 1 0000000000000000 20 4 30 10 -1
"""


def uid_of(peer: tuple[str, int], ours: tuple[str, int]) -> int | None:
    tables = {"tcp": TCP, "tcp6": TCP6}
    found = (owner(tables[name], pair) for name, pair in table_pairs(*peer, *ours, byteorder="little"))
    return next((uid for uid in found if uid is not None), None)


@pytest.mark.parametrize(
    ("host", "port", "uid"),
    [
        ("127.0.0.1", 50000, 1001),
        ("::1", 50002, 1002),
        ("127.0.0.1", 50003, 1003),  # made by an IPv6 socket
        ("::ffff:127.0.0.1", 50000, 1001),
        ("127.0.0.1", 50001, 0),  # closed by its process
        ("127.0.0.1", 8080, None),  # our own end has the addresses the other way round
        ("127.0.0.2", 50000, None),
        ("::1", 50000, None),
    ],
)
def test_the_user_is_in_the_row_of_the_peers_own_socket(host: str, port: int, uid: int | None) -> None:
    assert uid_of((host, port), (host if host != "127.0.0.2" else "127.0.0.1", 8080)) == uid


def test_addresses_stand_in_the_table_as_words_of_the_machines_byte_order() -> None:
    assert table_pairs("127.0.0.1", 1, "127.0.0.2", 255, "big")[0] == ("tcp", b"7F000001:0001 7F000002:00FF")
    assert table_pairs("127.0.0.1", 1, "127.0.0.2", 255, "little")[0] == ("tcp", b"0100007F:0001 0200007F:00FF")


@pytest.mark.parametrize("table", [b"", b" A B ", b"   0: A B 01 x y z not-a-number 0 1\n", b"A B"])
def test_a_table_that_is_not_one_names_nobody(table: bytes) -> None:
    assert owner(table, b"A B") is None


@contextmanager
def pair_of_sockets(family: socket.AddressFamily, host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2], timeout=TIMEOUT) as client:
            accepted, _ = listener.accept()
            with accepted:
                yield client, accepted


def no_netlink(local: Endpoint, remote: Endpoint) -> int | None:
    """The kernel of a system, or of a sandbox, that offers no lookup of sockets."""
    raise OSError(errno.EPROTONOSUPPORT, "not here")


def no_module(local: Endpoint, remote: Endpoint) -> int | None:
    """A kernel without the module tcp_diag, which answers that no socket exists."""
    return None


def test_our_own_user_is_admitted() -> None:
    with pair_of_sockets(socket.AF_INET, "127.0.0.1") as (_, accepted):
        PeerCheck().check(accepted, time.monotonic())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="netlink is Linux's")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_where_the_kernel_answers_no_table_is_read(tmp_path: Path, family: socket.AddressFamily, host: str) -> None:
    """With thousands of recent connections the tables take over 10 ms to read, and every client would cost that."""
    with pair_of_sockets(family, host) as (client, accepted):
        try:
            uid = sock_diag.owner(Endpoint(*client.getsockname()[:2]), Endpoint(*accepted.getsockname()[:2]))
        except OSError:
            uid = None
        if uid is None:
            pytest.skip("this kernel offers no lookup of sockets")
        assert uid == os.getuid()
        for table in ("tcp", "tcp6"):
            os.mkfifo(tmp_path / table)  # reading it would block for ever
        PeerCheck(tmp_path).check(accepted, time.monotonic())


@pytest.mark.parametrize("lookup", [no_netlink, no_module])
def test_where_the_kernel_does_not_answer_the_tables_decide(tmp_path: Path, lookup: Lookup) -> None:
    with pair_of_sockets(socket.AF_INET, "127.0.0.1") as (client, accepted):
        (name, pair), _ = table_pairs(*client.getsockname(), *accepted.getsockname())
        (tmp_path / name).write_bytes(b"   0: " + pair + b" 01 0:0 00:0 0 %d 0 1 1\n" % (os.getuid() + 1))
        with pytest.raises(Refused):
            PeerCheck(tmp_path, lookup).check(accepted, time.monotonic())


def test_a_peer_unknown_to_a_kernel_that_knows_our_own_end_is_admitted_without_reading_tables(tmp_path: Path) -> None:
    with pair_of_sockets(socket.AF_INET, "127.0.0.1") as (_, accepted):
        ours = Endpoint(*accepted.getsockname())
        for table in ("tcp", "tcp6"):
            os.mkfifo(tmp_path / table)
        PeerCheck(tmp_path, lambda local, remote: 0 if local == ours else None).check(accepted, time.monotonic())


@pytest.mark.parametrize("length", [0, 16, 20, 60])
def test_a_kernels_answer_that_is_not_understood_is_an_error(length: int) -> None:
    with pytest.raises(OSError):
        sock_diag.uid_in(bytes(length))


def test_a_listener_on_the_peers_port_is_not_taken_for_the_peer() -> None:
    with pair_of_sockets(socket.AF_INET, "127.0.0.1") as (_, accepted):
        try:
            listener = sock_diag.owner(Endpoint(*accepted.getsockname()), Endpoint("127.0.0.1", 9))
        except OSError:
            pytest.skip("this kernel offers no lookup of sockets")
        assert listener is None


def test_another_user_is_refused_and_an_unknown_one_admitted_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "claude_mpm")
    with pair_of_sockets(socket.AF_INET, "127.0.0.1") as (client, accepted):
        peers = PeerCheck(tmp_path, no_netlink)
        for _ in range(3):
            peers.check(accepted, time.monotonic())
        assert len(caplog.messages) == 1
        (name, pair), _ = table_pairs(*client.getsockname(), *accepted.getsockname())
        uid = os.getuid() + 1
        (tmp_path / name).write_bytes(b"   0: " + pair + b" 01 0:0 00:0 0 %d 0 1 1\n" % uid)
        with pytest.raises(Refused) as refused:
            peers.check(accepted, time.monotonic())
        assert refused.value.status == 403


def test_a_table_read_before_the_connection_existed_is_not_believed(tmp_path: Path) -> None:
    """The port may have been another user's a moment ago."""
    with pair_of_sockets(socket.AF_INET, "127.0.0.1") as (client, accepted):
        peers, before = PeerCheck(tmp_path, no_netlink), time.monotonic()
        (name, pair), _ = table_pairs(*client.getsockname(), *accepted.getsockname())
        row = b"   0: " + pair + b" 01 0:0 00:0 0 %d 0 1 1\n"
        (tmp_path / name).write_bytes(row % os.getuid())
        peers.check(accepted, before)
        (tmp_path / name).write_bytes(row % (os.getuid() + 1))
        peers.check(accepted, before)  # the table read above serves whoever was connected by then
        with pytest.raises(Refused):
            peers.check(accepted, time.monotonic())


# --- with a real other user --------------------------------------------------------------------------

as_root = pytest.mark.skipif(
    os.getuid() != 0 or not sys.platform.startswith("linux"), reason="only root on Linux can become another user"
)
_fork = multiprocessing.get_context("fork")


def _ask_as_nobody(pipe: Any, port: int, request: bytes, host: str) -> None:
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect((host, port))
        sock.sendall(request)
        pipe.send(sock.recv(65536))


def as_nobody(port: int, request: bytes, host: str = "127.0.0.1") -> Answer:
    """The first answer to a request of another user's process."""
    ours, theirs = _fork.Pipe()
    process = _fork.Process(target=_ask_as_nobody, args=(theirs, port, request, host))
    process.start()
    try:
        assert ours.poll(TIMEOUT)
        return Answer(ours.recv())
    finally:
        process.join(TIMEOUT)
        process.close()
        ours.close()
        theirs.close()


@as_root
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_another_users_process_is_refused(host: str) -> None:
    with serving() as served:
        for request in (upgrade(), get("/status"), get("/events"), upgrade(Origin="http://localhost")):
            assert as_nobody(served.port, request, host).status == 403
        assert ask(served.port, get("/status")).status == 200


@as_root
@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_what_holds_nothing_secret_is_for_every_user(path: str) -> None:
    with serving() as served:
        assert as_nobody(served.port, get(path)).status == 200


@as_root
def test_with_a_token_the_token_decides() -> None:
    with serving(Config(token=TOKEN)) as served:
        assert as_nobody(served.port, upgrade()).status == 401
        assert as_nobody(served.port, upgrade(f"/?token={TOKEN}")).status == 101
