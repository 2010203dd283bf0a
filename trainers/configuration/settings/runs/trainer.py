"""The arguments of transformers' trainer that SFT and GRPO share, at TRL's defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from trainers.configuration.settings.key import Number, Resume, Settings, trl_key

_NO_COMPUTE_METRICS = "transformers hands it to a compute_metrics, and there is none"
_NO_DDP = "processes are joined by DeepSpeed, not by DDP"
_UNFINISHED = "a run that it stopped would count as complete, and be continued by nothing"
_STOPPED_AGAIN = "a run that was stopped would stop again at once; what early stopping has counted is kept without it"


class TrainerSettings(Settings):
    """Arguments of `transformers.TrainingArguments`, by their own names."""

    per_device_train_batch_size: int = trl_key(8, ge=1, resume=Resume.FREE, speed=True)
    num_train_epochs: Number = trl_key(3.0, gt=0, resume=Resume.LENGTH)
    max_steps: int = trl_key(-1, ge=-1, resume=Resume.LENGTH)
    learning_rate: Number = trl_key(1e-06, ge=0)
    lr_scheduler_type: Literal[
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
        "reduce_lr_on_plateau",
        "cosine_with_min_lr",
        "cosine_warmup_with_min_lr",
        "warmup_stable_decay",
        "greedy",
    ] = trl_key("linear")
    lr_scheduler_kwargs: dict[Any, Any] | str | None = trl_key(None)
    warmup_steps: Number = trl_key(0, ge=0)
    optim: Literal[
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_torch_xla",
        "adamw_torch_npu_fused",
        "adafactor",
        "adamw_anyprecision",
        "adamw_torch_4bit",
        "adamw_torch_8bit",
        "ademamix",
        "sgd",
        "adagrad",
        "adamw_bnb_8bit",
        "adamw_8bit",
        "ademamix_8bit",
        "lion_8bit",
        "lion_32bit",
        "paged_adamw_32bit",
        "paged_adamw_8bit",
        "paged_ademamix_32bit",
        "paged_ademamix_8bit",
        "paged_lion_32bit",
        "paged_lion_8bit",
        "rmsprop",
        "rmsprop_bnb",
        "rmsprop_bnb_8bit",
        "rmsprop_bnb_32bit",
        "galore_adamw",
        "galore_adamw_8bit",
        "galore_adafactor",
        "galore_adamw_layerwise",
        "galore_adamw_8bit_layerwise",
        "galore_adafactor_layerwise",
        "lomo",
        "adalomo",
        "grokadamw",
        "schedule_free_radam",
        "schedule_free_adamw",
        "schedule_free_sgd",
        "apollo_adamw",
        "apollo_adamw_layerwise",
        "stable_adamw",
    ] = trl_key("adamw_torch_fused")
    optim_args: str | None = trl_key(None)
    weight_decay: Number = trl_key(0.0, ge=0)
    adam_beta1: Number = trl_key(0.9, ge=0, lt=1)
    adam_beta2: Number = trl_key(0.999, ge=0, lt=1)
    adam_epsilon: Number = trl_key(1e-08, gt=0)
    optim_target_modules: str | list[str] | None = trl_key(None)
    gradient_accumulation_steps: int = trl_key(1, computed=True, resume=Resume.FREE)
    average_tokens_across_devices: bool = trl_key(True)
    max_grad_norm: Number = trl_key(1.0, ge=0)
    label_smoothing_factor: Number = trl_key(0.0, ge=0, lt=1)
    bf16: bool | None = trl_key(None)
    fp16: bool = trl_key(False)
    bf16_full_eval: bool = trl_key(False)
    fp16_full_eval: bool = trl_key(False)
    tf32: bool | None = trl_key(None)
    gradient_checkpointing: bool = trl_key(True, resume=Resume.FREE)
    gradient_checkpointing_kwargs: dict[Any, Any] | str | None = trl_key(None, resume=Resume.FREE)
    torch_compile: bool = trl_key(False)
    torch_compile_backend: str | None = trl_key(None)
    torch_compile_mode: str | None = trl_key(None)
    use_liger_kernel: bool = trl_key(False)
    liger_kernel_config: dict[Any, Any] | None = trl_key(None)
    use_cache: bool = trl_key(False)
    neftune_noise_alpha: Number | None = trl_key(None, ge=0)
    torch_empty_cache_steps: int | None = trl_key(None, ge=1)
    logging_strategy: Literal["no", "steps", "epoch"] = trl_key("steps", resume=Resume.FREE)
    logging_steps: Number = trl_key(10, gt=0, resume=Resume.FREE)
    logging_first_step: bool = trl_key(False, resume=Resume.FREE)
    log_on_each_node: bool = trl_key(True, resume=Resume.FREE)
    logging_nan_inf_filter: bool = trl_key(True)
    include_num_input_tokens_seen: str | bool = trl_key("no", resume=Resume.FREE)
    log_level: Literal["detail", "debug", "info", "warning", "error", "critical", "passive"] = trl_key(
        "passive", resume=Resume.FREE
    )
    log_level_replica: Literal["detail", "debug", "info", "warning", "error", "critical", "passive"] = trl_key(
        "warning", resume=Resume.FREE
    )
    disable_tqdm: bool | None = trl_key(None, resume=Resume.FREE)
    trackio_space_id: str | None = trl_key(None)
    trackio_bucket_id: str | None = trl_key(None)
    trackio_static_space_id: str | Literal[False] | None = trl_key(None)
    eval_strategy: Literal["no", "steps", "epoch"] = trl_key("no")
    eval_steps: Number | None = trl_key(None, gt=0, resume=Resume.EVALUATION)
    eval_delay: Number = trl_key(0, ge=0, resume=Resume.EVALUATION)
    per_device_eval_batch_size: int = trl_key(8, ge=1, resume=Resume.FREE)
    prediction_loss_only: bool = trl_key(False)
    eval_on_start: bool = trl_key(False, resume=Resume.FREE)
    eval_do_concat_batches: bool = trl_key(True)
    eval_use_gather_object: bool = trl_key(False)
    eval_accumulation_steps: int | None = trl_key(None, ge=1)
    include_for_metrics: list[str] = trl_key([], fixed=_NO_COMPUTE_METRICS)
    batch_eval_metrics: bool = trl_key(False, fixed=_NO_COMPUTE_METRICS)
    save_only_model: bool = trl_key(False, resume=Resume.FREE)
    save_strategy: Literal["no", "steps", "epoch", "best"] = trl_key("steps", resume=Resume.FREE)
    save_steps: Number = trl_key(500, gt=0, resume=Resume.FREE)
    save_on_each_node: bool = trl_key(False)
    save_total_limit: int | None = trl_key(None, ge=2, resume=Resume.FREE)
    enable_jit_checkpoint: bool = trl_key(False, fixed=_UNFINISHED)
    push_to_hub: bool = trl_key(False, resume=Resume.FREE)
    hub_token: str | None = trl_key(None, secret=True)
    hub_private_repo: bool | None = trl_key(None, resume=Resume.FREE)
    hub_model_id: str | None = trl_key(None, resume=Resume.FREE)
    hub_revision: str | None = trl_key(None, resume=Resume.FREE)
    load_best_model_at_end: bool = trl_key(False)
    metric_for_best_model: str | None = trl_key(None)
    greater_is_better: bool | None = trl_key(None)
    ignore_data_skip: bool = trl_key(False)
    restore_callback_states_from_checkpoint: bool = trl_key(False, fixed=_STOPPED_AGAIN)
    full_determinism: bool = trl_key(False)
    data_seed: int | None = trl_key(None, ge=0, le=4294967295)
    use_cpu: bool = trl_key(False, computed=True, resume=Resume.FREE)
    dataloader_drop_last: bool = trl_key(False)
    dataloader_num_workers: int = trl_key(0, ge=0, resume=Resume.FREE)
    dataloader_pin_memory: bool = trl_key(True, resume=Resume.FREE)
    dataloader_persistent_workers: bool = trl_key(False, resume=Resume.FREE)
    dataloader_prefetch_factor: int | None = trl_key(None, ge=1, resume=Resume.FREE)
    dataloader_multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = trl_key(None)
    dataloader_in_order: bool = trl_key(True)
    label_names: list[str] | None = trl_key(None)
    train_sampling_strategy: Literal["random", "sequential", "group_by_length", "batch_rebalance"] = trl_key("random")
    length_column_name: str = trl_key("length")
    ddp_find_unused_parameters: bool | None = trl_key(None, fixed=_NO_DDP)
    ddp_bucket_cap_mb: int | None = trl_key(None, ge=1, fixed=_NO_DDP)
    ddp_broadcast_buffers: bool | None = trl_key(None, fixed=_NO_DDP)
    ddp_static_graph: bool | None = trl_key(None, fixed=_NO_DDP)
    ddp_backend: Literal["nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl"] | None = trl_key(None)
    ddp_timeout: int = trl_key(1800, ge=1)
    debug: str | list[str] = trl_key("")
    skip_memory_metrics: bool = trl_key(True, resume=Resume.FREE)
    router_aux_loss_coef: Number | None = trl_key(None)
    pad_to_multiple_of: int | str | None = trl_key("auto")

    @field_validator("max_steps")
    @classmethod
    def _some_steps(cls, value: int) -> int:
        if value == 0:
            raise PydanticCustomError("no_steps", "expected a number >= -1 and != 0")
        return value
