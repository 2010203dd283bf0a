"""Rules between keys. Pure: nothing here looks at files, the network or the machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from trainers.configuration.checks.api_rules import check_apis, check_names
from trainers.configuration.checks.baselines.mentor import check_mentor
from trainers.configuration.checks.baselines.prompt_search import check_search
from trainers.configuration.checks.judges.rules import check_judges
from trainers.configuration.checks.leak_rules import check_leaks
from trainers.configuration.checks.model_rules import check_model
from trainers.configuration.checks.packages import REPORTERS
from trainers.configuration.checks.plugin_rules import check_plugins
from trainers.configuration.checks.student_rules import check_pool, each_student
from trainers.configuration.checks.template_rules import check_template_arguments, check_templates
from trainers.configuration.datasets.column_names import ACCEPTED
from trainers.configuration.devices.placement import (
    default_name,
    models,
    slots_used,
    teacher_entries,
    teacher_list,
    teachers,
)
from trainers.configuration.schedule.batches import Batch
from trainers.configuration.schedule.evaluation_metrics import check_metric
from trainers.configuration.schedule.rules import check_schedule
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    Experiment,
    GRPOExperiment,
    PromptSearchExperiment,
    SFTExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.judges import judge_args, served_models
from trainers.configuration.settings.keys import keys_of
from trainers.configuration.settings.runs.teaching import TeachingSettings, audited_share
from trainers.configuration.settings.runs.trainer import TrainerSettings
from trainers.configuration.settings.students import all_members
from trainers.problems import Problem
from trainers.teaching.verifiers.names import NAMES

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
COLUMNS = tuple(ACCEPTED)
TEMPLATE_SUFFIXES = (".jinja", ".j2")

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
MAX_GROWTH = 2
LEAST_TEMPERATURE = 0.01
"""Temperature to which vLLM raises smaller ones, except 0."""


def validate(config: Experiment) -> list[Problem]:
    """Return all problems between the keys of a configuration whose single values are fine."""
    # Metrics and students belong to the whole run, other rules to the run of each student.
    judged = list(check_metric(config)) if isinstance(config, TrainingExperiment) else []
    if not isinstance(config, StudentExperiment):
        return [*_within(config), *judged]
    if config.pool.students is None and config.pool.heldout_students is None:
        return [*_within(config), *judged, *_servers(config)]
    return [*each_student(config, _within), *judged, *check_pool(config), *_servers(config)]


def _within(config: Experiment) -> list[Problem]:
    """Return the problems of a run of one student at most, less those of its servers' slots."""
    found = [*_required(config), *_common(config), *check_model(config), *check_template_arguments(config)]
    found += check_plugins(config)
    if isinstance(config, TrainingExperiment):
        found += [*_precision(config.trainer), *check_schedule(config)]
    if isinstance(config, SFTExperiment):
        found += [*check_templates(config.prompts, ("teacher_template",)), *_sft(config)]
    if isinstance(config, StudentExperiment):
        found += [
            *check_templates(config.prompts, unused=_unused_templates(config.teaching)),
            *_names(config.teaching),
            *check_apis(config),
            *_contexts(config),
        ]
        found += [*check_leaks(config), *check_judges(config)]
    if isinstance(config, GRPOExperiment):
        found += _grpo(config)
    if isinstance(config, EvaluationExperiment):
        found += _evaluation(config)
    if isinstance(config, PromptSearchExperiment):
        found += check_search(config)
    return found


def _required(config: Experiment) -> Iterator[Problem]:
    flat, experiment = config.flat(), config.output.experiment
    for name, key in keys_of(experiment).items():
        if key.facts.required and not flat[name]:
            yield Problem(f"{name}=null", f"experiment {experiment} needs it", f"write {name}=…")


def _precision(trainer: TrainerSettings) -> Iterator[Problem]:
    if trainer.bf16 and trainer.fp16:
        yield Problem("bf16=true fp16=true", "at most one of the two may be true", "set fp16=false")


def _common(config: Experiment) -> Iterator[Problem]:
    if config.output.exp_name is not None and not PurePath(config.output.exp_name).name:
        expected = "expected the name of a directory inside results_dir"
        yield Problem(f"exp_name={config.output.exp_name}", expected, "write for example exp_name=first_try")
    yield from _columns(config.data.column_map or {})
    asked = config.output.report_to
    for name in [asked] if isinstance(asked, str) else asked or []:
        if name not in REPORTERS:
            close = get_close_matches(name, REPORTERS, n=1)
            remedy = f"did you mean {close[0]}?" if close else "write report_to=null for none"
            yield Problem(f"report_to={name}", f"expected null or some of {', '.join(REPORTERS)}", remedy)
    reader = config.data.row_reader
    if reader is not None and not _DOTTED.fullmatch(reader):
        remedy = "write for example row_reader=my_package.rows.read, or leave it out"
        yield Problem(f"row_reader={reader}", "expected the dotted path of a function, or null", remedy)
    attention = config.model.attn_implementation
    if attention not in ATTENTION and "/" not in attention:
        close = get_close_matches(attention, ATTENTION, n=1)
        remedy = f"did you mean {close[0]}?" if close else "write attn_implementation=sdpa, which every GPU can do"
        expected = f"expected one of {', '.join(ATTENTION)}, or a kernel of the hub as owner/name"
        yield Problem(f"attn_implementation={attention}", expected, remedy)


def _columns(mapping: Mapping[Any, Any]) -> Iterator[Problem]:
    for name, column in mapping.items():
        if name not in COLUMNS:
            close = get_close_matches(str(name), COLUMNS, n=1)
            remedy = f"did you mean {close[0]}?" if close else "write our name first: column_map={question: prompt}"
            yield Problem(f"column_map.{name}={column}", f"expected one of our names: {', '.join(COLUMNS)}", remedy)
        elif not isinstance(column, str):
            remedy = f"write column_map.{name}=NAME"
            yield Problem(f"column_map.{name}={column}", "expected the name of one of the dataset's columns", remedy)


def _sft(config: SFTExperiment) -> Iterator[Problem]:
    if config.trainer.packing and config.trainer.max_length is None:
        yield Problem("packing=true", "rows are packed up to max_length, which is null", "set max_length=16384")
    if config.trainer.assistant_only_loss:
        expected = "the loss is on the teacher's reply only as it is, and TRL finds no turns in rows that are encoded"
        yield Problem("assistant_only_loss=true", expected, "leave it out")
    template = config.trainer.chat_template_path
    if template is not None and PurePath(template).suffix not in TEMPLATE_SUFFIXES:
        listed = " or ".join(TEMPLATE_SUFFIXES)
        expected = f"expected a file that ends in {listed}: of another model TRL would also take tokens, untrained ones"
        yield Problem(f"chat_template_path={template}", expected, "save that model's chat template as such a file")


def check_batch(batch: Batch) -> Iterator[Problem]:
    """Yield a problem for a batch that fitting made more than `MAX_GROWTH` times as large as was asked for."""
    if batch.size > MAX_GROWTH * batch.wanted:
        factors = f"{batch.processes} processes x per_device_train_batch_size={batch.per_device}"
        groups = f" and num_generations={batch.num_generations}" if batch.num_generations > 1 else ""
        last = ", or lower num_generations" if groups else ", or use fewer GPUs" if batch.processes > 1 else ""
        remedy = f"set train_batch_size={batch.size}, lower per_device_train_batch_size{last}"
        expected = f"the smallest batch that {factors}{groups} divide is {batch.size}"
        yield Problem(f"train_batch_size={batch.wanted}", expected, remedy)


def _unused_templates(teaching: TeachingSettings) -> tuple[str, ...]:
    """Return the templates of which nothing is asked."""
    used = {"blind_template": audited_share(teaching) > 0, "midway_template": len(teaching.teach_at) > 1}
    return tuple(name for name, asked in used.items() if not asked)


def _names(teaching: TeachingSettings) -> Iterator[Problem]:
    verifier, reward = teaching.verifier, teaching.reward
    if verifier not in NAMES and not _DOTTED.fullmatch(verifier):
        close = get_close_matches(verifier, NAMES, n=1)
        remedy = f"did you mean {close[0]}?" if close else "write for example verifier=my_package.checks.verify"
        yield Problem(f"verifier={verifier}", f"expected one of {', '.join(NAMES)}, or a dotted path", remedy)
    if reward is not None and not _DOTTED.fullmatch(reward):
        remedy = "write for example reward=my_package.rewards.brief, or leave it out"
        yield Problem(f"reward={reward}", "expected the dotted path of a callable, or null", remedy)


def _contexts(config: StudentExperiment) -> Iterator[Problem]:
    probe, teaching = config.prompts.max_probe_tokens, config.sampling.max_completion_length
    twice = len(config.teaching.teach_at) > 1
    budgets = {"student_max_tokens": config.student.max_tokens, "max_completion_length": teaching}
    if twice:
        budgets = {"student_max_tokens": config.student.max_tokens, "2 x max_completion_length": 2 * teaching}
    yield from _context("student_max_model_len", config.student.max_model_len, budgets)
    yield from _context("student_max_model_len", config.student.max_model_len, {"max_probe_tokens": probe})
    if models(config) and not (isinstance(config, EvaluationExperiment) and not teachers(config)):
        budgets = {"max_completion_length": teaching, "max_probe_tokens": probe}
        if twice and config.student.max_tokens > probe:
            budgets = {"max_completion_length": teaching, "student_max_tokens": config.student.max_tokens}
        context, prompt = config.teacher.max_model_len, config.teaching.max_prompt_length
        yield from _context("teacher_max_model_len", context, budgets)
        if prompt is not None and context is not None and context < prompt + teaching:
            remedy = f"raise teacher_max_model_len to {prompt + teaching}, or lower max_prompt_length"
            yield Problem(
                f"max_prompt_length={prompt}",
                f"with max_completion_length={teaching} it must fit into teacher_max_model_len={context}",
                remedy,
            )
        if prompt is not None and prompt <= probe:
            remedy = f"raise max_prompt_length above {probe} plus the longest question, or lower max_probe_tokens"
            yield Problem(f"max_prompt_length={prompt}", f"must hold the question and max_probe_tokens={probe}", remedy)


def _context(key: str, context: int | None, budgets: Mapping[str, int]) -> Iterator[Problem]:
    needed = sum(budgets.values())
    if context is not None and context <= needed:
        parts = " + ".join(f"{name}={value}" for name, value in budgets.items())
        remedy = f"raise {key} above {needed} plus the longest question, or lower {' or '.join(budgets)}"
        yield Problem(f"{key}={context}", f"must hold the question and {parts}", remedy)


def _servers(config: StudentExperiment) -> Iterator[Problem]:
    slots, first = config.serving.num_vllm_servers, config.serving.vllm_port
    if not config.serving.use_vllm_server and not isinstance(config, EvaluationExperiment):
        remedy = "leave it out; servers that already run are used by vllm_host and vllm_port"
        yield Problem("use_vllm_server=false", "generation goes through vLLM servers only", remedy)
    if not _HOST.fullmatch(config.serving.vllm_host):
        remedy = "write for example vllm_host=127.0.0.1; the port is vllm_port"
        expected = "expected the name or the IPv4 address of a machine, and nothing else"
        yield Problem(f"vllm_host={config.serving.vllm_host}", expected, remedy)
    servers = max(slots, len(models(config)))
    if first + servers > 65536:
        remedy = f"set vllm_port to at most {65536 - servers}"
        yield Problem(f"vllm_port={first}", f"{servers} servers need ports up to 65535", remedy)
    listened = config.training.metrics_port if isinstance(config, GRPOExperiment) else None
    if listened is not None and first <= listened < first + servers:
        remedy = f"choose another port, such as metrics_port={first + servers + 100}"
        yield Problem(f"metrics_port={listened}", f"servers listen at {first} to {first + servers - 1}", remedy)
    sizes = {"teacher_tensor_parallel_size": config.teacher.tensor_parallel_size} | {
        member.key("tensor_parallel_size"): member.config.student.tensor_parallel_size for member in all_members(config)
    }
    if isinstance(config, GRPOExperiment) and config.mentor.model is not None:
        sizes["mentor_tensor_parallel_size"] = config.mentor.tensor_parallel_size
    args = judge_args(config.teaching)
    for entry in served_models(args).values() if args is not None else ():
        sizes[f"{entry.given}.tensor_parallel_size"] = entry.model.tensor_parallel_size
    if max(sizes.values()) > 1 and slots_used(config) != slots:
        shown = " ".join(f"{key}={size}" for key, size in sizes.items())
        remedy = f"start {slots_used(config)} server GPUs, or lower the tensor parallel sizes"
        yield Problem(f"num_vllm_servers={slots} {shown}", "server GPUs must be used up by whole servers", remedy)


def _grpo(config: GRPOExperiment) -> Iterator[Problem]:
    if config.sampling.temperature == 0:
        remedy = "set temperature=0.7"
        yield Problem("temperature=0", "the generations of a group must differ for anything to be learned", remedy)
    yield from _sampled_as_trained(config)
    level, loss = config.trainer.importance_sampling_level, config.trainer.loss_type
    wanted = {"luspo": "sequence", "vespo": "token"}.get(loss, level)
    if level != wanted:
        given = f"importance_sampling_level={level}"
        yield Problem(given, f"loss_type={loss} needs {wanted}", f"set importance_sampling_level={wanted}")
    steps, accumulation = config.trainer.steps_per_generation, config.trainer.gradient_accumulation_steps
    if steps and steps % accumulation:
        remedy = f"use a multiple of {accumulation} micro-batches, or leave it out"
        yield Problem(f"steps_per_generation={steps}", "a rollout must last for whole optimizer steps", remedy)
    if config.rollouts.rollout_overlap and not config.trainer.vllm_importance_sampling_correction:
        remedy = "leave out vllm_importance_sampling_correction, or set rollout_overlap=0"
        yield Problem("rollout_overlap=1", "lessons of older weights must be corrected for", remedy)
    if config.trainer.sync_ref_model and config.trainer.beta == 0:
        remedy = "set beta above 0, or sync_ref_model=false"
        yield Problem("sync_ref_model=true", "beta=0 uses no reference model", remedy)
    low, high = config.trainer.vllm_importance_sampling_clip_min, config.trainer.vllm_importance_sampling_clip_max
    if low is not None and high is not None and low >= high:
        remedy = f"lower vllm_importance_sampling_clip_min below {high}"
        yield Problem(
            f"vllm_importance_sampling_clip_min={low}",
            f"expected less than vllm_importance_sampling_clip_max={high}",
            remedy,
        )
    yield from _curriculum(config)
    yield from check_mentor(config)
    if config.trainer.log_completions_hub_repo and not config.trainer.log_completions:
        remedy = "set log_completions=true, or leave it out"
        yield Problem(
            f"log_completions_hub_repo={config.trainer.log_completions_hub_repo}", "needs log_completions", remedy
        )


def _curriculum(config: GRPOExperiment) -> Iterator[Problem]:
    by_difficulty = config.curriculum.question_order == "difficulty"
    if by_difficulty and not config.trainer.shuffle_dataset:
        remedy = "leave shuffle_dataset out, or set question_order=random, which follows it"
        yield Problem("question_order=difficulty shuffle_dataset=false", "these are two orders", remedy)
    if config.trainer.log_completions and (by_difficulty or config.curriculum.dynamic_sampling):
        chosen = "question_order=difficulty" if by_difficulty else "dynamic_sampling=true"
        expected = "TRL's tables would name questions of the data's order, not those asked"
        yield Problem(f"log_completions=true {chosen}", expected, "leave log_completions out: lessons/ has them whole")


def _sampled_as_trained(config: GRPOExperiment) -> Iterator[Problem]:
    """Yield a problem for each key with which servers would sample from another distribution than is trained."""
    if 0 < config.sampling.temperature < LEAST_TEMPERATURE:
        given, remedy = f"temperature={config.sampling.temperature}", f"set temperature={LEAST_TEMPERATURE} or above"
        yield Problem(given, f"servers would sample at {LEAST_TEMPERATURE}, vLLM's least, and be corrected for", remedy)
    noise = {
        "lora_dropout": ("adapters", config.lora.lora_dropout),
        "neftune_noise_alpha": ("embeddings", config.trainer.neftune_noise_alpha),
    }
    for key, (where, value) in noise.items():
        if value:
            expected = f"servers sample without noise in {where}: every pass of the policy would be off their samples"
            neutral = written(keys_of(config.output.experiment)[key].default)
            yield Problem(f"{key}={value}", expected, f"set {key}={neutral}; SFT may have it")


def _evaluation(config: EvaluationExperiment) -> Iterator[Problem]:
    listed, names = teacher_list(config), config.evaluation.teacher_names
    if "" in listed:
        remedy = "name a path, a hub id or an API; teacher=null evaluates the student alone"
        yield Problem(f"teacher={written(config.evaluation.teacher)}", "expected teachers that have a name", remedy)
    for path, count in Counter(teachers(config) if names else map(default_name, listed)).items():
        if count > 1:
            yield Problem(f"teacher={written(listed)}", f"{path} is listed {count} times", "name each teacher once")
    if names is not None and len(names) != len(listed):
        remedy = "give one name per teacher, or teacher_names=null"
        yield Problem(f"teacher_names={written(names)}", f"{len(listed)} teachers need {len(listed)} names", remedy)
    elif names is not None and len(set(names)) != len(names):
        yield Problem(
            f"teacher_names={written(names)}", "expected names that differ", "give every teacher a name of its own"
        )
    else:
        yield from check_names(teacher_entries(config))
