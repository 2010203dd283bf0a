"""The description of one model server, which the launcher, the supervisor and the clients share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainers.serving.adapter_files import Adapter

Role = Literal["teacher", "student", "mentor", "judge"]
Gpu = int | str
"""A GPU as `CUDA_VISIBLE_DEVICES` takes it: its number in `nvidia-smi`, or the id of a MIG slice."""


@dataclass(frozen=True)
class ServerSpec:
    """One `vllm serve` process.

    `gpus` are the devices it may use; empty means that it runs on the CPU. `index` counts the servers of one
    role from 0. `weight_transfer` is the transport by which it receives weights (a name of `transports`, or a dotted
    path), `None` for a server that never does.
    `gpu_memory_utilization` is a share of the device's memory, `kv_cache_bytes` the cache of a CPU server in bytes.
    `students` names those of a pool that a student's server answers for, where there are several.
    `model` is the name under which the server is asked; when it is a LoRA adapter, `adapter` says of which base: a
    server that never receives weights applies it, one that does starts with the base and is sent merged weights.
    `given` is where its settings stand, if not under keys that begin with the role.
    `extra_args` are appended to the command line of `vllm serve` as they are.
    """

    role: Role
    index: int
    model: str
    host: str
    port: int
    gpus: tuple[Gpu, ...] = ()
    max_model_len: int | None = None
    dtype: str = "auto"
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    max_num_seqs: int = 256
    kv_cache_bytes: int = 256 * 2**20
    weight_transfer: str | None = None
    seed: int = 0
    trust_remote_code: bool = False
    revision: str | None = None
    adapter: Adapter | None = None
    extra_args: tuple[str, ...] = ()
    students: tuple[str, ...] = ()
    given: str | None = None

    @property
    def weights(self) -> str:
        """The whole model that the server loads."""
        return self.adapter.base if self.adapter else self.model

    @property
    def tokenizer(self) -> str:
        """Where the model's tokenizer and chat template lie."""
        return self.adapter.tokenizer if self.adapter else self.model

    @property
    def name(self) -> str:
        """The name used in logs and files, such as `teacher-0`."""
        return f"{self.role}-{self.index}"

    def key(self, name: str) -> str:
        """Return the configuration key by which a setting of the server is given, such as `teacher_max_model_len`."""
        return f"{self.given}.{name}" if self.given else f"{self.role}_{name}"

    @property
    def base_url(self) -> str:
        """Where the server is reached, such as `http://127.0.0.1:8765`."""
        return f"http://{self.host}:{self.port}"
