"""Rules between the keys of the model: adapters, quantisation, the hub. Pure, like `rules`."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.configuration.devices.placement import teachers
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    Experiment,
    GRPOExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.keys import keys_of
from trainers.hub_ids import is_hub_id
from trainers.problems import Problem

UNADAPTED = {"lm_head", "embed_tokens"}
"""Layers without adapters: TRL computes log-probabilities from the output layer's own weight, and many models tie the
two."""


def check_model(config: Experiment) -> Iterator[Problem]:
    """Contradictions between the model's keys."""
    if isinstance(config, EvaluationExperiment):
        yield from _evaluated(config)
    if isinstance(config, TrainingExperiment):
        yield from _trained(config)


def _trained(config: TrainingExperiment) -> Iterator[Problem]:
    yield from _without_effect(config)
    if config.lora.use_peft:
        yield from _adapter(config)
    if config.lora.load_in_4bit:
        yield from _quantised(config)
    if config.trainer.push_to_hub and not config.training.save_final_model:
        yield Problem(
            "push_to_hub=true save_final_model=false", "what is pushed is saved first", "set save_final_model=true"
        )
    hub = config.trainer.hub_model_id
    if hub is not None and not is_hub_id(hub):
        expected = "expected name or owner/name, of letters, digits, dots, dashes and underscores"
        yield Problem(f"hub_model_id={hub}", expected, "write for example hub_model_id=owner/teacher")


def _without_effect(config: TrainingExperiment) -> Iterator[Problem]:
    flat = config.flat()
    for name, key in keys_of(config.output.experiment).items():
        switch = key.facts.needs
        if switch and not flat[switch] and flat[name] != key.default:
            given = f"{name}={written(flat[name])}"
            on = "true" if isinstance(flat[switch], bool) else "…"
            yield Problem(given, f"has no effect without {switch}", f"add {switch}={on}, or leave it out")
        if key.facts.fixed and flat[name] != key.default:
            yield Problem(f"{name}={written(flat[name])}", f"cannot work here: {key.facts.fixed}", "leave it out")


def _adapter(config: TrainingExperiment) -> Iterator[Problem]:
    asked = config.lora.lora_target_modules
    if asked in ("", []):
        expected = "expected at least one layer: without any there is nothing to train"
        yield Problem(f"lora_target_modules={written(asked)}", expected, "write lora_target_modules=all-linear")
    named = {name.rpartition(".")[2] for name in ([asked] if isinstance(asked, str) else asked or [])}
    for name in sorted(named & UNADAPTED):
        expected = f"expected layers inside the blocks; {name} cannot have an adapter here"
        yield Problem(f"lora_target_modules={written(asked)}", expected, "write lora_target_modules=all-linear")
    if isinstance(config, GRPOExperiment) and config.trainer.sync_ref_model:
        expected = "with use_peft the reference is the model before training, and stays it"
        yield Problem("sync_ref_model=true use_peft=true", expected, "set sync_ref_model=false")


def _quantised(config: TrainingExperiment) -> Iterator[Problem]:
    if config.training.deepspeed.startswith("zero3"):
        expected = "weights in 4 bits are not sharded: every process holds all of them"
        yield Problem(
            f"load_in_4bit=true deepspeed={config.training.deepspeed}", expected, "add the word zero1 or zero2"
        )
    if config.model.dtype == "auto":
        expected = "the precision to compute in must be named"
        yield Problem("load_in_4bit=true dtype=auto", expected, "set dtype=bfloat16")


def _evaluated(config: EvaluationExperiment) -> Iterator[Problem]:
    if config.model.model_revision is not None and len(teachers(config)) != 1:
        given = f"model_revision={config.model.model_revision}"
        expected = f"it belongs to one teacher, teacher={written(config.evaluation.teacher)}"
        yield Problem(given, expected, "evaluate one teacher, or download the revision and name its directory")
