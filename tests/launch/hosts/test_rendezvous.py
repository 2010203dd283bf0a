"""Ranks meet at an address that nobody else is told to reach, and where torch's agent would listen on all."""

from __future__ import annotations

import os

import psutil
import pytest
from torch.distributed.elastic.rendezvous import RendezvousParameters, static_tcp_rendezvous
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

from tests.support.free_ports import consecutive_free_ports
from trainers.launch.hosts import rendezvous
from trainers.serving.weights.gloo_group import join_store


def listeners(port: int) -> set[str]:
    """Return the addresses at which this process listens at a port."""
    found = psutil.Process(os.getpid()).net_connections(kind="tcp")
    return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN and each.laddr.port == port}


def test_the_meeting_point_of_ranks_listens_at_its_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_tcp_rendezvous, "create_rdzv_handler", static_tcp_rendezvous.create_rdzv_handler)
    rendezvous.meet_at_its_address_alone()
    port = consecutive_free_ports(1)
    # As torchrun makes them for a run of one machine, with accelerate's defaults.
    parameters = RendezvousParameters("static", f"127.0.0.1:{port}", "none", 1, 1, rank=0, timeout=900)
    handler = get_rendezvous_handler(parameters)
    met = handler.next_rendezvous()
    assert listeners(port) == {"127.0.0.1"}
    assert (met.rank, met.world_size, met.bootstrap_store_info.master_port) == (0, 1, port)
    assert handler.use_agent_store
    met.store.set("said", "by the agent")
    assert join_store("127.0.0.1", port, 1, 10).get("none/said") == b"by the agent"
    # A second round, as after a restart, has the same meeting point.
    assert handler.next_rendezvous().bootstrap_store_info.master_port == port
