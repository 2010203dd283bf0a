"""The arguments of TRL's `GRPOConfig` that only GRPO has, or has another default for."""

from __future__ import annotations

from typing import Literal

from trainers.configuration.settings.key import Number, Resume, trl_key
from trainers.configuration.settings.runs.trainer import TrainerSettings

_OWN_ORDER = "questions have an order of their own, by seed and question_order"
_OTHER_QUESTIONS = "a continued run would be brought other questions than its rollouts ask"
_BY_LESSONS = "evaluations are lessons through the run's servers, not passes over batches"
_NO_LABELS = "the loss is of sampled tokens, which have no labels"
_COUNTED = "TRL counts tokens in num_tokens, and transformers finds none to count"
_NO_IMAGES = "questions have no images"


class GRPOTrainerSettings(TrainerSettings):
    """Arguments of `trl.GRPOConfig`, by their own names."""

    learning_rate: Number = trl_key(1e-06, ge=0)
    remove_unused_columns: bool | None = trl_key(False)
    data_seed: int | None = trl_key(None, ge=0, le=4294967295, fixed=_OWN_ORDER)
    train_sampling_strategy: Literal["random", "sequential", "group_by_length", "batch_rebalance"] = trl_key(
        "random", fixed=_OWN_ORDER
    )
    length_column_name: str = trl_key("length", fixed=_OWN_ORDER)
    ignore_data_skip: bool = trl_key(False, fixed=_OTHER_QUESTIONS)
    label_names: list[str] | None = trl_key(None, fixed=_BY_LESSONS)
    prediction_loss_only: bool = trl_key(False, fixed=_BY_LESSONS)
    eval_do_concat_batches: bool = trl_key(True, fixed=_BY_LESSONS)
    eval_use_gather_object: bool = trl_key(False, fixed=_BY_LESSONS)
    eval_accumulation_steps: int | None = trl_key(None, ge=1, fixed=_BY_LESSONS)
    bf16_full_eval: bool = trl_key(False, fixed=_BY_LESSONS)
    fp16_full_eval: bool = trl_key(False, fixed=_BY_LESSONS)
    label_smoothing_factor: Number = trl_key(0.0, ge=0, lt=1, fixed=_NO_LABELS)
    average_tokens_across_devices: bool = trl_key(True, fixed=_NO_LABELS)
    include_num_input_tokens_seen: str | bool = trl_key("no", resume=Resume.FREE, fixed=_COUNTED)
    cast_lm_head_to_fp32: bool = trl_key(False)
    num_generations: int = trl_key(8, ge=2, speed=True)
    shuffle_dataset: bool | None = trl_key(True)
    steps_per_generation: int | None = trl_key(None, ge=1, resume=Resume.FREE)
    beta: Number = trl_key(0.0, ge=0)
    num_iterations: int = trl_key(1, ge=1)
    epsilon: Number = trl_key(0.2, gt=0)
    delta: Number | None = trl_key(None, gt=0)
    epsilon_high: Number | None = trl_key(None, gt=0)
    sapo_temperature_neg: Number = trl_key(1.05)
    sapo_temperature_pos: Number = trl_key(1.0)
    vespo_k_pos: Number = trl_key(2.0)
    vespo_lambda_pos: Number = trl_key(3.0)
    vespo_k_neg: Number = trl_key(3.0)
    vespo_lambda_neg: Number = trl_key(2.0)
    importance_sampling_level: Literal["token", "sequence"] = trl_key("token")
    multi_objective_aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = trl_key("sum_then_normalize")
    scale_rewards: Literal["group", "batch", "none"] = trl_key("group")
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = trl_key("dapo")
    mask_truncated_completions: bool = trl_key(False)
    sync_ref_model: bool = trl_key(False)
    ref_model_mixup_alpha: Number = trl_key(0.6, ge=0, le=1)
    ref_model_sync_steps: int = trl_key(512, ge=1)
    top_entropy_quantile: Number = trl_key(1.0, gt=0, le=1)
    entropy_coef: Number = trl_key(0.0, ge=0)
    use_adaptive_entropy: bool = trl_key(False)
    entropy_coef_min: Number = trl_key(0.0, needs="use_adaptive_entropy")
    entropy_coef_max: Number = trl_key(1.0, needs="use_adaptive_entropy")
    entropy_coef_delta: Number = trl_key(0.005, needs="use_adaptive_entropy")
    entropy_target: Number = trl_key(0.2, needs="use_adaptive_entropy")
    vllm_importance_sampling_correction: bool = trl_key(True)
    vllm_importance_sampling_mode: Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = (
        trl_key("sequence_mask")
    )
    vllm_importance_sampling_clip_max: Number | None = trl_key(3.0, gt=0)
    vllm_importance_sampling_clip_min: Number | None = trl_key(None, ge=0)
    off_policy_mask_threshold: Number | None = trl_key(None)
    use_bias_correction_kl: bool = trl_key(True)
    log_completions: bool = trl_key(False, resume=Resume.FREE)
    log_multimodal: bool = trl_key(True, fixed=_NO_IMAGES)
    num_completions_to_print: int | None = trl_key(None, ge=0, resume=Resume.FREE, needs="log_completions")
    log_unique_prompts: bool = trl_key(False, resume=Resume.FREE, needs="log_completions")
    log_completions_hub_repo: str | None = trl_key(None, resume=Resume.FREE)
