"""The meeting point of a training's ranks, which listens at its address alone.

Torch's own asks nobody who they are, holds pickles, and listens on all addresses of the machine, also where all ranks
are on this one.
"""

from __future__ import annotations

from typing import Any

from torch.distributed import Store, TCPStore
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo, RendezvousParameters
from torch.distributed.elastic.rendezvous import static_tcp_rendezvous as torchs
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

from trainers.serving.interfaces import listening

_torchs_handler = torchs.create_rdzv_handler


def meet_at_its_address_alone() -> None:
    """Let the agent of this process open meeting points that way."""
    torchs.create_rdzv_handler = _handler


def _handler(parameters: RendezvousParameters) -> RendezvousHandler:
    made: Any = _torchs_handler(parameters)
    timeout_s = int(made.timeout.total_seconds())
    return _BoundRendezvous(made.master_addr, made.master_port, made.rank, made.world_size, made.run_id, timeout_s)


class _BoundRendezvous(StaticTCPRendezvous):
    """Torch's, whose listening socket is made here."""

    _store: Store | None

    def next_rendezvous(self) -> RendezvousInfo:
        """Open the meeting point where this agent holds it, and meet there."""
        if self.rank == 0 and self._store is None:
            self._store = self._opened()
        return super().next_rendezvous()

    def _opened(self) -> TCPStore:
        return TCPStore(
            self.master_addr,
            self.master_port,
            self.world_size,
            is_master=True,
            timeout=self.timeout,
            multi_tenant=True,
            master_listen_fd=listening(self.master_addr, self.master_port).detach(),
        )
