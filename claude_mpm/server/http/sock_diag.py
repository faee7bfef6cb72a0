"""Asks the Linux kernel which user owns one TCP socket, over netlink (sock_diag(7)).

The lookup of a single socket takes some 15 µs, however many connections the machine has. Reading /proc/net/tcp takes
over 10 ms once a few thousand recent connections are in TIME_WAIT.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple

# The Python socket module names none of these (linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h).
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_TCP_LISTEN = 10
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port id
_REQUEST = struct.Struct("=BBBBI")  # inet_diag_req_v2: family, protocol, extensions, padding, states
_PORTS = struct.Struct("!HH")  # inet_diag_sockid: local and remote port, then the addresses, 16 bytes each
_COOKIE = struct.Struct("=III")  # the rest of inet_diag_sockid: interface and cookie
_STATE = struct.Struct("=BB")  # the beginning of inet_diag_msg: family, state
_UID = struct.Struct("=I")
_UID_OFFSET = 64  # of idiag_uid in inet_diag_msg: behind 4 bytes, the sockid (48), expires, rqueue and wqueue

_ANSWER_BYTES = 4096
_ANSWER_TIME = 0.5  # seconds; the kernel answers within send() or not at all


class Endpoint(NamedTuple):
    """One end of a TCP connection: a numeric address and a port."""

    host: str
    port: int


def owner(local: Endpoint, remote: Endpoint) -> int | None:
    """The uid of the process that opened the socket with this local and this remote end.

    A socket in TIME_WAIT, which no process has any more, is reported as root's.

    Returns:
        The uid. None when the kernel knows no such socket, which is also its answer where the module tcp_diag is
        missing: look up a socket that certainly exists to tell the two apart.

    Raises:
        OSError: there is no such service: not Linux, or a sandbox that blocks netlink.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.EAFNOSUPPORT, "no netlink")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_ANSWER_TIME)
        kernel.send(request(local, remote))
        return uid_in(kernel.recv(_ANSWER_BYTES))


def request(local: Endpoint, remote: Endpoint) -> bytes:
    """The netlink message that asks for one socket. An IPv4 address also finds the IPv6 socket that is mapped to it."""
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, host).ljust(16, b"\0") for host in (local.host, remote.host))
    body = b"".join(
        (
            _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES),
            _PORTS.pack(local.port, remote.port),
            addresses,
            _COOKIE.pack(0, _NO_COOKIE, _NO_COOKIE),
        )
    )
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body


def uid_in(message: bytes) -> int | None:
    """The uid in the kernel's answer; None when no such socket exists.

    Raises:
        OSError: the kernel refused to answer, or its answer cannot be understood.
    """
    if len(message) < _HEADER.size + 4:
        raise OSError(errno.EPROTO, "netlink: the answer is too short")
    kind = _HEADER.unpack_from(message)[1]
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", message, _HEADER.size)[0]
        if number == errno.ENOENT:
            return None
        raise OSError(number, "netlink: the lookup of a socket failed")
    if kind != _SOCK_DIAG_BY_FAMILY or len(message) < _HEADER.size + _UID_OFFSET + _UID.size:
        raise OSError(errno.EPROTO, "netlink: unexpected answer")
    if _STATE.unpack_from(message, _HEADER.size)[1] == _TCP_LISTEN:
        return None  # the kernel falls back to a listener on the local port when the connection is gone
    return int(_UID.unpack_from(message, _HEADER.size + _UID_OFFSET)[0])
