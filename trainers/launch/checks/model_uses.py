"""Which models a run uses, and what each is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.configuration import server_layout
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    Experiment,
    SFTExperiment,
    StudentExperiment,
)
from trainers.serving.adapter_files import read_adapter


@dataclass(frozen=True)
class ModelUse:
    """One model in one role.

    Args:
        role: what it does.
        key: the configuration key that names it.
        model: its name.
        weights: where they lie; for an adapter, those of its base.
        tokenizer: where it lies; for an adapter, that of its base.
        revision: branch, tag or commit on the hub.
        length_key: the configuration key that says how long sequences may be.
        length: tokens of a sequence; `None` for as many as it takes.
        served: whether vLLM loads it.
        updated: whether its servers are sent new weights.
    """

    role: str
    key: str
    model: str
    weights: str
    tokenizer: str
    revision: str | None
    length_key: str
    length: int | None
    served: bool
    updated: bool = False


def model_uses(config: Experiment) -> tuple[ModelUse, ...]:
    """Return the models that a run loads, each once; a student behind an API is not among them."""
    if isinstance(config, SFTExperiment):
        return (_trained(config),)
    return _served(config) if isinstance(config, StudentExperiment) else ()


def _served(config: StudentExperiment) -> tuple[ModelUse, ...]:
    keys = {"student": "student_model", "teacher": "model_name_or_path"}
    if isinstance(config, EvaluationExperiment):
        keys["teacher"] = "teacher"
    uses = {
        (spec.role, spec.model): ModelUse(
            role=spec.role,
            key=keys[spec.role],
            model=spec.model,
            weights=spec.weights,
            tokenizer=spec.tokenizer,
            revision=spec.revision,
            length_key=f"{spec.role}_max_model_len",
            length=spec.max_model_len,
            served=True,
            updated=spec.weight_transfer is not None,
        )
        for spec in server_layout(config)
    }
    return tuple(uses.values())


def template_kwargs(config: Experiment, role: str) -> Mapping[str, Any]:
    """Return the arguments of the chat template of the teacher or of the student."""
    if role == "student" and isinstance(config, StudentExperiment):
        return config.student.chat_template_kwargs
    return config.teacher.chat_template_kwargs


def _trained(config: SFTExperiment) -> ModelUse:
    name = config.model.model_name_or_path
    adapter = read_adapter(name)
    return ModelUse(
        role="teacher",
        key="model_name_or_path",
        model=name,
        weights=adapter.base if adapter else name,
        tokenizer=adapter.tokenizer if adapter else name,
        revision=config.model.model_revision,
        length_key="max_length",
        length=config.trainer.max_length,
        served=False,
    )
