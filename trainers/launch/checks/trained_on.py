"""Warnings for evaluations that ask a teacher what it was trained on, by what its run saved beside its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.configuration.composition.compose import load
from trainers.configuration.devices.placement import teachers
from trainers.configuration.settings.experiments import EvaluationExperiment, Experiment, PromptSearchExperiment
from trainers.configuration.settings.keys import names_where
from trainers.configuration.settings.students import HELD_OUT, SYSTEM_PROMPT, TRAINED, heldout_members
from trainers.hub_ids import resolved


def trained_on(config: Experiment) -> Iterator[str]:
    """Yield a warning for each teacher of an evaluation that was trained on its rows, or with a held-out student."""
    if not isinstance(config, EvaluationExperiment) or isinstance(config, PromptSearchExperiment):
        return
    for path in teachers(config):
        run = load(path)
        if run is None:
            continue
        yield from _met_students(path, run, config)
        if _same_rows(run, config):
            yield (
                f"teacher={path} was trained on these questions: what it gains on them says little about others. "
                "→ evaluate on another dataset or dataset_split"
            )


def _met_students(path: str, run: Mapping[str, Any], config: EvaluationExperiment) -> Iterator[str]:
    met = {_student(entry, run): name for name, entry in (run.get(TRAINED) or {}).items()}
    for member in heldout_members(config):
        keys = member.config.flat()
        known = met.get((resolved(keys["student_model"]), keys["student_system_prompt"]))
        if known is not None:
            yield (
                f"{HELD_OUT}.{member.name} is a student that teacher={path} was trained with (as {known}): what it "
                "gains with it says little about students that it has not met. "
                f"→ name it under {TRAINED}, or evaluate with others"
            )


def _student(entry: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what makes a student of a table another one: its model or agent, and its system prompt."""
    model = entry.get("model") or entry.get("agent") or run.get("student_model") or ""
    return resolved(model), entry.get(SYSTEM_PROMPT, run.get("student_system_prompt"))


def _same_rows(run: Mapping[str, Any], config: EvaluationExperiment) -> bool:
    theirs, ours = run.get("dataset_id_or_path"), config.data.dataset_id_or_path
    if not theirs or resolved(theirs) != resolved(ours):
        return False
    keys = config.flat()
    chosen_alike = all(run.get(name) == keys[name] for name in names_where(selects_rows=True))
    return chosen_alike and _overlap(run.get("dataset_split") or "train", config.data.dataset_split or "train")


def _overlap(one: str, other: str) -> bool:
    """Return whether two splits are the same, or one of them holds a whole of which the other takes a part."""
    (whole, named), (other_whole, other_named) = _pieces(one), _pieces(other)
    return one == other or bool(whole & other_named) or bool(other_whole & named)


def _pieces(split: str) -> tuple[set[str], set[str]]:
    """Return the names that stand without brackets in a split such as `train+test[:10%]`, and all names."""
    pieces = [piece.strip() for piece in split.split("+")]
    return {piece for piece in pieces if "[" not in piece}, {piece.partition("[")[0] for piece in pieces}
