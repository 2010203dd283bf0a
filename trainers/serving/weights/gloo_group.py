"""A process group of its own for weights: gloo between the trainer and the servers' workers, apart from training's."""

from __future__ import annotations

import datetime
import socket

from torch.distributed import ProcessGroupGloo, TCPStore

from trainers.serving.interfaces import listening

_ANY_PORT = 9


def open_store(host: str, world_size: int, timeout_s: float) -> TCPStore:
    """Return the trainer's meeting point, on a free port (`.port`) of this address alone.

    It asks nobody who they are, and would by itself listen on all addresses of the machine.
    """
    listener = listening(host)
    return TCPStore(
        host,
        listener.getsockname()[1],
        world_size,
        is_master=True,
        timeout=datetime.timedelta(seconds=timeout_s),
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )


def join_store(host: str, port: int, world_size: int, timeout_s: float) -> TCPStore:
    """Return a worker's connection to the trainer's meeting point."""
    return TCPStore(
        host, port, world_size, is_master=False, timeout=datetime.timedelta(seconds=timeout_s), wait_for_workers=False
    )


def join_group(store: TCPStore, rank: int, world_size: int, timeout_s: float) -> ProcessGroupGloo:
    """Join the group, and return it when all ranks are there.

    Joining fails after `timeout_s`, which is also each broadcast's deadline.
    """
    options = ProcessGroupGloo._Options()
    options._timeout = datetime.timedelta(seconds=timeout_s)
    options._devices = [_device(store.host)]
    return ProcessGroupGloo(store, rank, world_size, options)


def _device(host: str) -> ProcessGroupGloo.Device:
    """Return the interface that is on the way to the trainer, and no other."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, _ANY_PORT, socket.AF_INET, socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # Nothing is sent: a connection of datagrams only chooses the way.
        probe.connect(address)
        return ProcessGroupGloo.create_device(hostname=probe.getsockname()[0])
