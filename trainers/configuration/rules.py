"""Rules between keys. Pure: nothing here looks at files, the network or the machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from custom_data.column_names import ACCEPTED
from trainers.configuration.api_rules import check_apis, check_names
from trainers.configuration.batches import Batch
from trainers.configuration.fields import EVALUATION, GRPO, SFT, fields_of
from trainers.configuration.model_rules import check_model
from trainers.configuration.placement import default_name, models, slots_used, teacher_entries, teacher_list, teachers
from trainers.configuration.plugin_rules import check_plugins
from trainers.configuration.problems import Problem
from trainers.configuration.schedule import check_schedule
from trainers.configuration.template_rules import check_template_arguments
from trainers.configuration.wording import typed
from trainers.teaching.verifiers.names import VERIFIERS

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
COLUMNS = tuple(ACCEPTED)
REPORTERS = (
    *("none", "all", "wandb", "tensorboard", "mlflow", "trackio", "swanlab", "comet_ml", "clearml", "neptune"),
    *("dvclive", "azure_ml", "codecarbon", "dagshub", "flyte", "kubeflow"),
)
TEMPLATE_SUFFIXES = (".jinja", ".j2")
REQUIRED = {
    SFT: ("output_dir", "model_name_or_path", "dataset_id_or_path"),
    GRPO: ("output_dir", "model_name_or_path", "dataset_id_or_path", "student_model"),
    EVALUATION: ("output_dir", "dataset_id_or_path", "student_model"),
}
PLACEHOLDERS = {
    "baseline_template": (("question",), ()),
    "probe_template": (("question",), ()),
    "teacher_template": (("question", "approach"), ()),
    "taught_template": (("question", "teaching"), ("approach",)),
}
"""Per template: the placeholders it must have, and those it may have besides."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PLACEHOLDER = re.compile(r"(?<!\w)\{(\w+)\}")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
MAX_GROWTH = 2
LEAST_TEMPERATURE = 0.01
"""What vLLM raises smaller temperatures to, except 0."""


def validate(config: Mapping[str, Any]) -> list[Problem]:
    """All problems between the keys of a configuration whose single values are fine."""
    experiment = config["experiment"]
    found = [*_required(config), *_common(config), *check_model(config), *check_template_arguments(config)]
    found += check_plugins(config)
    if experiment != EVALUATION:
        found += check_schedule(config)
    if experiment == SFT:
        found += [*_templates(config, ("teacher_template",)), *_sft(config)]
    else:
        found += [*_templates(config, tuple(PLACEHOLDERS)), *_names(config), *check_apis(config), *_contexts(config)]
        found += _servers(config)
    if experiment == GRPO:
        found += _grpo(config)
    if experiment == EVALUATION:
        found += _evaluation(config)
    return found


def _required(config: Mapping[str, Any]) -> Iterator[Problem]:
    for key in REQUIRED[config["experiment"]]:
        if not config.get(key):
            yield Problem(f"{key}=null", f"experiment {config['experiment']} needs it", f"write {key}=…")


def _common(config: Mapping[str, Any]) -> Iterator[Problem]:
    if config["exp_name"] is not None and not PurePath(config["exp_name"]).name:
        expected = "expected the name of a directory inside results_dir"
        yield Problem(f"exp_name={config['exp_name']}", expected, "write for example exp_name=first_try")
    if config.get("bf16") and config.get("fp16"):
        yield Problem("bf16=true fp16=true", "at most one of the two may be true", "set fp16=false")
    yield from _columns(config["column_map"] or {})
    asked = config["report_to"]
    for name in [asked] if isinstance(asked, str) else asked or []:
        if name not in REPORTERS:
            close = get_close_matches(name, REPORTERS, n=1)
            remedy = f"did you mean {close[0]}?" if close else "write report_to=null for none"
            yield Problem(f"report_to={name}", f"expected null or some of {', '.join(REPORTERS)}", remedy)
    reader = config["row_reader"]
    if reader is not None and not _DOTTED.fullmatch(reader):
        remedy = "write for example row_reader=my_package.rows.read, or leave it out"
        yield Problem(f"row_reader={reader}", "expected the dotted path of a function, or null", remedy)
    attention = config["attn_implementation"]
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


def _sft(config: Mapping[str, Any]) -> Iterator[Problem]:
    if config["packing"] and config["max_length"] is None:
        yield Problem("packing=true", "rows are packed up to max_length, which is null", "set max_length=16384")
    if config["assistant_only_loss"]:
        expected = "the loss is on the teacher's reply only as it is, and TRL finds no turns in rows that are encoded"
        yield Problem("assistant_only_loss=true", expected, "leave it out")
    template = config["chat_template_path"]
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


def _templates(config: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Problem]:
    for key in keys:
        text, (needed, allowed) = config[key], PLACEHOLDERS[key]
        if key == "teacher_template" and config["max_probe_tokens"] == 0:
            needed, allowed = ("question",), ("approach",)
        found = _PLACEHOLDER.findall(text)
        shown = f"{key}={text.strip()[:60]!r}{'…' if len(text.strip()) > 60 else ''}"
        for name in needed:
            if name not in found and f"{{{name}" in text:
                yield Problem(shown, f"the brace before {name} is not closed", f"write {{{name}}}")
            elif name not in found:
                yield Problem(shown, f"lacks the placeholder {{{name}}}", f"write {{{name}}} where the {name} belongs")
        for name in sorted({*found} - {*needed, *allowed}):
            close = get_close_matches(name, [*needed, *allowed], n=1)
            remedy = (
                f"did you mean {{{close[0]}}}?" if close else f"remove it; it may hold {_braced(*needed, *allowed)}"
            )
            yield Problem(shown, f"{{{name}}} is no placeholder of {key}", remedy)


def _braced(*names: str) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _names(config: Mapping[str, Any]) -> Iterator[Problem]:
    verifier, reward = config["verifier"], config["reward"]
    if verifier not in VERIFIERS and not _DOTTED.fullmatch(verifier):
        close = get_close_matches(verifier, VERIFIERS, n=1)
        remedy = f"did you mean {close[0]}?" if close else "write for example verifier=my_package.checks.verify"
        yield Problem(f"verifier={verifier}", f"expected one of {', '.join(VERIFIERS)}, or a dotted path", remedy)
    if reward is not None and not _DOTTED.fullmatch(reward):
        remedy = "write for example reward=my_package.rewards.brief, or leave it out"
        yield Problem(f"reward={reward}", "expected the dotted path of a callable, or null", remedy)


def _contexts(config: Mapping[str, Any]) -> Iterator[Problem]:
    probe, solution, teaching = (config[k] for k in ("max_probe_tokens", "student_max_tokens", "max_completion_length"))
    if teaching is None:
        yield Problem("max_completion_length=null", "a token budget for teachings", "set max_completion_length=512")
        return
    yield from _context(
        config, "student_max_model_len", {"student_max_tokens": solution, "max_completion_length": teaching}
    )
    yield from _context(config, "student_max_model_len", {"max_probe_tokens": probe})
    if models(config) and (config["experiment"] == GRPO or teachers(config)):
        budgets = {"max_completion_length": teaching, "max_probe_tokens": probe}
        yield from _context(config, "teacher_max_model_len", budgets)
        context, prompt = config["teacher_max_model_len"], config["max_prompt_length"]
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


def _context(config: Mapping[str, Any], key: str, budgets: Mapping[str, int]) -> Iterator[Problem]:
    context, needed = config[key], sum(budgets.values())
    if context is not None and context <= needed:
        parts = " + ".join(f"{name}={value}" for name, value in budgets.items())
        remedy = f"raise {key} above {needed} plus the longest question, or lower {' or '.join(budgets)}"
        yield Problem(f"{key}={context}", f"must hold the question and {parts}", remedy)


def _servers(config: Mapping[str, Any]) -> Iterator[Problem]:
    slots, first = config["num_vllm_servers"], config["vllm_port"]
    if not config["use_vllm_server"] and config["experiment"] != EVALUATION:
        remedy = "leave it out; servers that already run are used by vllm_host and vllm_port"
        yield Problem("use_vllm_server=false", "generation goes through vLLM servers only", remedy)
    if not _HOST.fullmatch(config["vllm_host"]):
        remedy = "write for example vllm_host=127.0.0.1; the port is vllm_port"
        expected = "expected the name or the IPv4 address of a machine, and nothing else"
        yield Problem(f"vllm_host={config['vllm_host']}", expected, remedy)
    servers = max(slots, len(models(config)))
    if first + servers > 65536:
        remedy = f"set vllm_port to at most {65536 - servers}"
        yield Problem(f"vllm_port={first}", f"{servers} servers need ports up to 65535", remedy)
    sizes = {key: config[key] for key in ("teacher_tensor_parallel_size", "student_tensor_parallel_size")}
    if max(sizes.values()) > 1 and slots_used(config) != slots:
        shown = " ".join(f"{key}={value}" for key, value in sizes.items())
        remedy = f"start {slots_used(config)} server GPUs, or lower the tensor parallel sizes"
        yield Problem(f"num_vllm_servers={slots} {shown}", "server GPUs must be used up by whole servers", remedy)


def _grpo(config: Mapping[str, Any]) -> Iterator[Problem]:
    if config["temperature"] == 0:
        remedy = "set temperature=0.7"
        yield Problem("temperature=0", "the generations of a group must differ for anything to be learned", remedy)
    yield from _sampled_as_trained(config)
    level, loss = config["importance_sampling_level"], config["loss_type"]
    wanted = {"luspo": "sequence", "vespo": "token"}.get(loss, level)
    if level != wanted:
        given = f"importance_sampling_level={level}"
        yield Problem(given, f"loss_type={loss} needs {wanted}", f"set importance_sampling_level={wanted}")
    steps, accumulation = config["steps_per_generation"], config["gradient_accumulation_steps"]
    if steps % accumulation:
        remedy = f"use a multiple of {accumulation} micro-batches, or leave it out"
        yield Problem(f"steps_per_generation={steps}", "a rollout must last for whole optimizer steps", remedy)
    if config["rollout_overlap"] and not config["vllm_importance_sampling_correction"]:
        remedy = "leave out vllm_importance_sampling_correction, or set rollout_overlap=0"
        yield Problem("rollout_overlap=1", "lessons of older weights must be corrected for", remedy)
    if config["sync_ref_model"] and config["beta"] == 0:
        remedy = "set beta above 0, or sync_ref_model=false"
        yield Problem("sync_ref_model=true", "beta=0 uses no reference model", remedy)
    low, high = config["vllm_importance_sampling_clip_min"], config["vllm_importance_sampling_clip_max"]
    if low is not None and high is not None and low >= high:
        remedy = f"lower vllm_importance_sampling_clip_min below {high}"
        yield Problem(
            f"vllm_importance_sampling_clip_min={low}",
            f"expected less than vllm_importance_sampling_clip_max={high}",
            remedy,
        )
    if config["log_completions_hub_repo"] and not config["log_completions"]:
        remedy = "set log_completions=true, or leave it out"
        yield Problem(f"log_completions_hub_repo={config['log_completions_hub_repo']}", "needs log_completions", remedy)


def _sampled_as_trained(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys with which servers would sample from another distribution than the one that is trained."""
    if 0 < config["temperature"] < LEAST_TEMPERATURE:
        given, remedy = f"temperature={config['temperature']}", f"set temperature={LEAST_TEMPERATURE} or above"
        yield Problem(given, f"servers would sample at {LEAST_TEMPERATURE}, vLLM's least, and be corrected for", remedy)
    noise = {"lora_dropout": "adapters", "neftune_noise_alpha": "embeddings"}
    for key, where in noise.items():
        if config[key]:
            expected = f"servers sample without noise in {where}: every pass of the policy would be off their samples"
            neutral = typed(fields_of(GRPO)[key].default)
            yield Problem(f"{key}={config[key]}", expected, f"set {key}={neutral}; SFT may have it")


def _evaluation(config: Mapping[str, Any]) -> Iterator[Problem]:
    listed, names = teacher_list(config), config["teacher_names"]
    if "" in listed:
        remedy = "name a path, a hub id or an API; teacher=null evaluates the student alone"
        yield Problem(f"teacher={typed(config['teacher'])}", "expected teachers that have a name", remedy)
    for path, count in Counter(teachers(config) if names else map(default_name, listed)).items():
        if count > 1:
            yield Problem(f"teacher={typed(listed)}", f"{path} is listed {count} times", "name each teacher once")
    if names is not None and len(names) != len(listed):
        remedy = "give one name per teacher, or teacher_names=null"
        yield Problem(f"teacher_names={typed(names)}", f"{len(listed)} teachers need {len(listed)} names", remedy)
    elif names is not None and len(set(names)) != len(names):
        yield Problem(
            f"teacher_names={typed(names)}", "expected names that differ", "give every teacher a name of its own"
        )
    else:
        yield from check_names(teacher_entries(config))
