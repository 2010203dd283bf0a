"""Sockets at one address of this host."""

from __future__ import annotations

import socket

import pytest

from trainers.serving.interfaces import LOOPBACK, listening


def test_a_socket_listens_at_its_address_alone_on_a_free_or_the_named_port() -> None:
    with listening(LOOPBACK) as found:
        address, port = found.getsockname()
        assert (address, port > 0) == (LOOPBACK, True)
        with socket.create_connection((LOOPBACK, port), timeout=5), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
        with pytest.raises(OSError, match="in use"):
            listening(LOOPBACK, port)
    # What served there a moment ago does not hold it up.
    with listening("localhost", port) as again:
        assert again.getsockname() == (LOOPBACK, port)


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.host.invalid"])
def test_another_hosts_address_is_an_error_of_the_system(address: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  # words are the system's
        listening(address)
