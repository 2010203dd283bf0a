"""A run starts, continues an earlier one, or is complete: the decision, and the files that it is made by."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainers.configuration.checks.files import missing_paths
from trainers.configuration.composition.compose import Composition, load, save
from trainers.configuration.resume.differences import (
    GONE,
    difference,
    fixed_schedule,
    lengthens,
    longer,
    shaping_lessons,
    unreadable,
)
from trainers.configuration.resume.evaluations import (
    evaluation_action,
    fingerprints,
    has_evaluation,
    has_search,
    read_models,
)
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    Experiment,
    PromptSearchExperiment,
    TrainingExperiment,
)
from trainers.output.checkpoints import TRAINER_STATE, flaw, newest_whole, recover, reject
from trainers.output.files import write_whole
from trainers.output.lock import LOCK
from trainers.problems import ConfigurationError, Problem

FINISHED = "finished.json"
STOP = "stop"
"""A file in the output of a training that asks it to end after its step, with a checkpoint; it may say why."""
STOP_ROLLOUT = "stop_rollout"
"""A file in the output of a GRPO run that asks it to give up the rollout that runs, and end likewise."""
OWN_OUTPUT = ("metrics.jsonl", "lessons", "servers")
INSIDE = "earlier-"
"""Before the time in the name of a directory that old output is set aside in, inside an output directory."""
Action = Literal["start", "continue", "complete", "set_aside", "refuse"]


@dataclass(frozen=True)
class ResumeDecision:
    """A decision about an output directory, and its reason.

    Args:
        action: what is done.
        checkpoint: the path to continue from, if any.
        reason: in words.
        damaged: later checkpoints that are not whole, which are put out of the way.
    """

    action: Action
    checkpoint: str | None
    reason: str
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """The traces of earlier runs in an output directory.

    Args:
        saved: flat keys as saved.
        checkpoint: the last whole one.
        damaged: later checkpoints that are not whole, with what is wrong with each.
        finished: whether a run came to its end.
        output: whether a run wrote anything.
    """

    saved: Mapping[str, Any] | None = None
    checkpoint: str | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)
    finished: bool = False
    output: bool = False


def resume_decision(config: TrainingExperiment, earlier: Earlier) -> ResumeDecision:
    """`auto` continues the same run only, `never` sets old output aside, a path is continued."""
    if config.output.resume == "never":
        if earlier.output:
            return ResumeDecision("set_aside", None, "resume=never: old output is set aside")
        return ResumeDecision("start", None, "a new run")
    if config.output.resume != "auto":
        return ResumeDecision("continue", config.output.resume, f"continues from {config.output.resume}")
    return _automatic(config, earlier)


def _automatic(config: TrainingExperiment, earlier: Earlier) -> ResumeDecision:
    kept = earlier.finished or earlier.checkpoint is not None
    if kept and earlier.saved is None:
        return ResumeDecision("refuse", None, "it holds checkpoints of a run whose configuration is not known")
    differing = difference(earlier.saved, config) if kept and earlier.saved is not None else {}
    if lengthens(differing) and earlier.saved is not None and longer(earlier.saved, config):
        return _lengthened(config, earlier, "; ".join(differing.values()))
    if differing:
        return ResumeDecision("refuse", None, "it holds another run, which differs in " + "; ".join(differing.values()))
    if earlier.finished:
        return ResumeDecision("complete", None, "this run is complete")
    if earlier.checkpoint:
        return _continued(earlier)
    if earlier.output:
        left = f"no whole checkpoint ({_damages(earlier)})" if earlier.damaged else "no checkpoint"
        return ResumeDecision("set_aside", None, f"an earlier attempt left {left}: its output is set aside")
    return ResumeDecision("start", None, "a new run")


def _continued(earlier: Earlier, change: str = "") -> ResumeDecision:
    reason = f"continues from {earlier.checkpoint}{change}"
    if earlier.damaged:
        reason += f", because what is newer is not whole ({_damages(earlier)})"
    return ResumeDecision("continue", earlier.checkpoint, reason, tuple(earlier.damaged))


def _damages(earlier: Earlier) -> str:
    return "; ".join(f"{Path(path).name}: {wrong}" for path, wrong in earlier.damaged.items())


def _evaluation_decision(config: EvaluationExperiment, earlier: Earlier) -> ResumeDecision:
    directory = Path(config.output.output_dir)
    if config.output.resume not in ("auto", "never"):
        return ResumeDecision(
            "refuse", None, f"an evaluation has no checkpoint to continue from ({config.output.resume})"
        )
    if not has_evaluation(directory):
        return ResumeDecision("start", None, "a new evaluation")
    if config.output.resume == "never":
        return ResumeDecision("set_aside", None, "resume=never: old output is set aside")
    recorded, found = read_models(directory), fingerprints(config)
    differing = shaping_lessons(difference(earlier.saved or {}, config))
    action, reason = evaluation_action(config, earlier.saved, differing, recorded, found, earlier.finished)
    return ResumeDecision(action, None, reason)


def _lengthened(config: TrainingExperiment, earlier: Earlier, change: str) -> ResumeDecision:
    """Continue the same run for longer where the learning rate of the steps done would have been the same."""
    if fixed_schedule(config):
        reason = (
            f"it holds this run with fewer steps ({change}), and lr_scheduler_type={config.trainer.lr_scheduler_type} "
        )
        return ResumeDecision("refuse", None, f"{reason}spreads the learning rate over all steps")
    if not earlier.checkpoint:
        return ResumeDecision("refuse", None, f"it holds this run with fewer steps ({change}), and no whole checkpoint")
    return _continued(earlier, f", for longer ({change})")


def look(output_dir: str | Path) -> Earlier:
    """Read what an output directory holds."""
    path = Path(output_dir)
    whole, damaged = newest_whole(path)
    return Earlier(
        saved=load(path),
        checkpoint=None if whole is None else str(whole),
        damaged={str(checkpoint): wrong for checkpoint, wrong in damaged.items()},
        finished=is_finished(path),
        output=any((path / name).exists() for name in (*OWN_OUTPUT, FINISHED)) or bool(list(path.glob("checkpoint-*"))),
    )


def is_finished(output_dir: Path) -> bool:
    """Return whether a training came to its end; a record that was cut off when its disk was full says nothing."""
    try:
        return isinstance(json.loads((output_dir / FINISHED).read_bytes()), dict)
    except (OSError, ValueError):
        return False


def decide(config: Experiment) -> ResumeDecision:
    """Return the decision for a configuration and what its output directory holds now.

    Raises:
        ConfigurationError: when the run must not go on, with the difference and the ways out.
    """
    decision = _decided(config, look(config.output.output_dir))
    if decision.action == "refuse":
        if GONE in decision.reason:
            # Nobody can give a key that does not exist, so there is no difference to undo.
            remedy = (
                "another version of ATLAS began this run: choose another output_dir, set resume=never to set the old "
                "output aside, or set resume=DIRECTORY/checkpoint-N to continue without these keys"
            )
        else:
            remedy = (
                "choose another output_dir, undo the difference, set resume=never to set the old output aside, "
                "or set resume=DIRECTORY/checkpoint-N to continue from there all the same"
            )
        raise ConfigurationError([Problem(f"output_dir={config.output.output_dir}", decision.reason, remedy)])
    if decision.checkpoint:
        _check_whole(config.output.resume, Path(decision.checkpoint))
    if decision.checkpoint and isinstance(config, TrainingExperiment):
        _check_readable(config, Path(decision.checkpoint))
        _check_best(config, Path(decision.checkpoint))
    return decision


def _search_decision(config: PromptSearchExperiment, earlier: Earlier) -> ResumeDecision:
    """Read again what is held: the same search goes on where it was, and one with a larger budget does too."""
    if config.output.resume not in ("auto", "never"):
        reason = f"a search for prompts has no checkpoint to continue from ({config.output.resume})"
        return ResumeDecision("refuse", None, reason)
    if not has_search(Path(config.output.output_dir)):
        return ResumeDecision("start", None, "a new search")
    if config.output.resume == "never":
        return ResumeDecision("set_aside", None, "resume=never: old output is set aside")
    recorded, found = read_models(Path(config.output.output_dir)), fingerprints(config)
    differing = shaping_lessons(difference(earlier.saved or {}, config))
    changed = [name for name, value in found.items() if (recorded or {}).get(name) != value]
    if earlier.saved is None or differing or changed:
        reason = "it holds another search, which differs in " + "; ".join(
            [*differing, *changed] or ["what is not known"]
        )
        return ResumeDecision("set_aside", None, reason)
    if earlier.finished and earlier.saved.get("search_budget") == config.search.search_budget:
        return ResumeDecision("complete", None, "this search is complete")
    return ResumeDecision("continue", None, "continues the search that it holds")


def _decided(config: Experiment, earlier: Earlier) -> ResumeDecision:
    if isinstance(config, PromptSearchExperiment):
        return _search_decision(config, earlier)
    if isinstance(config, EvaluationExperiment):
        return _evaluation_decision(config, earlier)
    assert isinstance(config, TrainingExperiment)
    return resume_decision(config, earlier)


def _check_whole(resume: str, checkpoint: Path) -> None:
    if not (checkpoint / TRAINER_STATE).is_file():
        expected = "expected auto, never, or a directory checkpoint-N"
        raise ConfigurationError(
            [Problem(f"resume={resume}", expected, f"name a checkpoint that holds {TRAINER_STATE}")]
        )
    if resume != "auto" and (wrong := flaw(checkpoint)) is not None:
        remedy = "name another checkpoint, or set resume=auto to continue from the last whole one of output_dir"
        raise ConfigurationError([Problem(f"resume={resume}", f"it is not whole: {wrong}", remedy)])


def _check_readable(config: TrainingExperiment, checkpoint: Path) -> None:
    made = load(checkpoint.parent)
    reason = unreadable(made, config) if made is not None else None
    if reason is not None:
        remedy = (
            "use as many training GPUs and the same DeepSpeed stage, or start anew from its weights: "
            f"model_name_or_path={checkpoint} and another output_dir"
        )
        raise ConfigurationError([Problem(str(checkpoint), reason, remedy)])


def _check_best(config: TrainingExperiment, checkpoint: Path) -> None:
    """Refuse to continue when the best model so far, which is loaded at the end, is gone from where it was saved."""
    if not config.trainer.load_best_model_at_end:
        return
    best = json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8")).get("best_model_checkpoint")
    if best and not Path(best).is_dir():
        expected = f"load_best_model_at_end=true would load the best model so far from {best}, which is gone"
        remedy = "put it back there, or set load_best_model_at_end=false"
        raise ConfigurationError([Problem(str(checkpoint), expected, remedy)])


def settle(
    composition: Composition, check: Callable[[Experiment], Iterable[Problem]] = missing_paths
) -> tuple[Experiment | None, tuple[str, ...]]:
    """Get an output directory ready for a composed run: checks, sets old output aside, saves the configuration.

    Args:
        composition: what is to run.
        check: finds what is missing around the run; it is not asked when the run is complete.

    Returns:
        The configuration with `resume_from` filled in, or `None` when the run is complete; and the notes to show.

    Raises:
        ConfigurationError: when the run must not go on, or `check` finds problems.
    """
    config = composition.config
    recover(Path(config.output.output_dir))
    decision = decide(config)
    notes = (*composition.notes, f"{config.output.output_dir}: {decision.reason}")
    if decision.action == "complete":
        return None, notes
    problems = list(check(config))
    if problems:
        raise ConfigurationError(problems)
    if decision.action == "set_aside":
        notes = (*notes, f"old output is now in {set_aside(config.output.output_dir)}")
    if decision.action == "continue":
        (Path(config.output.output_dir) / FINISHED).unlink(missing_ok=True)
        notes = (*notes, *(f"{path} is now {reject(Path(path)).name}" for path in decision.damaged))
    resumed = isinstance(config, TrainingExperiment)
    settled = config.with_keys(resume_from=decision.checkpoint) if resumed else config
    save(settled)
    return settled, notes


def set_aside(output_dir: str | Path) -> Path:
    """Move what is in an output directory into one beside it with the time in its name, and return that.

    Where there is none on the same disk, because the directory is a mount point, it is one inside. The directory stays,
    with its lock.
    """
    path, now = Path(output_dir), time.strftime("%Y%m%d-%H%M%S")
    moved = [entry for entry in path.iterdir() if entry.name != LOCK and not entry.name.startswith(INSIDE)]
    target = _unused(path.resolve().with_name(f"{path.resolve().name}.{now}"))
    try:
        target.mkdir()
        moved[0].rename(target / moved[0].name)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        with suppress(OSError):
            target.rmdir()
        target = _unused(path / f"{INSIDE}{now}")
        target.mkdir()
        moved[0].rename(target / moved[0].name)
    for entry in moved[1:]:
        entry.rename(target / entry.name)
    return target


def _unused(path: Path) -> Path:
    """Return a path, or the first with a number after it, that nothing has."""
    names = (path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


def mark_finished(config: Experiment, steps: int) -> None:
    """Record that a run reached its end, after everything else of it was written."""
    record = {"steps": steps, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_whole(Path(config.output.output_dir) / FINISHED, json.dumps(record) + "\n")
