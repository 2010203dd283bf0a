"""Keys of the reference ATLAS, of TRL and of transformers that are no keys here: renamed, needless, or refused.

A key whose value means the same under another name is taken as that key. One that asks for what happens anyway is
accepted and does nothing. Everything else is refused with what to write instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainers.problems import Problem

ANY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Renamed:
    """A key that is called `to` here, with the same meaning."""

    to: str


@dataclass(frozen=True)
class Needless:
    """A key that asks for what happens anyway. `values` are those of which this is true; empty: all."""

    why: str
    values: tuple[str, ...] = ANY


_SERVERS = "generation always goes through vLLM servers"
_OWN_SERVERS = "the student runs in servers of its own"

RENAMED = {
    "chat_template_kwargs": Renamed("teacher_chat_template_kwargs"),
    "dataset_local_directory": Renamed("dataset_id_or_path"),
    "evaluation_strategy": Renamed("eval_strategy"),
    "logging_prob": Renamed("save_completions_probability"),
    "max_seq_length": Renamed("max_length"),
    "resume_from": Renamed("resume"),
    "resume_from_checkpoint": Renamed("resume"),
    "student_baseline_template": Renamed("baseline_template"),
    "student_diagnostic_template": Renamed("probe_template"),
    "student_with_teaching_template": Renamed("taught_template"),
    "teacher_adaptive_template": Renamed("teacher_template"),
    "torch_dtype": Renamed("dtype"),
    "train_split": Renamed("dataset_split"),
    "vllm_importance_sampling_cap": Renamed("vllm_importance_sampling_clip_max"),
    "vllm_server_host": Renamed("vllm_host"),
    "vllm_server_port": Renamed("vllm_port"),
    "wandb_project": Renamed("project"),
    "wandb_run_name": Renamed("run_name"),
    "warmup_ratio": Renamed("warmup_steps"),
}

NEEDLESS = {
    "completion_only_training": Needless("the loss is on the teacher's reply only", ("true",)),
    "disable_dropout": Needless("the policy is trained without dropout, as the servers sample", ("true",)),
    "disable_student_offloading": Needless(_OWN_SERVERS),
    "do_eval": Needless("eval_strategy says whether a run evaluates"),
    "do_train": Needless("the recipe says what runs"),
    "ds3_gather_for_generation": Needless("weights are gathered bucket by bucket when they are sent to the servers"),
    "generation_aggregation_steps": Needless("a rollout generates for a whole optimizer step at once"),
    "local_rank": Needless("the launcher sets it"),
    "num_vllm_clients": Needless("the first number given to scripts/launch_with_server.sh says it"),
    "offload_untrained_models": Needless(_OWN_SERVERS),
    "student_model_init_kwargs": Needless("the student is loaded by its server", ("null", "~", "{}")),
    "unbias_log_probabilities": Needless("the sampling temperature is always part of log-probabilities", ("true",)),
    "use_cpu": Needless("a machine without GPU is recognised"),
    "use_reference_teacher_model": Needless("beta says whether there is a reference model", ("false",)),
    "use_vllm": Needless(_SERVERS),
    "vllm_group_port": Needless("a free port is chosen"),
    "vllm_mode": Needless(_SERVERS, ("server",)),
    "vllm_server_timeout": Needless("a server is waited for while it starts, and watched while it runs"),
}

_OUT = "leave it out: "
_DEEPSPEED = "write zero1, zero2, zero3 or offload among the arguments"
_BATCH = "set train_batch_size, the completions (SFT: sequences) per optimizer step"
_PER_DEVICE = "set per_device_train_batch_size"
_NAME = "set run_name, which names the run in its logs"
_SERVER_MEMORY = "set teacher_gpu_memory_utilization and student_gpu_memory_utilization"

REFUSED = {
    "accelerator_config": "edit the files in accelerate/",
    "activate_debugging_logs": _OUT + "metrics.jsonl has every metric, and lessons/ what was said",
    "artificial_epochs": "set num_train_epochs",
    "auto_find_batch_size": _PER_DEVICE,
    "backprop_accumulation_micro_batch_size": _PER_DEVICE,
    "backprop_accumulation_steps": _PER_DEVICE,
    "cache_implementation": _OUT + _SERVERS,
    "call_post_training": "run scripts/launch_with_server.sh V 0 configs/run/evaluate.yaml afterwards",
    "completion_only_training": _OUT + "the loss is on the teacher's reply only",
    "data_log_name": _NAME,
    "degradation_penalty_multiplier": "set degradation_penalty, what a lesson costs that makes a right student wrong",
    "disable_dropout": _OUT + "the policy is trained without dropout, as the servers sample",
    "do_predict": "run scripts/launch_with_server.sh V 0 configs/run/evaluate.yaml",
    "fsdp": _DEEPSPEED,
    "fsdp_config": _DEEPSPEED,
    "generation_batch_size": _BATCH,
    "hub_always_push": "leave it out: push_to_hub pushes the final model, once",
    "hub_strategy": "leave it out: push_to_hub pushes the final model, once",
    "generation_kwargs": "set temperature, top_p, top_k, min_p or repetition_penalty",
    "gradient_accumulation_steps": _BATCH + "; accumulation follows from it",
    "keep_columns": _OUT + "columns are found by name; column_map names them otherwise",
    "log_ctx_name": _NAME,
    "max_tool_calling_iterations": _OUT + "the protocol has no tools",
    "model_init_kwargs": "set dtype, attn_implementation, model_revision or trust_remote_code",
    "model_log_name": _NAME,
    "overwrite_output_dir": "set resume=never, which sets old output aside",
    "parallelism_config": _DEEPSPEED,
    "reward_fns": "set reward=dotted.path of a callable",
    "reward_funcs": "set reward=dotted.path of a callable",
    "reward_log_name": _NAME,
    "reward_weights": "set reward=dotted.path of a callable that weighs what it likes",
    "student_model_init_kwargs": "set student_dtype, student_max_model_len or student_tensor_parallel_size",
    "tags": _NAME,
    "tokenizer_kwargs": _OUT + "each model is prompted through its own tokenizer",
    "tokenizer_name_or_path": _OUT + "each model is prompted through its own tokenizer",
    "trainer_log_name": _NAME,
    "transformers_continuous_batching_config": _OUT + _SERVERS,
    "unbias_log_probabilities": _OUT + "the sampling temperature is always part of log-probabilities",
    "use_reference_teacher_model": "set beta above 0, which keeps a reference model",
    "use_transformers_continuous_batching": _OUT + _SERVERS,
    "use_transformers_paged": _OUT + _SERVERS,
    "val_split": "set eval_dataset_id_or_path, or eval_split_ratio to hold rows out",
    "vllm_device": _OUT + "servers take the first V GPUs of scripts/launch_with_server.sh V T",
    "vllm_dtype": "set teacher_dtype and student_dtype",
    "vllm_enable_sleep_mode": _OUT + "the servers run in processes of their own",
    "vllm_gpu_memory_utilization": _SERVER_MEMORY,
    "vllm_max_model_len": "set teacher_max_model_len and student_max_model_len",
    "vllm_max_model_length": "set teacher_max_model_len and student_max_model_len",
    "vllm_mode": _OUT + _SERVERS,
    "vllm_model_impl": _OUT + "the servers use vLLM's own models",
    "vllm_server_base_url": "set vllm_host and vllm_port",
    "vllm_structured_outputs_regex": _OUT + "teachings are free text",
    "vllm_tensor_parallel_size": "set teacher_tensor_parallel_size and student_tensor_parallel_size",
}
"""Remedies for keys (or for those values of needless keys) that cannot be had as written."""

_DR_GRPO = "set loss_type=dr_grpo and scale_rewards=none"
VALUES = {
    ("loss_type", "gspo"): "set importance_sampling_level=sequence with loss_type=grpo, which together are GSPO",
    ("loss_type", "gspo_token"): "set importance_sampling_level=sequence with loss_type=grpo, which together are GSPO",
    ("loss_type", "drgrpo"): _DR_GRPO,
    ("loss_type", "dr-grpo"): _DR_GRPO,
    ("loss_type", "rloo"): "set loss_type=grpo and scale_rewards=none, whose advantages differ from RLOO's by a factor",
}
"""Keys that give the algorithm which another framework has a name for, where that name is no value here."""

REPLACED = RENAMED.keys() | NEEDLESS.keys() | REFUSED.keys()


def adopted(path: str, value: str) -> Renamed | Needless | Problem | None:
    """Return how `path=value`, as typed by a user, is taken; `None` when the key at its head is not a foreign one."""
    key = path.partition(".")[0]
    if key in RENAMED:
        return RENAMED[key]
    needless = NEEDLESS.get(key)
    if needless and (needless.values == ANY or value.strip("'\"").lower() in needless.values):
        return needless
    return refusal(key, f"{path}={value}")


def value_refusal(key: str, value: str) -> str | None:
    """Return what to write for a value that other frameworks have under this key; `None` when there is nothing."""
    return VALUES.get((key, value.lower()))


def refusal(key: str, given: str) -> Problem | None:
    """Return the problem with a key where only keys of ours may stand, such as in a recipe.

    `None` when it is not foreign.
    """
    if key in RENAMED:
        return Problem(given, f"{key} is called {RENAMED[key].to} here", f"write {RENAMED[key].to}")
    if key in REFUSED:
        return Problem(given, f"there is no key {key} here", REFUSED[key])
    if key in NEEDLESS:
        return Problem(given, f"{key} has no effect here", f"{_OUT}{NEEDLESS[key].why}")
    return None
