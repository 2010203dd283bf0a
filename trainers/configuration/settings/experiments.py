"""The settings of a whole run, by experiment: one section for each component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_type_hints

from trainers.configuration.settings.key import Settings
from trainers.configuration.settings.models.lora import LoraSettings
from trainers.configuration.settings.models.mentor import MentorSettings
from trainers.configuration.settings.models.model import LoadingSettings, ModelSettings
from trainers.configuration.settings.models.prompts import PromptSettings
from trainers.configuration.settings.models.sampling import SamplingSettings
from trainers.configuration.settings.models.serving import ServingSettings
from trainers.configuration.settings.models.student import StudentSettings
from trainers.configuration.settings.models.students import StudentPoolSettings
from trainers.configuration.settings.models.teacher import ServedTeacherSettings, TeacherSettings
from trainers.configuration.settings.runs.curriculum import CurriculumSettings
from trainers.configuration.settings.runs.data import DataSettings, TrainingDataSettings
from trainers.configuration.settings.runs.evaluation import EvaluationSettings, EvaluationSizeSettings
from trainers.configuration.settings.runs.grpo_trainer import GRPOTrainerSettings
from trainers.configuration.settings.runs.output import OutputSettings
from trainers.configuration.settings.runs.prompt_search import PromptSearchSettings, ReflectionSettings
from trainers.configuration.settings.runs.rollouts import RolloutSettings
from trainers.configuration.settings.runs.sft_trainer import SFTTrainerSettings
from trainers.configuration.settings.runs.teaching import TeachingSettings
from trainers.configuration.settings.runs.trainer import TrainerSettings
from trainers.configuration.settings.runs.training import TrainingSettings

SFT, GRPO, EVALUATION, PROMPT_SEARCH = "sft", "teacher_grpo", "evaluation", "prompt_search"
Role = Literal["teacher", "student", "mentor", "judge"]


@dataclass(frozen=True)
class Experiment:
    """The settings that every experiment has."""

    output: OutputSettings
    model: LoadingSettings
    data: DataSettings
    prompts: PromptSettings
    teacher: TeacherSettings

    def flat(self) -> dict[str, Any]:
        """Return the settings as flat keys, as they stand in recipes and on command lines."""
        return {
            section.prefix + name: getattr(section, name)
            for section in (getattr(self, field) for field in sections_of(type(self)))
            for name in type(section).model_fields
        }

    def with_keys(self, **keys: Any) -> Self:
        """Return these settings with other values of some flat keys, checked again.

        Raises:
            TypeError: for a key that this experiment does not have.
            pydantic.ValidationError: for a value that its key does not take.
        """
        flat = self.flat()
        if unknown := keys.keys() - flat.keys():
            raise TypeError(f"{type(self).__name__} has no key {', '.join(sorted(unknown))}")
        return type(self).from_flat(flat | keys)

    @classmethod
    def from_flat(cls, keys: dict[str, Any]) -> Self:
        """Build the settings of an experiment from all its flat keys.

        Raises:
            pydantic.ValidationError: for a value that its key does not take.
        """
        sections: dict[str, Any] = {name: section.from_flat(keys) for name, section in sections_of(cls).items()}
        return cls(**sections)


@dataclass(frozen=True)
class TrainingExperiment(Experiment):
    """The settings that SFT and GRPO share."""

    model: ModelSettings
    data: TrainingDataSettings
    training: TrainingSettings
    lora: LoraSettings
    trainer: TrainerSettings


@dataclass(frozen=True)
class StudentExperiment(Experiment):
    """The settings that GRPO and evaluation share: both ask a student."""

    teacher: ServedTeacherSettings
    student: StudentSettings
    pool: StudentPoolSettings
    serving: ServingSettings
    teaching: TeachingSettings
    sampling: SamplingSettings
    evaluation: EvaluationSizeSettings

    def of_role(self, role: Role) -> ServedTeacherSettings | StudentSettings:
        """Return the settings by which a role is prompted: a mentor reads what the teacher's template has written."""
        return self.student if role == "student" else self.teacher


@dataclass(frozen=True)
class SFTExperiment(TrainingExperiment):
    """The settings of an SFT warm-up."""

    trainer: SFTTrainerSettings


@dataclass(frozen=True)
class GRPOExperiment(TrainingExperiment, StudentExperiment):
    """The settings of a GRPO training."""

    model: ModelSettings
    data: TrainingDataSettings
    teacher: ServedTeacherSettings
    trainer: GRPOTrainerSettings
    rollouts: RolloutSettings
    mentor: MentorSettings
    curriculum: CurriculumSettings


@dataclass(frozen=True)
class EvaluationExperiment(StudentExperiment):
    """The settings of an evaluation."""

    evaluation: EvaluationSettings


@dataclass(frozen=True)
class PromptSearchExperiment(EvaluationExperiment):
    """The settings of a search for prompts: those of the evaluation that each of them goes through, and its own."""

    search: PromptSearchSettings
    reflection: ReflectionSettings


EXPERIMENTS: dict[str, type[Experiment]] = {
    SFT: SFTExperiment,
    GRPO: GRPOExperiment,
    EVALUATION: EvaluationExperiment,
    PROMPT_SEARCH: PromptSearchExperiment,
}
"""By the value of the key `experiment`."""


def sections_of(experiment: type[Experiment]) -> Mapping[str, type[Settings]]:
    """Return the settings classes of an experiment, by the names of its fields."""
    hints = get_type_hints(experiment)
    return {field.name: hints[field.name] for field in fields(experiment)}
