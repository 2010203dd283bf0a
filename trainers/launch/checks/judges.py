"""Judges before a run: whether anybody has measured their honesty, and whether their own templates take its prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.configuration.settings.experiments import Experiment, StudentExperiment
from trainers.configuration.settings.judges import ARGS, fingerprint, judge_args, judge_settings, served_models
from trainers.generation.chat_templates.accepted_roles import taken
from trainers.launch.checks.model_uses import ModelUse
from trainers.problems import Problem

_ROLES = ("system", "user")
"""The messages to a judge."""
_REMEDY = "→ label some solutions and run python -m trainers.evaluation.judge_agreement (docs/guides/judges.md)"


def judge_warnings(config: Experiment) -> Iterator[str]:
    """Yield a warning where a run's judge was never measured, or another one was."""
    args = judge_args(config.teaching) if isinstance(config, StudentExperiment) else None
    if args is None:
        return
    path = judge_settings(args).measured
    if path is None:
        yield f"{ARGS}.measured=null: nothing is known of how far this judge can be trusted. {_REMEDY}"
        return
    try:
        measured = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))["judge"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{ARGS}.measured={path} cannot be read ({type(error).__name__}: {error}). {_REMEDY}"
        return
    now = json.loads(json.dumps(fingerprint(args)))
    differing = sorted(name for name in {*now, *measured} if now.get(name) != measured.get(name))
    if differing:
        yield f"{ARGS}.measured={path} is about another judge: {', '.join(differing)} differ. {_REMEDY}"


def judge_template_problems(use: ModelUse, tokenizer: Any, config: Experiment) -> Iterator[Problem]:
    """Yield what keeps a judge with a server of its own from reading all that it is told."""
    args = judge_args(config.teaching) if isinstance(config, StudentExperiment) else None
    assert args is not None
    found = taken(tokenizer, _ROLES, served_models(args)[use.model].model.chat_template_kwargs)
    if not found.whole:
        why = found.refusal or f"it leaves out {' and '.join(found.unwritten)}"
        expected = f"its chat template must write a system and a user message: {why}"
        yield Problem(f"{use.key}={use.model}", expected, "name a model whose template writes both")
