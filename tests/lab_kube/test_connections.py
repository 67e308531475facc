"""A lab that ends takes its clients' connections with it, also of those who do not say goodbye."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from midwatch_lab.lab import Lab, LabOptions

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def greet(server: str) -> ssl.SSLSocket:
    """Ask one thing over TLS, as nobody, and keep the connection."""
    url = urlsplit(server)
    assert url.hostname is not None
    assert url.port is not None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_socket(socket.create_connection((url.hostname, url.port), timeout=10))
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert client.recv(4096).startswith(b"HTTP/1.1 200")
    return client


def rest(client: ssl.SSLSocket) -> bytes:
    """Read what comes below TLS, whose goodbye stays without an answer, until the server has closed."""
    with socket.socket(fileno=client.detach()) as bare:
        bare.settimeout(5)
        found = b""
        while piece := bare.recv(4096):
            found += piece
    return found


async def test_a_connection_whose_client_says_no_goodbye_ends_with_the_lab(tmp_path: Path) -> None:
    lab = Lab(LabOptions(tmp_path / "lab", nodes=1))
    try:
        info = await lab.start()
        config: dict[str, Any] = yaml.safe_load(info.kubeconfig.read_text())
        client = await asyncio.to_thread(greet, str(config["clusters"][0]["cluster"]["server"]))
    finally:
        await lab.stop()
    # The lab's loop runs on: a connection left to TLS would stay for 30 s.
    assert await asyncio.to_thread(rest, client)
