"""Files of ours in a checkpoint, beside transformers' own, with which a resumed run goes on as if never interrupted."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from trainers.distributed import on_all_ranks
from trainers.models.parameters import full_parameters, gathered

logger = logging.getLogger(__name__)

PROGRESS = "rollouts.json"
REFERENCE = "reference.safetensors"


@dataclass(frozen=True)
class Progress:
    """The place in a run that transformers does not save.

    Args:
        weight_version: of the servers, before the checkpoint's own weights.
        ahead: the lessons that were run ahead (`LessonBatch.to_json`), if any.
        questions: what is remembered of the questions (`QuestionRecords.state`).
    """

    weight_version: int = 0
    ahead: Mapping[str, Any] | None = None
    questions: Mapping[str, Any] | None = None


def steps_of(checkpoint: Path) -> int:
    """Return the optimizer steps a checkpoint has behind it."""
    return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]


def save_progress(checkpoint: Path, progress: Progress) -> None:
    """Write `rollouts.json`."""
    (checkpoint / PROGRESS).write_text(json.dumps(asdict(progress), ensure_ascii=False), encoding="utf-8")


def load_progress(checkpoint: Path) -> Progress:
    """Read `rollouts.json`; a checkpoint without it is one of another trainer."""
    path = checkpoint / PROGRESS
    if not path.is_file():
        logger.warning("%s is missing: weight versions are counted from 0, and the next rollout is run anew", path)
        return Progress()
    try:
        return Progress(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        logger.warning("%s is cut off: weight versions are counted from 0, and the next rollout is run anew", path)
        return Progress()


def save_rollout_in_use(
    checkpoint: Path,
    accelerator: Accelerator,
    layout: Mapping[str, int],
    micro_batches: Sequence[Mapping[str, Any]] | None,
) -> None:
    """Write this rank's micro-batches of a rollout that more optimizer steps will be trained on."""
    if micro_batches is not None:
        torch.save({"layout": dict(layout), "micro_batches": list(micro_batches)}, _path(checkpoint, accelerator))


def load_rollout_in_use(
    checkpoint: Path, accelerator: Accelerator, layout: Mapping[str, int]
) -> list[dict[str, Any]] | None:
    """This rank's micro-batches; `None` on every rank when one has none that fit, which runs the rollout anew."""
    path = _path(checkpoint, accelerator)
    saved = on_all_ranks(lambda: _loaded(path, accelerator))
    fits = saved is not None and saved["layout"] == dict(layout)
    everywhere = accelerator.gather(torch.tensor([int(fits)], device=accelerator.device))
    if saved is not None and bool(everywhere.all()):
        return saved["micro_batches"]
    logger.warning("%s has no micro-batches for this number of processes and batch sizes: asking anew", checkpoint)
    return None


def save_reference(checkpoint: Path, model: nn.Module, *, sharded: bool, writes: bool) -> None:
    """Write the reference policy, which has followed the trained one; every rank takes part, one `writes`."""
    whole = {}
    for name, tensor in full_parameters(model, sharded=sharded):
        if writes:
            whole[name] = tensor.detach().to("cpu", copy=True).contiguous()
    on_all_ranks(lambda: save_file(whole, checkpoint / REFERENCE) if writes else None)


def load_reference(checkpoint: Path, model: nn.Module, *, sharded: bool) -> None:
    """Give the reference policy of every rank the weights it had; without them it starts anew from the model's own."""
    path = checkpoint / REFERENCE
    if not path.is_file():
        logger.warning("%s is missing: the reference policy is the model that training began with", path)
        return
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for name, parameter in model.named_parameters():
            with gathered([parameter], sharded, modifier_rank=0):
                if parameter.numel():
                    parameter.copy_(file.get_tensor(name))


def _loaded(path: Path, accelerator: Accelerator) -> dict[str, Any] | None:
    return torch.load(path, map_location=accelerator.device, weights_only=True) if path.is_file() else None


def _path(checkpoint: Path, accelerator: Accelerator) -> Path:
    return checkpoint / f"rollout_in_use_{accelerator.process_index}.pt"
