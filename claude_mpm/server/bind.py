"""Opens the listening sockets, on both loopback addresses and before Claude starts, so that errors can be shown."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from claude_mpm.errors import PortTaken, UsageError

LOOPBACK = ("127.0.0.1", "::1")
BACKLOG = 256  # connections that the kernel holds until they are accepted; accepts are paced (accept_pace.py)
TRIES = 20  # ports to try before giving up
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}  # this machine has no IPv6


def bind(host: str | None, port: int) -> list[socket.socket]:
    """Return non-blocking sockets that listen on `port` at every address of `host`. The caller closes them.

    The port counts as taken when it is taken on one address. Otherwise `localhost` would lead some clients to us and
    others to the program that listens there.

    Args:
        host: a name or an address; None for both loopback addresses, 127.0.0.1 and (where there is IPv6) ::1.
        port: 0 for one that is free on all addresses.

    Raises:
        PortTaken: another program listens there.
        UsageError: the host is unknown, or the system refuses the port.
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
    """As bind(), on the first free one of the 20 ports after `port`.

    Raises:
        PortTaken: none of them is free.
        UsageError: as for bind().
    """
    last = min(port + TRIES, 65535)
    for candidate in range(port + 1, last + 1):
        try:
            return bind(host, candidate)
        except PortTaken:
            continue
    raise PortTaken(f"ports {port} to {last} are in use; name a free one with --websocket-port")


def require_token(sockets: Sequence[socket.socket], token: str | None) -> None:
    """Raise UsageError when other machines can reach the sockets and there is no token to keep them out."""
    addresses = {str(sock.getsockname()[0]) for sock in sockets}
    if token is not None or addresses <= set(LOOPBACK):
        return
    import ipaddress  # rarely needed, so not loaded at every start

    for address in sorted(addresses):
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            raise UsageError(f"other machines can reach {address}, so a token is required (--websocket-token)")


def _resolve(host: str) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"unknown host {host!a}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _bind_all(addresses: Sequence[str], port: int, optional: bool) -> list[socket.socket]:
    """`optional`: addresses other than the first may be missing on this machine."""
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
        # Allows a restart while connections of the last run are in TIME_WAIT; a second listener is still refused.
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
