"""What docs/fleet.md gives to copy is tried: the systemd unit, and nginx with TLS before a hub."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import FakeSource, instance, serving_hub
from serving import TOKEN
from support import ROOT, TIMEOUT, free_port, wait_until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from claude_mpm.config import Config

DOCUMENT = (ROOT / "docs/fleet.md").read_text()
NAME = "fleet.example.org"


def block(language: str) -> str:
    """The document's one example in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(found)


def tool(name: str) -> str:
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    unit = tmp_path / "claude-mpm-hub.service"
    unit.write_text(block("ini").replace("%h/.local/bin/claude-mpm", str(ROOT / "bin/claude-mpm")))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [analyze, "--user", "verify", unit], env=environment, capture_output=True, text=True, timeout=TIMEOUT * 3
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for NAME, signed by itself, with its key beside it."""
    path = tmp_path / "cert.pem"
    subprocess.run(
        [
            *(tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}", "-keyout", tmp_path / "key.pem", "-out", path),
        ],
        check=True,
        capture_output=True,
        timeout=TIMEOUT * 3,
    )
    return path


@pytest.fixture
def proxy(tmp_path: Path, certificate: Path) -> Iterator[tuple[int, int]]:
    """nginx as the document sets it up; the ports it listens on and passes on to."""
    listening, hub = free_port(), free_port()
    server = block("nginx").replace("listen 443 ssl", f"listen 127.0.0.1:{listening} ssl")
    server = server.replace("127.0.0.1:8764", f"127.0.0.1:{hub}")
    server = server.replace("/etc/ssl/fleet.example.org.pem", str(certificate))
    server = server.replace("/etc/ssl/fleet.example.org.key", str(tmp_path / "key.pem"))
    places = "".join(
        f"{kind}_temp_path {tmp_path / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {places}\n{server}\n}}\n"
    )
    nginx = subprocess.Popen(
        [tool("nginx"), "-p", tmp_path, "-e", tmp_path / "error.log", "-c", config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until((tmp_path / "pid").exists, "nginx runs")
        yield listening, hub
    finally:
        nginx.terminate()
        nginx.wait(TIMEOUT)


def test_a_hub_behind_nginx_is_reached_by_name_with_the_token_only(proxy: tuple[int, int], certificate: Path) -> None:
    listening, port = proxy
    trust = ssl.create_default_context(cafile=str(certificate))
    source = FakeSource()
    origin = f"https://{NAME}"
    config = Config(token=TOKEN, port=port, allow_hosts=(NAME,), allow_origins=(origin,))
    with serving_hub(source, config=config, port=port):
        source.lists(instance(1))

        def opened(token: str) -> str:
            with connect(
                f"wss://{NAME}/",
                ssl=trust,
                sock=socket.create_connection(("127.0.0.1", listening), TIMEOUT),
                origin=Origin(origin),
                additional_headers={"Authorization": f"Bearer {token}"},
            ) as ws:
                greeting = json.loads(ws.recv(TIMEOUT))
                source.event(instance(1), 1)
                ws.send(json.dumps({"command": "subscribe", "channels": ["system.error"], "since": 0}))
                while (frame := json.loads(ws.recv(TIMEOUT)))["type"] != "system.error":
                    pass
                assert frame["origin_seq"] == 1
                return str(greeting["data"]["instance_info"]["kind"])

        assert opened(TOKEN) == "hub"
        with pytest.raises(InvalidStatus, match="401"):
            opened("another-token-of-32-characters--")
