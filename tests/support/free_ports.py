"""Ports for the servers of tests and benchmarks."""

from __future__ import annotations

import os
import secrets
import socket


def consecutive_free_ports(count: int) -> int:
    """Return the first of `count` consecutive ports on which nothing listens."""
    # Below the ports that the kernel gives to outgoing connections, one of which could take ours meanwhile, and a
    # thousand to each of pytest's processes: a port that is free now is bound much later, when another may have it.
    start = 20_000 + 1_000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10)
    while True:
        # Not of the shared generator: tests seed it, and every fixture would then choose the same ports.
        first = start + secrets.randbelow(1_000 - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
