"""Checks that the files that judges need are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.judges import ARGS, all_entries, judge_args
from trainers.hub_ids import looks_local
from trainers.problems import Problem


def missing_judge_files(config: StudentExperiment) -> Iterator[Problem]:
    """Yield one problem per file or directory that judges need and that is not there."""
    args = judge_args(config.teaching)
    if args is None:
        return
    for name in ("rubric_file", "measured"):
        path = args.get(name)
        if path and not Path(path).expanduser().is_file():
            yield Problem(f"{ARGS}.{name}={path}", "there is no such file", "correct the path")
    for entry in all_entries(args):
        model = entry.settings.get("model")
        if not isinstance(model, str) or entry.settings.get("base_url") or not looks_local(model):
            continue
        if not (Path(model).expanduser() / "config.json").is_file():
            remedy = "correct the path, or give a base_url for a model behind an API"
            yield Problem(f"{entry.given}={model}", "expected a directory with a model (config.json)", remedy)
