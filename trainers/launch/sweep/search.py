"""A search by Optuna: each run gets values that those before it make look good. The study is a file beside the runs."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainers.configuration import ConfigurationError, Problem
from trainers.launch.sweep.comparison import figures
from trainers.launch.sweep.values import Interval, Listed, Run, Space, run_of, typed

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

JOURNAL = "trials.journal"
"""File in the sweep's directory that has all trials; processes on several hosts may append to it."""
STUDY = "sweep"
FIRST_AT_RANDOM = 5
"""Trials before the first one that learns from others."""

logger = logging.getLogger("sweep")


@dataclass(frozen=True)
class Goal:
    """The figure of a run that a search is after: a column of the table of a sweep."""

    figure: str
    maximize: bool


def check_installed() -> None:
    """Raise a `ConfigurationError` where Optuna is missing."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigurationError(
            [Problem("--trials", "searches need the package optuna, which is not installed", "pip install optuna")]
        )


def search(
    space: Space,
    output: Path,
    goal: Goal,
    trials: int,
    seed: tuple[int, int],
    launch: Callable[[Run], int],
    at_most: int,
) -> int:
    """Launch runs with values that Optuna proposes, until `trials` have ended or this process launched `at_most`.

    A run that fails, or lacks the figure, is told to Optuna as failed, and counts. A trial that was interrupted is
    launched again, with the same values and directory, and continues there.

    Args:
        space: what is varied.
        output: directory of all runs.
        goal: what is good.
        trials: how many in all, those of earlier commands and other processes included.
        seed: of the search, and the number of this process among those that search at the same time.
        launch: runs a run and returns its status.
        at_most: how many runs this process launches.

    Returns:
        The status of the first run that failed, or 0.
    """
    study = _study(output, goal)
    study.sampler = _sampler((*seed, len(study.trials)))
    _resubmit_interrupted(study, alone=at_most >= trials)
    first, launched = 0, 0
    while launched < at_most and _ended(study) < trials:
        trial = study.ask(_distributions(space))
        run = run_of(_typed(trial, space), output)
        logger.info("trial %d of %d: %s", _ended(study) + 1, trials, run.name)
        status = launch(run)
        _tell(study, trial, run, goal, status)
        first, launched = first or status, launched + 1
    return first


def runs_tried(space: Space, output: Path, goal: Goal) -> list[Run]:
    """Return the runs of a study, the best first; those without a figure last."""
    study = _study(output, goal)
    sign = -1 if goal.maximize else 1
    ended = [trial for trial in study.trials if trial.state.is_finished() and trial.params.keys() == space.keys()]
    ended.sort(key=lambda trial: (trial.value is None, sign * (trial.value or 0)))
    named = (run_of({key: _as_typed(trial.params[key]) for key in space}, output) for trial in ended)
    return list(dict.fromkeys(named))


def _study(output: Path, goal: Goal) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    output.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(output / JOURNAL)))
    direction: Literal["maximize", "minimize"] = "maximize" if goal.maximize else "minimize"
    return optuna.create_study(storage=storage, study_name=STUDY, direction=direction, load_if_exists=True)


def _sampler(seeds: Sequence[int]) -> BaseSampler:
    """Return a sampler that repeats neither what it proposed before it was continued nor what its neighbours do."""
    from optuna.samplers import TPESampler

    [seed] = np.random.SeedSequence(seeds).generate_state(1)
    # Runs of an array are proposed at the same time: none should be near another that has not ended yet.
    return TPESampler(seed=int(seed), n_startup_trials=FIRST_AT_RANDOM, constant_liar=True)


def _resubmit_interrupted(study: Study, alone: bool) -> None:
    """Have values asked again whose run was interrupted; beside other processes nobody knows which those are."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)) if alone else ():
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _ended(study: Study) -> int:
    """Return how many trials count: all but those whose run is launched again."""
    again = {trial.user_attrs.get("again") for trial in study.trials}
    return sum(trial.state.is_finished() and trial.number not in again for trial in study.trials)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    from optuna import distributions

    def of(values: Listed | Interval) -> BaseDistribution:
        if isinstance(values, Listed):
            return distributions.CategoricalDistribution(values.values)
        if values.whole:
            return distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
        return distributions.FloatDistribution(values.low, values.high, log=values.log)

    return {key: of(values) for key, values in space.items()}


def _typed(trial: Trial, space: Space) -> Mapping[str, str]:
    return {key: _as_typed(trial.params[key]) for key in space}


def _as_typed(value: str | float) -> str:
    return value if isinstance(value, str) else typed(value)


def _tell(study: Study, trial: Trial, run: Run, goal: Goal, status: int) -> None:
    from optuna.trial import TrialState

    found = figures(run.output_dir)
    if status == 0 and goal.figure in found:
        study.tell(trial, found[goal.figure])
        logger.info("%s %.4g: %s", goal.figure, found[goal.figure], run.name)
        return
    study.tell(trial, state=TrialState.FAIL)
    if status == 0:
        logger.error("%s has no %s, but %s", run.name, goal.figure, ", ".join(found) or "no figures at all")


def goals(maximize: str | None, minimize: str | None) -> Iterator[Goal]:
    """Yield what was asked for."""
    if maximize is not None:
        yield Goal(maximize, maximize=True)
    if minimize is not None:
        yield Goal(minimize, maximize=False)
