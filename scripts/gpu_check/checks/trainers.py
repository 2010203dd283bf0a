"""Training steps by the launcher's own commands, with their seconds and their memory against the planner's estimate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.gpu_check.context import CheckFailed, Context
from scripts.gpu_check.memory_watch import watched_memory
from scripts.gpu_check.plans import grpo_words, plan_of, sft_words
from trainers.jsonl import whole_rows
from trainers.launch.estimates.earlier_run import step_seconds
from trainers.launch.estimates.memory import GIB, trainer_needs
from trainers.launch.estimates.model_sizes import local_shape
from trainers.launch.plan import LaunchPlan

MOST_TRAINERS = 2


def zero1(context: Context) -> None:
    """Train two steps under ZeRO-1."""
    _train(context, "zero1")


def zero3(context: Context) -> None:
    """Train two steps under ZeRO-3."""
    _train(context, "zero3")


def offload(context: Context) -> None:
    """Train two steps with the optimizer in the machine's memory."""
    _train(context, "offload")


def lora(context: Context) -> None:
    """Train two steps of an adapter."""
    _train(context, "zero1", "use_peft=true", "lora_r=16")


def four_bit(context: Context) -> None:
    """Train two steps of an adapter on a base in 4 bits."""
    _train(context, "zero1", "use_peft=true", "lora_r=16", "load_in_4bit=true")


def grpo(context: Context) -> None:
    """Train two GRPO steps beside servers, whose weights are verified after each update."""
    rows = grpo_steps(context)
    sizes = [path.stat().st_size for path in context.model("teacher").glob("*.safetensors")]
    seconds = [row["time/sync_s"] for row in rows if row.get("time/sync_s")]
    context.found(rollout_s=rows[-1]["time/rollout_s"])
    if seconds:
        context.found(sync_s=min(seconds), sync_gb_per_s=sum(sizes) / 1e9 / min(seconds))


def grpo_steps(context: Context, *more: str) -> list[dict[str, Any]]:
    """Run the GRPO recipe with some keys more, on as many cards as it needs; return its logged steps."""
    one_card = len(context.machine.gpus) == 1
    trainers = 1 if one_card or context.machine.cpu_only else min(MOST_TRAINERS, len(context.machine.gpus) - 1)
    words = grpo_words(context, context.name, "zero1" if one_card else "zero3", *more)
    plan = plan_of(words, context.machine, 1, trainers)
    context.found(transfer=str(plan.config.flat()["weight_transfer"]))
    return _launched(context, plan, ["--servers", "1", "--trainers", str(trainers)], words)


def _train(context: Context, *more: str) -> None:
    trainers = min(MOST_TRAINERS, max(1, len(context.machine.gpus)))
    words = sft_words(context, context.name, *more)
    plan = plan_of(words, context.machine, 0, trainers)
    _launched(context, plan, ["--servers", "0", "--trainers", str(trainers)], words)


def _launched(context: Context, plan: LaunchPlan, places: Sequence[str], words: Sequence[str]) -> list[dict[str, Any]]:
    """Run a launch to its end; keep its seconds and memory; return its logged steps.

    Raises:
        CheckFailed: when it fails, or logs no steps.
    """
    with watched_memory() as peaks:
        context.run([sys.executable, "-m", "trainers.launch", *places, *words], f"{context.name}.launch.log")
    metrics = Path(plan.config.output.output_dir) / "metrics.jsonl"
    rows = [row for row in whole_rows(metrics) if "loss" in row]
    if not rows:
        raise CheckFailed(f"{metrics} has no steps")
    context.found(trainers=int(places[-1]), loss=rows[-1]["loss"], step_s=step_seconds(rows))
    shape = local_shape(str(context.model("teacher")))
    if not context.machine.cpu_only and shape is not None:
        needs = trainer_needs(plan.config, shape)  # type: ignore[arg-type]
        context.found(peak_gib=peaks.gib, least_gib=needs.least / GIB, estimate_gib=needs.estimate / GIB)
        context.found(parts={part.what: round(part.size / GIB, 3) for part in needs.parts})
    return rows
