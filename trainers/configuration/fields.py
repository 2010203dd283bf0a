"""Every key a run can have: TRL's own fields from the snapshot, and ours from the table below."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from trainers.configuration import snapshot
from trainers.configuration.foreign import REPLACED

SFT, GRPO, EVALUATION = "sft", "teacher_grpo", "evaluation"
EXPERIMENTS = (SFT, GRPO, EVALUATION)
TRL_CLASS = {SFT: "SFTConfig", GRPO: "GRPOConfig", EVALUATION: "GRPOConfig"}
STAGES = ("zero1", "zero2", "zero3", "zero3_cpu_offloading")


@dataclass(frozen=True)
class Field:
    """One key: its type in the language of `annotations.fits`, default, meaning, and the values it may take.

    `bounds` is text such as `>= 1` or `> 0, <= 1`; it holds for numbers, and is not asked of null.
    """

    name: str
    type: str
    default: Any
    doc: str = ""
    choices: tuple[str, ...] = ()
    bounds: str = ""
    experiments: tuple[str, ...] = EXPERIMENTS


def _group(experiments: tuple[str, ...], fields: Iterable[Field]) -> tuple[Field, ...]:
    return tuple(Field(f.name, f.type, f.default, f.doc, f.choices, f.bounds, experiments) for f in fields)


OWN = (
    *_group(
        EXPERIMENTS,
        (
            Field("experiment", "str | null", None, "What train.py runs.", choices=EXPERIMENTS),
            Field("results_dir", "str", "results", "Directory in which runs make their output directories."),
            Field("exp_name", "str | null", None, "Name of the output directory inside results_dir."),
            Field("workspace", "str", "${results_dir}/quickstart", "Directory that the quickstart recipes work in."),
            Field("world", "str", "${workspace}/world", "Directory of the embedded world (models and data)."),
            Field(
                "dtype",
                "str",
                "bfloat16",
                "Precision of the trained model.",
                ("auto", "bfloat16", "float16", "float32"),
            ),
            Field("attn_implementation", "str", "sdpa", "Attention implementation of the trained model."),
            Field("model_revision", "str | null", None, "Branch, tag or commit of the trained model on the hub."),
            Field("trust_remote_code", "bool", False, "Run model code that comes with a checkpoint."),
            Field("dataset_id_or_path", "str | null", None, "Hub id, directory or file of the training rows."),
            Field("dataset_config", "str | null", None, "Configuration name of a hub dataset."),
            Field("dataset_files", "str | null", None, "File inside a hub dataset, such as training/rl.jsonl."),
            Field("dataset_split", "str", "train", "Split to read, or a part of one: train[:10%]."),
            Field(
                "dataset_level_filter",
                "str | int | null",
                None,
                "Level to read: the configuration of that name, else the rows with this value in their level column.",
            ),
            Field("dataset_max_samples", "int | null", None, "Read at most so many rows.", bounds=">= 1"),
            Field("column_map", "dict | null", None, "Our column names → the dataset's, e.g. {question: prompt}."),
            Field("row_reader", "str | null", None, "Dotted path of a function from a row to one with our names."),
            Field(
                "row_reader_args", "dict | null", None, "Settings of the row reader, by the names of its parameters."
            ),
            Field(
                "max_bad_row_ratio",
                "float",
                0.01,
                "Share of bad rows above which a dataset is refused; up to it they are dropped and counted.",
                bounds=">= 0, <= 1",
            ),
            Field(
                "overlong_prompts",
                "str",
                "drop",
                "Rows that do not fit into the contexts: drop and count them, or stop with an error.",
                ("drop", "error"),
            ),
            Field("wandb_group_name", "str | null", None, "Group of the run on W&B."),
            Field("resume", "str", "auto", "auto, never, or the path of a checkpoint to continue from."),
        ),
    ),
    *_group(
        (SFT, GRPO),
        (
            Field("model_name_or_path", "str | null", None, "The model to train: hub id or directory."),
            Field(
                "eval_dataset_id_or_path",
                "str | null",
                None,
                "Evaluation rows; null splits them off the training rows.",
            ),
            Field("eval_dataset_split", "str | null", None, "Split of the evaluation rows; null: dataset_split."),
            Field(
                "eval_split_ratio",
                "float",
                0.1,
                "Share of the rows held out when there is no evaluation dataset.",
                bounds=">= 0, < 1",
            ),
            Field("save_final_model", "bool", True, "Write the final model and tokenizer to output_dir."),
            Field(
                "deepspeed", "str", "zero3", "DeepSpeed stage; the words zero1, zero2, zero3, offload set it.", STAGES
            ),
            Field(
                "train_batch_size",
                "int",
                16,
                "Sequences (SFT) or completions (GRPO) per optimizer step, over all processes.",
                bounds=">= 1",
            ),
            Field(
                "processes",
                "int",
                1,
                "Training processes the batch was fitted for; set by the launcher.",
                bounds=">= 1",
            ),
            Field("resume_from", "str | null", None, "Checkpoint the trainer continues from; decided from `resume`."),
        ),
    ),
    *_group(
        (SFT, GRPO),
        (
            Field("use_peft", "bool", False, "Train a LoRA adapter instead of all weights."),
            Field("lora_r", "int", 16, "Rank of the adapter's matrices.", bounds=">= 1"),
            Field("lora_alpha", "int", 32, "Scale of the adapter: lora_alpha / lora_r.", bounds=">= 1"),
            Field("lora_dropout", "float", 0.0, "Dropout before the adapter, in SFT.", bounds=">= 0, < 1"),
            Field(
                "lora_target_modules",
                "str | list[str] | null",
                "all-linear",
                "Layers with adapters, by name; null takes peft's choice for the model.",
            ),
            Field("use_rslora", "bool", False, "Scale the adapter by lora_alpha / sqrt(lora_r)."),
            Field("load_in_4bit", "bool", False, "Keep the base model in 4 bits (bitsandbytes); needs use_peft."),
            Field("bnb_4bit_quant_type", "str", "nf4", "Kind of the 4-bit numbers.", ("nf4", "fp4")),
            Field("use_bnb_nested_quant", "bool", False, "Quantise the scales of the 4-bit numbers as well."),
        ),
    ),
    *_group(
        (GRPO, EVALUATION),
        (
            Field(
                "student_model", "str | null", None, "The student: hub id, directory, or the name an API knows it by."
            ),
            Field(
                "student_agent",
                "str | null",
                None,
                "Dotted path of a function from text to text, or a class of such, that is the student.",
            ),
            Field("student_agent_args", "dict | null", None, "Settings of the agent, by the names of its parameters."),
            Field(
                "student_base_url",
                "str | null",
                None,
                "OpenAI-compatible API that serves the student instead of a server of ours.",
            ),
            Field(
                "student_api_key_env",
                "str | null",
                "OPENAI_API_KEY",
                "Environment variable that holds the student API's key; null for an API that wants none.",
            ),
            Field(
                "student_requests_per_minute", "float | null", None, "Requests the API takes per minute.", bounds="> 0"
            ),
            Field(
                "student_tokens_per_minute",
                "float | null",
                None,
                "Tokens the API takes per minute, prompts and completions together.",
                bounds="> 0",
            ),
            Field(
                "student_spending_cap",
                "float | null",
                None,
                "US dollars that a run may spend on the student's API; reaching it stops the run with a checkpoint.",
                bounds="> 0",
            ),
            Field(
                "student_price_per_million_tokens",
                "dict | null",
                None,
                "US dollars for a million tokens of the student's API: {prompt: …, completion: …}.",
            ),
            Field("student_extra_body", "dict", {}, "Fields added to every request to the student's API."),
            Field("student_temperature", "float", 0.7, "Sampling temperature of the student.", bounds=">= 0"),
            Field("student_top_p", "float", 1.0, "Nucleus of the student.", bounds="> 0, <= 1"),
            Field("student_max_tokens", "int", 2048, "Token budget of a solution.", bounds=">= 1"),
            Field("student_max_model_len", "int | null", None, "Context of the student's server.", bounds=">= 1"),
            Field(
                "student_dtype",
                "str",
                "auto",
                "Precision of the student's server.",
                ("auto", "bfloat16", "float16", "float32"),
            ),
            Field(
                "student_gpu_memory_utilization",
                "float",
                0.9,
                "Share of the GPU for the student's server.",
                bounds="> 0, <= 1",
            ),
            Field("student_tensor_parallel_size", "int", 1, "GPUs per student server.", bounds=">= 1"),
            Field(
                "student_chat_template_kwargs",
                "dict",
                {"enable_thinking": False},
                "Arguments of the student's chat template.",
            ),
            Field("teacher_max_model_len", "int | null", None, "Context of the teacher's server.", bounds=">= 1"),
            Field(
                "teacher_dtype",
                "str",
                "auto",
                "Precision of the teacher's server.",
                ("auto", "bfloat16", "float16", "float32"),
            ),
            Field(
                "teacher_gpu_memory_utilization",
                "float",
                0.9,
                "Share of the GPU for the teacher's server.",
                bounds="> 0, <= 1",
            ),
            Field("teacher_tensor_parallel_size", "int", 1, "GPUs per teacher server.", bounds=">= 1"),
            Field("use_vllm_server", "bool", True, "Generate through vLLM servers: the only mode."),
            Field("vllm_host", "str", "127.0.0.1", "Host of the model servers."),
            Field(
                "vllm_port",
                "int",
                8765,
                "Port of the first server; server i listens on vllm_port + i.",
                bounds=">= 1, <= 65535",
            ),
            Field("num_vllm_servers", "int", 1, "V of the launcher: server slots, one GPU each.", bounds=">= 1"),
            Field("num_baselines", "int", 1, "Untaught solutions per question, shared by its group.", bounds=">= 1"),
            Field("reward", "str | null", None, "Dotted path of a callable that replaces the reward."),
            Field("reward_args", "dict | null", None, "Settings of the reward, by the names of its parameters."),
            Field("efficiency_weight", "float", 1.0, "Weight of the bonus for short teachings.", bounds=">= 0"),
            Field("degradation_penalty", "float", 0.0, "What a right student made wrong costs.", bounds=">= 0"),
            Field(
                "leak_policy", "str", "penalise", "What a teaching that tells the answer earns.", ("penalise", "report")
            ),
            Field("verifier", "str", "math", "math, exact, code, or the dotted path of a verifier."),
            Field("verifier_args", "dict | null", None, "Settings of the verifier, by the names of its parameters."),
            Field("verifier_timeout_s", "float", 10.0, "Seconds until an answer counts as unscorable.", bounds="> 0"),
            Field(
                "request_timeout_s",
                "float",
                600.0,
                "Seconds one generation request, or one step of a weight update, may take.",
                bounds="> 0",
            ),
            Field("max_concurrent_requests", "int", 256, "Completions in flight per server.", bounds=">= 1"),
            Field(
                "max_prompt_length",
                "int | null",
                None,
                "Longest prompt of the teacher in tokens, the approach counted at max_probe_tokens; null: its context.",
                bounds=">= 1",
            ),
            Field("eval_max_samples", "int | null", 64, "Questions per evaluation; null takes all.", bounds=">= 1"),
        ),
    ),
    *_group(
        EXPERIMENTS,
        (
            Field("student_system_prompt", "str | null", None, "System message of the student."),
            Field("baseline_template", "str", "", "User message that asks the student to solve {question}."),
            Field("probe_template", "str", "", "User message that asks the student for an approach to {question}."),
            Field(
                "max_probe_tokens",
                "int",
                500,
                "Token budget of the student's approach; 0 asks for none, and the teacher sees the question alone.",
                bounds=">= 0",
            ),
            Field("teacher_template", "str", "", "User message that gives the teacher {question} and {approach}."),
            Field("taught_template", "str", "", "User message that gives the student {question} and {teaching}."),
            Field(
                "teacher_chat_template_kwargs",
                "dict",
                {"enable_thinking": False},
                "Arguments of the teacher's chat template.",
            ),
            Field("teacher_system_prompt", "str | null", None, "System message of the teacher."),
        ),
    ),
    *_group(
        (GRPO,),
        (
            Field(
                "weight_transfer",
                "str",
                "auto",
                "How weights reach the teacher's servers: auto, gloo, nccl, ipc, or the dotted path of a transport.",
            ),
            Field(
                "trainer_class",
                "str | null",
                None,
                "Dotted path of a class derived from trainers.teacher_grpo.TeacherGRPOTrainer, with a loss of its own.",
            ),
            Field(
                "verify_weights_every",
                "int",
                50,
                "Compare a server's greedy tokens with the trainer's own pass after the weight updates 1, 2, 4, 8, … "
                "and every so many; 0: only after those.",
                bounds=">= 0",
            ),
            Field(
                "verify_weights_tolerance",
                "float | null",
                None,
                "Difference of log-probabilities that ends the run; null: what rounding explains in the precision.",
                bounds="> 0",
            ),
            Field(
                "save_completions_probability",
                "float",
                0.1,
                "Share of groups whose lessons are written to lessons/.",
                bounds=">= 0, <= 1",
            ),
            Field(
                "rollout_overlap",
                "int",
                0,
                "1 generates the next rollout while training on the last; 0 is strictly on-policy.",
                bounds=">= 0, <= 1",
            ),
            Field(
                "max_lost_groups",
                "float",
                0.25,
                "Share of a step's groups that may be lost before the run stops.",
                bounds=">= 0, <= 1",
            ),
        ),
    ),
    *_group(
        (EVALUATION,),
        (
            Field(
                "teacher",
                "str | dict | list | null",
                None,
                "Teacher checkpoint, API model {base_url: …, model: …}, or a list; null evaluates the student alone.",
            ),
            Field(
                "teacher_names",
                "list[str] | null",
                None,
                "Names of the teachers in tables; null derives them from the paths.",
            ),
            Field("num_rollouts", "int", 1, "Lessons per question and teacher.", bounds=">= 1"),
            Field("eval_concurrency", "int", 32, "Questions worked on at a time.", bounds=">= 1"),
            Field(
                "level_column",
                "str | null",
                None,
                "Column of levels or subsets to break gains down by; null takes level, difficulty, subset or kind.",
            ),
        ),
    ),
)

DERIVED = {"gradient_accumulation_steps", "use_cpu", "processes", "resume_from"}
"""Keys that composing computes: refused from users, present in a resolved configuration."""

_SHARED_WITH_EVALUATION = (
    "output_dir seed temperature top_p top_k min_p repetition_penalty max_completion_length report_to run_name project "
    "num_generations_eval"
)

_BOUNDS = {
    ">= 1": "per_device_train_batch_size per_device_eval_batch_size steps_per_generation num_iterations "
    "max_completion_length max_length save_total_limit ref_model_sync_steps num_generations_eval "
    "eval_accumulation_steps torch_empty_cache_steps dataloader_prefetch_factor dataset_num_proc ddp_bucket_cap_mb "
    "ddp_timeout",
    ">= 2": "num_generations",
    ">= 0": "learning_rate weight_decay beta temperature warmup_steps max_grad_norm top_k entropy_coef "
    "eval_delay dataloader_num_workers num_completions_to_print neftune_noise_alpha vllm_importance_sampling_clip_min",
    "> 0": "num_train_epochs logging_steps save_steps eval_steps epsilon epsilon_high delta repetition_penalty "
    "vllm_importance_sampling_clip_max adam_epsilon",
    "> 0, <= 1": "top_p top_entropy_quantile",
    ">= 0, < 1": "adam_beta1 adam_beta2 label_smoothing_factor",
    ">= 0, <= 1": "min_p ref_model_mixup_alpha",
    ">= -1, != 0": "max_steps",
    # What numpy takes.
    ">= 0, <= 4294967295": "seed data_seed",
}
_CHOICES = {
    f"{SFT}.loss_type": ("nll", "dft"),
    f"{GRPO}.loss_type": ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "scale_rewards": ("group", "batch", "none"),
    "importance_sampling_level": ("token", "sequence"),
    "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
}


@cache
def fields_of(experiment: str) -> dict[str, Field]:
    """All keys of an experiment, TRL's first; ours win where both have a name (`deepspeed`, `trust_remote_code`)."""
    entries = snapshot.read()[TRL_CLASS[experiment]]
    names = _SHARED_WITH_EVALUATION.split() if experiment == EVALUATION else [n for n in entries if usable(n)]
    bounds = {name: text for text, listed in _BOUNDS.items() for name in listed.split()}
    choices = {name: _CHOICES.get(f"{experiment}.{name}") or _CHOICES.get(name, ()) for name in names}
    trl = {name: _trl_field(name, entries[name], bounds.get(name, ""), choices[name]) for name in names}
    return trl | {field.name: field for field in OWN if experiment in field.experiments}


@cache
def all_names() -> frozenset[str]:
    """The keys of any experiment."""
    return frozenset(name for experiment in EXPERIMENTS for name in fields_of(experiment))


def usable(name: str) -> bool:
    """Return whether a TRL field is one of our keys: not replaced, or computed by us."""
    return name not in REPLACED or name in DERIVED


def _trl_field(name: str, entry: dict[str, Any], bounds: str, known: tuple[str, ...]) -> Field:
    choices = tuple(entry.get("choices", ())) or known
    doc = f"See TRL's documentation of `{name}`."
    return Field(name, entry["type"], entry["default"], doc, choices, bounds)
