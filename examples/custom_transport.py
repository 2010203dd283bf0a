"""A weight transport of your own: the new weights as a file that trainer and servers both see.

A transport has two ends. The trainer's is the class below, named by its dotted path; the servers' is an engine inside
vLLM's worker, named by the class's attribute `engine`. Each update is opened, announced and closed through the control
plane, which watches deadlines and makes sure that every server ends with the new version.

    scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml \\
        weight_transfer=examples.custom_transport.FileTransport output_dir=results/quickstart/rl_files

The constructor may have the parameters `host`, `timeout_s` and `bucket_bytes`; it needs none of them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from trainers.serving.weights.buckets import TensorMeta
from trainers.serving.weights.control_calls import ControlPlane


class FileTransport:
    """Writes all weights to one file in the temporary directory. Holds them once more meanwhile: for small models."""

    engine = "examples.custom_transport_engine.FileEngine"

    def __init__(self) -> None:
        self._directory: TemporaryDirectory[str] | None = None

    def connect(self, control: ControlPlane) -> None:
        """Meet the servers, which need to know nothing beforehand."""
        self.close()
        self._directory = TemporaryDirectory(prefix="weights-")
        control.init_weight_transfer_engine({})

    def send(
        self, control: ControlPlane, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Write the weights, and let the servers load them."""
        assert self._directory is not None
        path = Path(self._directory.name) / "model.safetensors"
        # Copies: the file refuses tensors that share their memory, as a tied output layer does.
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors}, path)
        control.start_weight_update()
        control.update_weights({"path": str(path)})
        control.finish_weight_update()
        path.unlink()

    def close(self) -> None:
        """Remove the directory; the servers go on with what they have."""
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
