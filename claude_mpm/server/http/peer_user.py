"""Finds out which user's process is at the other end of a loopback connection (Linux).

The kernel is asked over netlink. Where that is not possible, as in some sandboxes, the tables /proc/net/tcp and tcp6 are
read instead (proc_pid_net(5)).
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from claude_mpm.errors import Refused
from claude_mpm.server.http import sock_diag
from claude_mpm.server.http.sock_diag import Endpoint

PROC_NET = Path("/proc/net")
ROOT = 0
READS = 2  # attempts; the kernel prints the table page by page, and can skip a row while others disappear
_UID_FIELD = 6  # of a row: slot, local, remote, state, queues, timer, retransmits, uid; the slot is not counted

log = logging.getLogger(__name__)

Lookup = Callable[[Endpoint, Endpoint], int | None]


class PeerCheck:
    """Admits processes of our own user and of root. One per server; check() may be called from any thread.

    Args:
        proc_net: the directory with the tables `tcp` and `tcp6`.
        lookup: returns the owner of the socket with a given local and remote end, as sock_diag.owner() does.
    """

    def __init__(self, proc_net: Path = PROC_NET, lookup: Lookup = sock_diag.owner) -> None:
        self._proc_net = proc_net
        self._lookup = lookup
        self._allowed = {ROOT, os.getuid(), os.geteuid()}
        self._unknown_logged = False
        self._lock = threading.Lock()  # guards the next two; held while reading, so that concurrent checks share a read
        self._tables: dict[str, bytes] = {}
        self._read_at = -math.inf  # monotonic; taken before the first byte was read

    def check(self, sock: socket.socket, since: float) -> bool:
        """Return if the peer may use the server: True if it is known to be ours, False if its user is unknown.

        Blocks while the tables are read, should that be necessary.

        A peer whose user is unknown is admitted: systems other than Linux offer no way to find out, and a peer in
        another network namespace (the forwarded port of a container) is in none of our tables.

        Args:
            sock: the accepted connection.
            since: a monotonic time at which the connection existed. An older table may show the previous user of the
                same port.

        Raises:
            Refused: 403, the peer is a process of another user.
            OSError: the peer has gone.
        """
        peer, ours = _endpoint(sock.getpeername()), _endpoint(sock.getsockname())
        try:
            uid = self._lookup(peer, ours)
            answered = uid is not None or self._lookup(ours, peer) is not None  # our own end certainly exists
        except OSError:
            answered = False
        if not answered:
            uid = self._uid_in_tables(table_pairs(*peer, *ours), since)
        if uid is None and not self._unknown_logged:
            self._unknown_logged = True
            log.info("cannot tell which user a client belongs to; every local client is admitted without a token")
        if uid is not None and uid not in self._allowed:
            raise Refused(403, "this server belongs to another user; it needs a token (--websocket-token) to share it")
        return uid is not None

    def _uid_in_tables(self, pairs: list[tuple[str, bytes]], since: float) -> int | None:
        """The user according to tables that were read after `since`."""
        with self._lock:
            for attempt in range(READS):
                if attempt or self._read_at <= since:
                    self._read_at = time.monotonic()
                    self._tables = {name: self._read(name) for name in ("tcp", "tcp6")}
                for name, pair in pairs:
                    uid = owner(self._tables[name], pair)
                    if uid is not None:
                        return uid
        return None

    def _read(self, name: str) -> bytes:
        try:
            return (self._proc_net / name).read_bytes()
        except OSError:
            return b""


def _endpoint(address: tuple[str, int]) -> Endpoint:
    """A socket address as the kernel's tables have it: without a scope, and as IPv4 where it is mapped into IPv6."""
    host = str(_address(address[0]))
    return Endpoint(host, address[1])


def table_pairs(
    peer_host: str, peer_port: int, our_host: str, our_port: int, byteorder: str = sys.byteorder
) -> list[tuple[str, bytes]]:
    """Where the peer's socket may be listed: for each candidate, the table's name and the addresses as printed in the row.

    An IPv6 socket can make an IPv4 connection; its row then shows the mapped address (::ffff:127.0.0.1).
    """
    peer, ours = _address(peer_host), _address(our_host)
    hosts = [("tcp" if peer.version == 4 else "tcp6", peer, ours)]
    if peer.version == 4 and ours.version == 4:
        hosts.append(("tcp6", _mapped(peer), _mapped(ours)))
    return [
        (name, b"%b:%04X %b:%04X" % (_hex(local, byteorder), peer_port, _hex(remote, byteorder), our_port))
        for name, local, remote in hosts
    ]


def owner(table: bytes, pair: bytes) -> int | None:
    """The uid in the row with these addresses; None when there is no such row.

    A socket that its process has closed is listed as root's or not at all. That is harmless: nobody reads the answer.
    """
    start = table.find(b" " + pair + b" ")
    if start < 0:
        return None
    fields = table[start:].split(b"\n", 1)[0].split()
    try:
        return int(fields[_UID_FIELD])
    except (IndexError, ValueError):
        return None


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address:
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _mapped(address: _Address) -> _Address:
    return ipaddress.IPv6Address(f"::ffff:{address}")


def _hex(address: _Address, byteorder: str) -> bytes:
    """The address as printed in the table: each 32-bit word as a number in the machine's byte order."""
    packed = address.packed
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    return b"".join(word if byteorder == "big" else word[::-1] for word in words).hex().upper().encode()
