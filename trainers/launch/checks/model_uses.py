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
from trainers.configuration.settings.students import Member, all_members
from trainers.serving.adapter_files import read_adapter
from trainers.serving.server_spec import ServerSpec


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
        student: who of the run's students it is; `None` for all other roles.
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
    student: Member | None = None


def model_uses(config: Experiment) -> tuple[ModelUse, ...]:
    """Return the models that a run loads, each once; a student behind an API is not among them."""
    if isinstance(config, SFTExperiment):
        return (_trained(config),)
    return _served(config) if isinstance(config, StudentExperiment) else ()


def _served(config: StudentExperiment) -> tuple[ModelUse, ...]:
    layout = server_layout(config)
    key = "teacher" if isinstance(config, EvaluationExperiment) else "model_name_or_path"
    taught_by = {spec.model: _use(spec, key, "teacher_max_model_len") for spec in layout if spec.role == "teacher"}
    asked = {
        member.name: _use(spec, member.key("model"), member.key("max_model_len"), member)
        for spec in layout
        for member in all_members(config)
        if spec.role == "student" and (not spec.students or member.name in spec.students)
    }
    mentors = [_use(spec, "mentor_model", "mentor_max_model_len") for spec in layout if spec.role == "mentor"]
    judges = [_use(spec, spec.key("model"), spec.key("max_model_len")) for spec in layout if spec.role == "judge"]
    return (*taught_by.values(), *asked.values(), *mentors[:1], *judges)


def _use(spec: ServerSpec, key: str, length_key: str, student: Member | None = None) -> ModelUse:
    return ModelUse(
        role=spec.role,
        key=key,
        model=spec.model,
        weights=spec.weights,
        tokenizer=spec.tokenizer,
        revision=spec.revision,
        length_key=length_key,
        length=spec.max_model_len,
        served=True,
        updated=spec.weight_transfer is not None,
        student=student,
    )


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
