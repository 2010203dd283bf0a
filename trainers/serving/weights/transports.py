"""The ways for weights to travel to servers: one entry each, which is all that the rest of the program knows of it.

A transport has two ends. The trainer's is a class with `connect`, `send` and `close` (see `weight_sync.Transport`);
the servers' is an engine inside vLLM's worker, which vLLM knows by the name of a backend. A transport of a user's own
is named by the dotted path of its class, whose attribute `engine` is the dotted path of the other end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OWN_TRANSPORT = "ATLAS_WEIGHT_TRANSPORT"
"""Environment variable of a server that receives weights by a transport of the user's own: the path of its class."""


@dataclass(frozen=True)
class TransportEntry:
    """One transport.

    Args:
        trainer_end: dotted path of the class that sends.
        backend: the name under which vLLM knows the engine that receives.
        engine: dotted path of that engine; `None` for a transport of the user's own, whose class says it.
        environment: what its servers need in their environment.
    """

    trainer_end: str
    backend: str
    engine: str | None
    environment: Mapping[str, str] = field(default_factory=dict)


TRANSPORTS = {
    "gloo": TransportEntry(
        "trainers.serving.weights.gloo_transport.GlooTransport",
        "gloo",
        "trainers.serving.weights.worker.gloo_engine.MendableGlooEngine",
    ),
    "nccl": TransportEntry(
        "trainers.serving.weights.nccl_transport.NcclTransport",
        "mendable_nccl",
        "trainers.serving.weights.worker.cuda_engines.MendableNcclEngine",
    ),
    "ipc": TransportEntry(
        "trainers.serving.weights.ipc_transport.IpcTransport",
        "mendable_ipc",
        "trainers.serving.weights.worker.cuda_engines.MendableIpcEngine",
        # vLLM carries CUDA handles as pickles; the server listens for its own machine's trainer only.
        {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"},
    ),
}


def transport_entry(name: str) -> TransportEntry:
    """Return the entry of a name in the table, or that of a transport of the user's own, by the path of its class."""
    return TRANSPORTS.get(name) or TransportEntry(name, name, None, {OWN_TRANSPORT: name})
