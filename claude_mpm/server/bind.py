"""The listening sockets: both loopback families on one port, taken before Claude starts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from claude_mpm.errors import PortTaken, UsageError

LOOPBACK = ("127.0.0.1", "::1")
BACKLOG = 256  # connections that the kernel holds until they are accepted; accepts are paced (accept_pace.py)
TRIES = 20  # free ports looked at before giving up
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}  # this machine has no ::1


def bind(host: str | None, port: int) -> list[socket.socket]:
    """Listening sockets on `port`; on 127.0.0.1 and ::1 when `host` is None. The caller closes them.

    A program that listens on one family only would catch the clients of the other, so one family
    taken is the port taken. Port 0 picks one that is free on all addresses.

    Raises:
        PortTaken: somebody listens there already.
        UsageError: no such host, or the system refuses the port.
    """
    addresses = LOOPBACK if host is None else _resolve(host)
    for _ in range(TRIES):
        try:
            return _bind_all(addresses, port, optional=host is None)
        except PortTaken:
            if port != 0:
                raise
    raise PortTaken("no port is free on all addresses")


def next_free(host: str | None, port: int) -> list[socket.socket]:
    """As bind(), on the first of the ports after `port` that is free.

    Raises:
        PortTaken: none of the next 20 is.
    """
    last = min(port + TRIES, 65535)
    for candidate in range(port + 1, last + 1):
        try:
            return bind(host, candidate)
        except PortTaken:
            continue
    raise PortTaken(f"ports {port} to {last} are in use; name a free one with --websocket-port")


def require_token(sockets: Sequence[socket.socket], token: str | None) -> None:
    """Raises UsageError when another machine could reach the sockets and no token keeps it out."""
    import ipaddress  # not loaded where only loopback is served

    for sock in sockets:
        address = sock.getsockname()[0]
        if token is None and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            raise UsageError(f"other machines can reach {address}; this needs a token (--websocket-token)")


def _resolve(host: str) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"there is no host {host!a}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _bind_all(addresses: Sequence[str], port: int, optional: bool) -> list[socket.socket]:
    """`optional`: the machine need not have every address, the first it must."""
    sockets: list[socket.socket] = []
    with ExitStack() as undo:
        for address in addresses:
            try:
                sock = _bind_one(address, port)
            except OSError as error:
                if optional and sockets and error.errno in _ABSENT:
                    continue
                raise _explained(error, address, port) from None
            undo.callback(sock.close)
            sockets.append(sock)
            port = sock.getsockname()[1]
        undo.pop_all()
    return sockets


def _bind_one(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart must not wait for the last run's connections in TIME_WAIT; two listeners it does not allow.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _explained(error: OSError, address: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"port {port} is in use on {address}")
    return UsageError(f"cannot listen on {address} port {port}: {error.strerror}")
