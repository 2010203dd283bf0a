"""Warnings for runs whose judges' honesty nobody has measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainers.configuration.settings.experiments import Experiment, StudentExperiment
from trainers.configuration.settings.judges import ARGS, fingerprint, judge_args, judge_settings

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
