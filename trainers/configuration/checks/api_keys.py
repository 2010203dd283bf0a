"""A check that the environment holds the keys of the APIs that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from trainers.configuration.devices.placement import teacher_list
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    PromptSearchExperiment,
    StudentExperiment,
)
from trainers.configuration.settings.judges import all_entries, judge_args
from trainers.configuration.settings.students import all_members
from trainers.problems import Problem


def missing_keys(config: StudentExperiment, environment: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Yield one problem per variable that is named and not set."""
    for member in all_members(config):
        if member.config.student.base_url:
            yield from _missing(member.key("api_key_env"), member.config.student.api_key_env, environment)
    for judge in all_entries(judge_args(config.teaching) or {}):
        if judge.settings.get("base_url"):
            yield from _missing(f"{judge.given}.api_key_env", judge.model.api_key_env, environment)
    if isinstance(config, PromptSearchExperiment) and config.reflection.base_url:
        yield from _missing("reflection_api_key_env", config.reflection.api_key_env, environment)
    for index, entry in enumerate(teacher_list(config) if isinstance(config, EvaluationExperiment) else ()):
        if isinstance(entry, Mapping):
            yield from _missing(
                f"teacher[{index}].api_key_env", entry.get("api_key_env", "OPENAI_API_KEY"), environment
            )


def _missing(key: str, name: str | None, environment: Mapping[str, str]) -> Iterator[Problem]:
    if name is not None and not environment.get(name):
        # A remedy that can be copied; that an API may want no key is in the key's documentation.
        yield Problem(f"{key}={name}", f"{name} is not set in the environment", f"export {name}=…")
