"""Getting one training process ready before TRL is imported."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any


def prepare_rank(config: Mapping[str, Any]) -> None:
    """On the CPU, keeps DeepSpeed from compiling its shared-memory kernel, and states the device to it.

    The compilation takes a minute, and one that is cut off leaves a lock on which every later run waits; gloo does
    the same work for the few ranks that a CPU machine has.
    """
    if not config.get("use_cpu") or "deepspeed" not in config:
        return
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # With it accelerate would choose plain multi-CPU training instead of DeepSpeed.
    os.environ.pop("ACCELERATE_USE_CPU", None)
    importlib.import_module("deepspeed.ops").__compatible_ops__["deepspeed_shm_comm"] = False
