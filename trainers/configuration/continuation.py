"""Differences between two configurations, and whether one may continue the run that the other began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.configuration.evaluation_metrics import FOLLOWS_METRIC
from trainers.configuration.settings.experiments import Experiment, TrainingExperiment

HARMLESS = (
    "output_dir results_dir exp_name resume resume_from workspace world "
    "report_to run_name project wandb_group_name disable_tqdm "
    "logging_strategy logging_steps logging_first_step log_level log_level_replica log_on_each_node log_completions "
    "num_completions_to_print log_unique_prompts log_completions_hub_repo include_num_input_tokens_seen "
    "save_strategy save_steps save_total_limit save_only_model save_final_model save_completions_probability "
    "push_to_hub hub_model_id hub_private_repo hub_revision "
    "vllm_host vllm_port num_vllm_servers weight_transfer verify_weights_every verify_weights_tolerance "
    "request_timeout_s max_concurrent_requests "
    "student_base_url student_api_key_env student_requests_per_minute student_tokens_per_minute student_spending_cap "
    "student_price_per_million_tokens student_gpu_memory_utilization student_tensor_parallel_size "
    "teacher_gpu_memory_utilization teacher_tensor_parallel_size max_lost_groups "
    "processes per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps steps_per_generation "
    "deepspeed use_cpu gradient_checkpointing gradient_checkpointing_kwargs skip_memory_metrics "
    "dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor "
    "eval_steps eval_delay eval_on_start eval_max_samples num_generations_eval"
)
"""Keys that may change between the parts of one run: they say where and how, not what is learned."""

LENGTH = {"max_steps", "num_train_epochs"}
"""Keys that say how long a run is."""

_RATE_WITHOUT_END = ("constant", "constant_with_warmup", "inverse_sqrt", *FOLLOWS_METRIC)

EVALUATIONS = {"eval_steps", "eval_delay", "eval_max_samples", "num_generations_eval"}
"""Keys that say how a run is evaluated: harmless, unless the learning rate follows the evaluations."""


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """The keys that shape training and differ, each as `key: old → new`; epochs only where `max_steps` is not set."""
    idle = {"num_train_epochs"} if min(old.get("max_steps", -1), new.get("max_steps", -1)) > 0 else set()
    shaping = EVALUATIONS if new.get("lr_scheduler_type") in FOLLOWS_METRIC else set()
    keys = sorted((old.keys() | new.keys()) - (set(HARMLESS.split()) - shaping) - idle)
    return {key: f"{key}: {old.get(key)} → {new.get(key)}" for key in keys if not _same(old.get(key), new.get(key))}


def _same(old: Any, new: Any) -> bool:
    """Equal, or two spellings of one path, of which one begins at the root."""
    if isinstance(old, str) and isinstance(new, str) and Path(old).is_absolute() != Path(new).is_absolute():
        return Path(old).resolve() == Path(new).resolve()
    return bool(old == new)


def longer(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether the new configuration asks for more steps."""
    if old["max_steps"] > 0 or new["max_steps"] > 0:
        return 0 < old["max_steps"] < new["max_steps"]
    return old["num_train_epochs"] < new["num_train_epochs"]


def unreadable(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why optimizer states that a run of `old` saved cannot be read by one of `new`; `None` when they can.

    DeepSpeed divides them among the processes, and reads them only divided as they were written.
    """
    if old.get("save_only_model"):
        return "it holds the model without optimizer states (save_only_model=true)"
    before, now = _division(old), _division(new)
    return None if before == now else f"its optimizer states are divided for {before}, and this run has {now}"


def _division(config: Experiment) -> str:
    stage = "zero3" if str(config.training.deepspeed).startswith("zero3") else "zero1 or zero2"
    return f"{config.training.processes} processes with {stage}"


def fixed_schedule(config: TrainingExperiment) -> bool:
    """Return whether the learning rate of a step depends on how many steps there are in all."""
    return config.trainer.lr_scheduler_type not in _RATE_WITHOUT_END or 0 < config.trainer.warmup_steps < 1
