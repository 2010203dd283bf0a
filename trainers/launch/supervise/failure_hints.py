"""Causes of a process's failure, by its exit status and the end of its log, and the keys that help. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trainers.configuration.settings.experiments import Experiment, GRPOExperiment, SFTExperiment, TrainingExperiment

OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED")
COLLECTIVE = re.compile(
    r"NCCL (error|WARN)|DistBackendError|ncclSystemError|ncclUnhandled|collective operation timeout"
)
KILLED = 128 + 9
DISK = re.compile(r"No space left on device|Disk quota exceeded")
SHARED_MEMORY = re.compile(r"/dev/shm|Bus error|insufficient shared memory")
GATED = re.compile(r"GatedRepoError|401 Client Error|403 Client Error|Cannot access gated repo")
NO_CACHE = re.compile(r"No available memory for the cache blocks|KV cache.{0,60}(larger|exceed|needed)|max seq len")
NOT_FREE = re.compile(r"Free memory on device .{0,120}less than desired GPU memory utilization", re.DOTALL)


def trainer_hints(status: int, text: str, config: Experiment) -> Iterator[str]:
    """Yield a line per cause that a trainer's exit status and output show, with what to change."""
    if isinstance(config, TrainingExperiment):
        yield from _training_hints(text, config)
    if status == KILLED:
        yield (
            "a process was killed from outside, as the system does when the machine's memory runs out. → see dmesg; "
            "leave offload out, use fewer training processes, or lower dataloader_num_workers"
        )
    if DISK.search(text):
        yield "the disk is full. → free some space, or lower save_total_limit, or set save_only_model=true"
    if SHARED_MEMORY.search(text):
        yield "shared memory ran out. → give the container more of it (docker run --shm-size=16g), or --ipc=host"
    if GATED.search(text):
        yield "the hub refused access. → accept the model's terms on its page, then export HF_TOKEN=…"


def _training_hints(text: str, config: TrainingExperiment) -> Iterator[str]:
    if OUT_OF_MEMORY.search(text):
        yield f"the GPU's memory ran out in training. → {'; '.join(_smaller(config))}"
    elif COLLECTIVE.search(text):
        yield (
            "the training processes lost each other (NCCL). → look above for the first process that failed; run again "
            "with NCCL_DEBUG=INFO in the environment; where GPUs cannot reach each other set NCCL_P2P_DISABLE=1; "
            f"if a slow step only took too long, raise ddp_timeout (now {config.trainer.ddp_timeout})"
        )


def server_hints(text: str, *, on_cpu: bool = False) -> Iterator[str]:
    """Yield a line per cause that the end of a server's log shows, with what to change; `on_cpu` without a GPU."""
    if on_cpu and NO_CACHE.search(text):
        yield (
            "the cache of a server holds no sequence of full length. → lower teacher_max_model_len or "
            "student_max_model_len, or raise cpu_cache_gib, as far as the machine's memory allows"
        )
    elif NOT_FREE.search(text):
        yield (
            "the GPU holds something else. → end it (nvidia-smi lists processes), or lower "
            "teacher_gpu_memory_utilization and student_gpu_memory_utilization"
        )
    elif NO_CACHE.search(text):
        yield (
            "the share of the GPU holds the weights, but no sequence of full length. → lower "
            "teacher_max_model_len or student_max_model_len, raise the role's gpu_memory_utilization, or give it more "
            "GPUs by teacher_tensor_parallel_size or student_tensor_parallel_size"
        )
    elif OUT_OF_MEMORY.search(text):
        yield (
            "the GPU's memory ran out in a server. → lower the role's gpu_memory_utilization or max_model_len, or set "
            "teacher_tensor_parallel_size or student_tensor_parallel_size to 2 with more server GPUs"
        )
    if GATED.search(text):
        yield "the hub refused access. → accept the model's terms on its page, then export HF_TOKEN=…"


def _smaller(config: TrainingExperiment) -> Iterator[str]:
    size = config.trainer.per_device_train_batch_size
    if size > 1:
        yield f"lower per_device_train_batch_size (now {size}): train_batch_size stays, in more micro-batches"
    if isinstance(config, GRPOExperiment):
        yield f"lower max_completion_length (now {config.sampling.max_completion_length})"
    if isinstance(config, SFTExperiment):
        yield f"lower max_length (now {config.trainer.max_length})"
    if not config.trainer.gradient_checkpointing:
        yield "set gradient_checkpointing=true"
    if config.training.deepspeed in ("zero1", "zero2"):
        yield f"leave {config.training.deepspeed} out (zero3 shares weights too)"
    if config.training.deepspeed != "zero3_cpu_offloading":
        yield "add the word offload, or train on more GPUs"
    if not config.lora.use_peft:
        yield "set use_peft=true"
    if isinstance(config, GRPOExperiment) and config.rollouts.weight_transfer == "ipc":
        yield "lower teacher_gpu_memory_utilization and student_gpu_memory_utilization: the servers share this GPU"
