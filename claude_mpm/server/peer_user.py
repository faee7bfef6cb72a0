"""Which user is at the other end of a loopback connection, from /proc/net/tcp and tcp6 (Linux, proc_pid_net(5))."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
import sys
import threading
import time
from pathlib import Path

from claude_mpm.errors import Refused

PROC_NET = Path("/proc/net")
ROOT = 0
READS = 2  # the table is read page by page, so a row may be skipped while others disappear
_UID_FIELD = 6  # local, remote, state, queues, timer, retransmits, uid

log = logging.getLogger(__name__)


class PeerCheck:
    """Admits processes of our own user and of root. One per server; check() may be called from any thread."""

    def __init__(self, proc_net: Path = PROC_NET) -> None:
        self._proc_net = proc_net
        self._allowed = {ROOT, os.getuid(), os.geteuid()}
        self._told = False  # said once that users cannot be told apart here
        self._lock = threading.Lock()  # of the next two; held while reading, so that a crowd shares one read
        self._tables: dict[str, bytes] = {}
        self._read_at = -math.inf  # monotonic, before the first byte was read

    def check(self, sock: socket.socket, since: float) -> bool:
        """Return if the peer may use the server: True if it is known to be ours, False if its user is unknown.

        Blocks while the system's table of TCP connections is read.

        A peer whose user is unknown is admitted: systems other than Linux have no such table, and a peer in another
        network namespace (a forwarded port of a container) is not in ours.

        Args:
            sock: the accepted connection.
            since: when it was known to exist (monotonic). An older table may show another user's use of the same port.

        Raises:
            Refused: 403, the peer is a process of another user.
            OSError: the peer is gone.
        """
        peer, ours = sock.getpeername(), sock.getsockname()
        pairs = table_pairs(peer[0], peer[1], ours[0], ours[1])
        with self._lock:
            uid = self._uid(pairs, since)
        if uid is None and not self._told:
            self._told = True
            log.info("the user of a client is unknown here; every local client without a token is admitted")
        if uid is not None and uid not in self._allowed:
            raise Refused(403, "this server belongs to another user; it needs a token (--websocket-token) to share it")
        return uid is not None

    def _uid(self, pairs: list[tuple[str, bytes]], since: float) -> int | None:
        """The user found in a table read after `since`. The lock must be held."""
        for fresh in range(READS):
            if fresh or self._read_at <= since:
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


def table_pairs(
    peer_host: str, peer_port: int, our_host: str, our_port: int, byteorder: str = sys.byteorder
) -> list[tuple[str, bytes]]:
    """Where the peer's socket may be listed: the name of the table, and the addresses as they stand in its row.

    An IPv4 connection may have been made by an IPv6 socket, whose row has the mapped form (::ffff:127.0.0.1).
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
    """The uid in the row with these addresses; None where there is none.

    A socket that its process has closed is listed as root's, or not at all; nobody reads the answer to it.
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
    """The kernel prints each 32-bit word of an address as a number of the machine's own byte order."""
    packed = address.packed
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    return b"".join(word if byteorder == "big" else word[::-1] for word in words).hex().upper().encode()
