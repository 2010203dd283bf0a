"""Values that follow from a configuration and the machine it runs on: batches that divide, precision, engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_data.datasets_info import with_dataset_settings
from trainers.configuration.batches import Batch, fit, fit_evaluation
from trainers.configuration.evaluation_metrics import with_metric
from trainers.configuration.fields import EVALUATION, GRPO
from trainers.configuration.machine import Machine
from trainers.configuration.schedule import remarks

CPU_PRECISION = {
    "use_cpu": True,
    "bf16": False,
    "fp16": False,
    "tf32": None,
    "dtype": "float32",
    "student_dtype": "float32",
    "teacher_dtype": "float32",
}


def derive(config: Mapping[str, Any], machine: Machine, processes: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The configuration with everything computed that a component will ask for, and notes on what was changed."""
    result = with_dataset_settings(config) | {
        "report_to": config["report_to"] if config["report_to"] is not None else "none"
    }
    notes: tuple[str, ...] = ()
    trains = config["experiment"] != EVALUATION
    if agent := result.get("student_agent"):
        # Results, records and cards call the student by this key.
        result["student_model"] = agent
    if machine.cpu_only:
        changed = {key: value for key, value in CPU_PRECISION.items() if key in result or (key == "use_cpu" and trains)}
        notes += ("no GPU: float32 on the CPU",)
        result |= changed
    if not trains:
        return result, notes
    result |= with_metric(result)
    result["processes"] = processes
    result.setdefault("resume_from", None)
    batch = batch_of(result)
    result |= {"train_batch_size": batch.size, "gradient_accumulation_steps": batch.accumulation}
    notes += (str(batch), *remarks(result))
    if config["experiment"] == GRPO:
        result |= _grpo(result, machine, batch)
    return result, notes


def batch_of(config: Mapping[str, Any]) -> Batch:
    """The fitted batch of a training run."""
    generations = config.get("num_generations", 1)
    return fit(config["train_batch_size"], config["processes"], config["per_device_train_batch_size"], generations)


def transfer_engine(config: Mapping[str, Any], machine: Machine, shared_gpu: bool) -> str:
    """Return the engine that sends weights to servers: `auto` is gloo on the CPU, ipc on a shared GPU, else NCCL."""
    if config["weight_transfer"] != "auto":
        return config["weight_transfer"]
    if machine.cpu_only:
        return "gloo"
    return "ipc" if shared_gpu else "nccl"


def shares_gpu(config: Mapping[str, Any], machine: Machine) -> bool:
    """Return whether the one visible GPU holds the servers and the trainer."""
    alone = len(machine.gpus) == 1 and config["experiment"] == GRPO
    return alone and config["num_vllm_servers"] == 1 and config["processes"] == 1


def _grpo(config: Mapping[str, Any], machine: Machine, batch: Batch) -> dict[str, Any]:
    generations = config["num_generations_eval"] or config["num_generations"]
    per_device = fit_evaluation(config["per_device_eval_batch_size"], config["processes"], generations)
    return {
        "steps_per_generation": config["steps_per_generation"] or batch.accumulation,
        "per_device_eval_batch_size": per_device,
        "weight_transfer": transfer_engine(config, machine, shares_gpu(config, machine)),
    }
