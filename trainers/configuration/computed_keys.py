"""Values that follow from a configuration and the machine it runs on: batches that divide, precision, engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainers.configuration.datasets.known_datasets import with_dataset_settings
from trainers.configuration.devices.machine import Machine
from trainers.configuration.schedule.batches import Batch, fit, fit_evaluation
from trainers.configuration.schedule.evaluation_metrics import with_metric
from trainers.configuration.schedule.rules import remarks
from trainers.configuration.settings.experiments import (
    Experiment,
    GRPOExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.keys import keys_of
from trainers.configuration.settings.students import POOLS

CPU_PRECISION = {
    "use_cpu": True,
    "bf16": False,
    "fp16": False,
    "tf32": None,
    "dtype": "float32",
    "student_dtype": "float32",
    "teacher_dtype": "float32",
}


def derive(config: Experiment, machine: Machine, processes: int) -> tuple[Experiment, tuple[str, ...]]:
    """Return the settings with everything computed that a component asks for, and notes on what was changed."""
    report_to = config.output.report_to if config.output.report_to is not None else "none"
    result = with_dataset_settings(config).with_keys(report_to=report_to)
    notes: tuple[str, ...] = ()
    if isinstance(result, StudentExperiment) and result.student.agent:
        # Results, records and cards call the student by this key.
        result = result.with_keys(student_model=result.student.agent)
    if machine.cpu_only:
        known = keys_of(config.output.experiment)
        result = result.with_keys(**{key: value for key, value in CPU_PRECISION.items() if key in known})
        if isinstance(result, StudentExperiment):
            result = result.with_keys(**_without_precision(result))
        notes += ("no GPU: float32 on the CPU",)
    if not isinstance(result, TrainingExperiment):
        return result, notes
    result = result.with_keys(**with_metric(result), processes=processes)
    batch = batch_of(result)
    result = result.with_keys(train_batch_size=batch.size, gradient_accumulation_steps=batch.accumulation)
    notes += (str(batch), *remarks(result))
    if isinstance(result, GRPOExperiment):
        result = result.with_keys(**_grpo(result, machine, batch))
        notes += tuple(_rarely_met(result, batch))
    return result, notes


def _without_precision(config: StudentExperiment) -> dict[str, Any]:
    """Return the tables of students without precisions of their own."""
    tables = {pool: getattr(config.pool, pool) for pool in POOLS}
    return {
        pool: {name: {key: entry[key] for key in entry if key != "dtype"} for name, entry in table.items()}
        for pool, table in tables.items()
        if table is not None
    }


def _rarely_met(config: GRPOExperiment, batch: Batch) -> Iterator[str]:
    students = config.pool.students or {}
    if len(students) > batch.questions:
        yield f"a step has {batch.questions} questions for {len(students)} students: not every step meets each of them"


def batch_of(config: TrainingExperiment) -> Batch:
    """Return the fitted batch of a training run."""
    generations = config.trainer.num_generations if isinstance(config, GRPOExperiment) else 1
    return fit(
        config.training.train_batch_size,
        config.training.processes,
        config.trainer.per_device_train_batch_size,
        generations,
    )


def transfer_engine(config: GRPOExperiment, machine: Machine, shared_gpu: bool) -> str:
    """Return the engine that sends weights to servers: `auto` is gloo on the CPU, ipc on a shared GPU, else NCCL."""
    if config.rollouts.weight_transfer != "auto":
        return config.rollouts.weight_transfer
    if machine.cpu_only:
        return "gloo"
    return "ipc" if shared_gpu else "nccl"


def shares_gpu(config: Experiment, machine: Machine) -> bool:
    """Return whether the one visible GPU holds the servers and the trainer."""
    if len(machine.gpus) != 1 or not isinstance(config, GRPOExperiment):
        return False
    return config.serving.num_vllm_servers == 1 and config.training.processes == 1


def _grpo(config: GRPOExperiment, machine: Machine, batch: Batch) -> dict[str, Any]:
    generations = config.evaluation.num_generations_eval or config.trainer.num_generations
    per_device = fit_evaluation(config.trainer.per_device_eval_batch_size, config.training.processes, generations)
    return {
        "steps_per_generation": config.trainer.steps_per_generation or batch.accumulation,
        "per_device_eval_batch_size": per_device,
        "weight_transfer": transfer_engine(config, machine, shares_gpu(config, machine)),
    }
