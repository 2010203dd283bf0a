"""Rules for distilling from a mentor: what its log-probabilities of the policy's tokens can be set against."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.configuration.settings.experiments import GRPOExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.keys import keys_of
from trainers.problems import Problem

LOSSES = ("bnpo", "cispo", "dapo", "dr_grpo", "grpo")
"""Losses of TRL's that are sums over tokens of an advantage of each."""
NEUTRAL = {"temperature": (1, 1.0), "top_p": (1, 1.0), "top_k": (0, -1), "min_p": (None, 0, 0.0)}
NEUTRAL |= {"repetition_penalty": (1, 1.0)}


def check_mentor(config: GRPOExperiment) -> Iterator[Problem]:
    """Yield what contradicts distillation, where a mentor is named."""
    mentor = config.mentor
    if mentor.model is None:
        return
    given = f"mentor_model={mentor.model}"
    if mentor.model == config.model.model_name_or_path:
        yield Problem(given, "it is the model that is trained: there is nothing to learn from it", "name a larger one")
    for name, neutral in NEUTRAL.items():
        value = getattr(config.sampling, name)
        if value not in neutral:
            expected = (
                "teachings must come from the policy itself, whose log-probabilities the mentor's are set against"
            )
            yield Problem(f"{given} {name}={written(value)}", expected, f"set {name}={written(neutral[0])}")
    yield from _loss(config, given)
    if config.curriculum.dynamic_sampling:
        expected = "it replaces groups whose rewards agree, and a mentor has something to say about those, too"
        yield Problem(f"{given} dynamic_sampling=true", expected, "set dynamic_sampling=false")
    own, teachers = mentor.max_model_len, config.teacher.max_model_len
    if own is not None and teachers is not None and own < teachers:
        expected = f"a teaching that fits teacher_max_model_len={teachers} must fit the mentor"
        yield Problem(f"mentor_max_model_len={own}", expected, f"set mentor_max_model_len={teachers} or above")


def _loss(config: GRPOExperiment, given: str) -> Iterator[Problem]:
    if config.trainer.loss_type not in LOSSES:
        expected = f"every token has an advantage of its own, which needs one of {', '.join(LOSSES)}"
        yield Problem(f"{given} loss_type={config.trainer.loss_type}", expected, "set loss_type=dapo")
    for name in ("importance_sampling_level", "off_policy_mask_threshold"):
        value, usual = getattr(config.trainer, name), keys_of(config.output.experiment)[name].default
        if value != usual:
            expected = "every token has an advantage of its own; this weighs whole sequences by one"
            yield Problem(f"{given} {name}={written(value)}", expected, f"set {name}={written(usual)}")
