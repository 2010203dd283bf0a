"""A launch in words: what `--dry-run` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from trainers.configuration.derived import batch_of
from trainers.configuration.fields import EVALUATION, GRPO
from trainers.launch.plan import Plan
from trainers.serving.command import server_command


def describe(plan: Plan) -> str:
    """The resolved configuration, devices, arithmetic and commands of a launch."""
    blocks = {
        "Configuration": OmegaConf.to_yaml(OmegaConf.create(dict(plan.config))).rstrip().splitlines(),
        "Devices": list(devices(plan)),
        "Batch": list(arithmetic(plan.config)),
        "Commands": list(commands(plan)),
    }
    return "\n\n".join("\n".join([f"{title}:", *(f"  {line}" for line in lines)]) for title, lines in blocks.items())


def devices(plan: Plan) -> Iterator[str]:
    """One line per process: where it runs, its share of the memory, its address."""
    for spec in plan.servers:
        place = (
            f"GPU {', '.join(map(str, spec.gpus))} ({spec.gpu_memory_utilization:.0%} of memory)"
            if spec.gpus
            else "CPU"
        )
        yield f"{spec.name:<12} {place:<28} {spec.base_url}  {spec.model}"
    if plan.config["experiment"] == EVALUATION:
        yield f"{'evaluation':<12} CPU"
        return
    for rank in range(plan.config["processes"]):
        yield f"{f'trainer-{rank}':<12} " + (f"GPU {plan.trainer_gpus[rank]}" if plan.trainer_gpus else "CPU")


def arithmetic(config: Mapping[str, Any]) -> Iterator[str]:
    """How a step is made up, and at most how many tokens it samples."""
    rows = known_rows(config)
    if config["experiment"] == EVALUATION:
        questions = f"{min(rows, config['eval_max_samples'] or rows)}" if rows else "all"
        yield f"{questions} questions, each with {config['num_baselines']} baselines"
        yield f"and {config['num_rollouts']} lessons per teacher"
        return
    batch = batch_of(config)
    yield str(batch)
    if rows:
        steps = -(-rows // batch.questions)
        yield f"{rows} rows / {batch.questions} per step = {steps} optimizer steps per epoch (before rows are held out)"
    else:
        yield "optimizer steps per epoch: known once the dataset is loaded"
    if config["experiment"] == GRPO:
        yield tokens(config)


def tokens(config: Mapping[str, Any]) -> str:
    """The most tokens that one step samples, by role."""
    batch = batch_of(config)
    student = batch.questions * (config["max_probe_tokens"] + config["num_baselines"] * config["student_max_tokens"])
    student += batch.size * config["student_max_tokens"]
    teacher = batch.size * config["max_completion_length"]
    return f"tokens sampled per step: at most {teacher:,} by the teacher and {student:,} by the student"


def known_rows(config: Mapping[str, Any]) -> int | None:
    """The rows of a local jsonl file, as far as they are read; `None` for other datasets."""
    path = Path(config["dataset_id_or_path"])
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    with path.open("rb") as lines:
        count = sum(1 for line in lines if line.strip())
    return min(count, config["dataset_max_samples"] or count)


def commands(plan: Plan) -> Iterator[str]:
    """Every command line, as it could be typed."""
    for spec in plan.servers:
        yield str(server_command(spec))
    yield str(plan.trainer)
