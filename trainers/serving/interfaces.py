"""The network interfaces on which processes of a run listen for each other."""

from __future__ import annotations

import socket

import psutil

LOOPBACK = "127.0.0.1"
GLOO = "GLOO_SOCKET_IFNAME"
"""Environment variable of torch's gloo, which by itself listens at whatever address the host's name has."""


def listening(address: str, port: int = 0) -> socket.socket:
    """Return a socket that listens at this address alone, on a free port where none is named.

    Raises:
        OSError: when the address is none of this host, or something listens there.
    """
    family, *_, found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(found[:2], family=family)


def interface_of(address: str) -> str | None:
    """Return the interface of this host that has an address; `None` where none has it."""
    for interface, addresses in psutil.net_if_addrs().items():
        known = {each.address for each in addresses}
        # All of these are addresses of the loopback, which lists one.
        if address in known or (LOOPBACK in known and address.startswith("127.")):
            return interface
    return None


def gloo_at(address: str) -> dict[str, str]:
    """Return the environment in which gloo listens on the interface of an address; nothing where it is not ours."""
    interface = interface_of(address)
    return {GLOO: interface} if interface else {}
