"""The gate of conftest.py: tests reach nothing but this machine."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Callable

import httpx
import pytest

_ELSEWHERE = "192.0.2.1"  # RFC 5737: documentation, routed nowhere


@pytest.mark.parametrize(
    "leave",
    [
        lambda: socket.create_connection((_ELSEWHERE, 80), timeout=0.1),
        lambda: socket.create_connection(("example.invalid", 80), timeout=0.1),
        lambda: socket.gethostbyname("example.invalid"),
        lambda: httpx.get(f"http://{_ELSEWHERE}/", timeout=0.1, trust_env=False),
    ],
    ids=["address", "name", "lookup", "library"],
)
def test_nothing_else_is_reached(leave: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="this machine only"):
        leave()


def test_no_datagram_leaves() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        pytest.raises(RuntimeError, match="this machine only"),
    ):
        datagrams.sendto(b"x", (_ELSEWHERE, 9))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_this_machine_is(name: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection((name, server.getsockname()[1]), timeout=10),
    ):
        accepted, _ = server.accept()
        accepted.close()


def test_so_is_a_path(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
