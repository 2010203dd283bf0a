"""Checkpoints are read as tensors and plain values: nothing in their files is run, whoever wrote them.

transformers reads its files that way. DeepSpeed asks torch for whatever a pickle says, which torch can be told to
refuse; a few harmless classes of its own stand in what it writes.
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainers.problems import ConfigurationError, Problem

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_OF_DEEPSPEED = (
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
    "deepspeed.utils.tensor_fragment.fragment_address",
    "deepspeed.runtime.zero.config.ZeroStageEnum",
)


def refuse_pickled_code(*, deepspeed: bool) -> None:
    """Have torch load tensors and plain values only, from now on, also for libraries that ask for more.

    Args:
        deepspeed: whether the classes of DeepSpeed's checkpoints are wanted, whose import takes a while.
    """
    os.environ[_FORCE] = "1"
    if deepspeed:
        torch.serialization.add_safe_globals([_class_at(path) for path in _OF_DEEPSPEED])


@contextmanager
def named(checkpoint: str | bool | None) -> Iterator[None]:
    """Tell as a mistake of the user's what torch refuses to load.

    Raises:
        ConfigurationError: naming the checkpoint that training was to continue from.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[-1]
        expected = f"holds something else than tensors and plain values, which is not loaded ({reason})"
        remedy = "continue from a checkpoint that training here wrote: resume=PATH, or resume=never to begin anew"
        raise ConfigurationError([Problem(f"checkpoint {checkpoint}", expected, remedy)]) from error


def _class_at(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found
