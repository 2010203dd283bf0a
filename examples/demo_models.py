"""The models of the notebooks on a GPU: as large as its memory takes, teacher and student together."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class DemoModels:
    """Two models, the number of answers each gives at a time, and the memory in GiB from which a card holds them."""

    least_gib: float
    teacher: str
    student: str
    batch_size: int


SMALL = "Qwen/Qwen3-0.6B"
WITHOUT_ATLAS = DemoModels(0, "Qwen/Qwen3-1.7B", SMALL, 4)
"""For cards on which no teacher of ours fits: one that was not trained to teach."""


def choose(trained: str, memory_gib: float) -> DemoModels:
    """Return the largest models that a card holds with what they compute; weights of 8 billion take 15.3 GiB.

    Args:
        trained: the teacher of 8 billion parameters.
        memory_gib: of the whole card, as torch tells it.
    """
    student = "Qwen/Qwen3-4B-Instruct-2507"
    pairs = (
        DemoModels(70, trained, student, 32),
        DemoModels(36, trained, student, 8),
        DemoModels(21, trained, SMALL, 2),
        WITHOUT_ATLAS,
    )
    return next(pair for pair in pairs if memory_gib >= pair.least_gib)


def choose_here(trained: str) -> tuple[DemoModels, str]:
    """Return the models for the GPU at hand, and the precision that it computes in: float16 before Ampere."""
    import torch

    memory = torch.cuda.get_device_properties(0).total_memory / GIB
    return choose(trained, memory), "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float16"
