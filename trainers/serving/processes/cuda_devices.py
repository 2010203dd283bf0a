"""The environment variables by which a process sees the GPUs that are meant, and no others."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.serving.server_spec import Gpu


def cuda_devices(gpus: Sequence[Gpu]) -> dict[str, str]:
    """Return the variables that show a process these GPUs.

    They are counted as `nvidia-smi` counts them, by their places on the bus: left alone, CUDA puts the fastest first,
    and on a machine with several kinds of cards another one is meant.
    """
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
