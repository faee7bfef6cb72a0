from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from claude_mpm.errors import PortTaken, UsageError
from claude_mpm.server import bind as bind_module
from claude_mpm.server.bind import bind, next_free, require_token


@contextmanager
def closing(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        for sock in sockets:
            stack.enter_context(sock)
        yield sockets


def addresses(sockets: list[socket.socket]) -> list[str]:
    return [sock.getsockname()[0] for sock in sockets]


def ports(sockets: list[socket.socket]) -> set[int]:
    return {sock.getsockname()[1] for sock in sockets}


def test_both_loopback_families_listen_on_one_port() -> None:
    with closing(bind(None, 0)) as sockets:
        assert addresses(sockets) == ["127.0.0.1", "::1"]
        (port,) = ports(sockets)
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()


def test_no_child_inherits_the_sockets() -> None:
    with closing(bind(None, 0)) as sockets:
        assert not any(os.get_inheritable(sock.fileno()) for sock in sockets)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_family_taken_is_the_port_taken(host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is in use on {host}"):
            bind(None, port)
        with closing(next_free(None, port)) as sockets:
            assert min(ports(sockets)) > port
    with closing(bind(None, port)):
        pass  # and the failed try kept nothing


def test_a_port_in_time_wait_can_be_taken_again() -> None:
    with closing(bind(None, 0)) as sockets:
        (port,) = ports(sockets)
        client = socket.create_connection(("127.0.0.1", port))
        accepted = sockets[0].accept()[0]
        accepted.close()  # the server closes first: its side waits
        assert client.recv(1) == b""
        client.close()
    with closing(bind(None, port)):
        pass


def test_a_machine_without_ipv6_is_served_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bind_module, "LOOPBACK", ("127.0.0.1", "2001:db8::1"))  # an address no machine has
    with closing(bind(None, 0)) as sockets:
        assert addresses(sockets) == ["127.0.0.1"]


def test_port_0_looks_until_one_is_free_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    real = bind_module._bind_one

    def unlucky(address: str, port: int) -> socket.socket:
        if ":" in address:
            tried.append(port)
            if len(tried) < 4:
                raise OSError(98, "in use")
        return real(address, port)

    monkeypatch.setattr(bind_module, "_bind_one", unlucky)
    with closing(bind(None, 0)) as sockets:
        assert ports(sockets) == {tried[-1]}


def test_port_0_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(address: str, port: int) -> socket.socket:
        raise OSError(98, "in use")

    monkeypatch.setattr(bind_module, "_bind_one", taken)
    with pytest.raises(PortTaken):
        bind(None, 0)
    with pytest.raises(PortTaken, match="ports 8765 to 8785 are in use"):
        next_free(None, 8765)


def test_a_named_host_is_bound_alone() -> None:
    with closing(bind("127.0.0.1", 0)) as sockets:
        assert addresses(sockets) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a" * 300, "\ud800"])
def test_a_host_that_cannot_be_bound_is_one_clear_sentence(host: str) -> None:
    with pytest.raises(UsageError) as error:
        bind(host, 0)
    assert "\n" not in str(error.value)


def test_what_other_machines_can_reach_needs_a_token() -> None:
    with closing(bind("0.0.0.0", 0)) as sockets:
        with pytest.raises(UsageError, match="token"):
            require_token(sockets, None)
        require_token(sockets, "t")
    with closing(bind(None, 0)) as sockets:
        require_token(sockets, None)


def test_nothing_heavy_is_imported() -> None:
    """It is used before Claude starts."""
    code = "import sys, claude_mpm.server.bind; print([m for m in sys.modules if m.split('.')[0] in ('wsproto', 'h11', 'watchdog', 'psutil')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
