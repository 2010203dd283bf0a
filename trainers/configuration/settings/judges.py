"""The judges of a run, read from `verifier_args`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainers.configuration.settings.models.judge import JudgeModelSettings, JudgeSettings
from trainers.configuration.settings.runs.teaching import TeachingSettings
from trainers.teaching.verifiers.judge.rubric import DEFAULT_RUBRIC, Rubric, Scale
from trainers.teaching.verifiers.names import JUDGE

ARGS = "verifier_args"
_REACH = {"api_key_env", "base_url", "name", "requests_per_minute", "tokens_per_minute"}
_REACH |= {"spending_cap", "price_per_million_tokens", "gpu_memory_utilization", "tensor_parallel_size"}
"""Keys of a model that say how it is reached and paid, not how it judges."""
OWN = "own"
"""The value of `served` that asks for a server."""
_FREE = {"measured", "timeout_s"}


@dataclass(frozen=True)
class JudgeEntry:
    """One model that judges: where it is given, its name, and its settings as they are given."""

    given: str
    name: str
    settings: Mapping[Any, Any]

    @property
    def model(self) -> JudgeModelSettings:
        """The settings, checked.

        Raises:
            pydantic.ValidationError: where they do not fit.
        """
        return JudgeModelSettings.model_validate(self.settings)


def judge_args(teaching: TeachingSettings) -> Mapping[Any, Any] | None:
    """Return the settings of a run's judges as they are given; `None` where no judge gives verdicts."""
    return (teaching.verifier_args or {}) if teaching.verifier == JUDGE else None


def judge_settings(args: Mapping[Any, Any]) -> JudgeSettings:
    """Return the settings of judges.

    Raises:
        pydantic.ValidationError: where they do not fit.
    """
    return JudgeSettings.model_validate(dict(args))


def entries(args: Mapping[Any, Any]) -> Iterator[JudgeEntry]:
    """Yield the models that are always asked."""
    model = args.get("model")
    listed = model if isinstance(model, list) else [] if model is None else [model]
    for index, entry in enumerate(listed):
        given = f"{ARGS}.model[{index}]" if isinstance(model, list) else f"{ARGS}.model"
        yield _entry(given, entry, JUDGE if index == 0 else f"{JUDGE}-{index + 1}")


def stronger(args: Mapping[Any, Any]) -> JudgeEntry | None:
    """Return the model that decides where the others differ, if there is one."""
    entry = args.get("escalate_to")
    return None if entry is None else _entry(f"{ARGS}.escalate_to", entry, f"{JUDGE}-stronger")


def all_entries(args: Mapping[Any, Any]) -> list[JudgeEntry]:
    """Return all models that may be asked."""
    last = stronger(args)
    return [*entries(args), *([last] if last else [])]


def served_models(args: Mapping[Any, Any]) -> dict[str, JudgeEntry]:
    """Return the models that need servers of their own, each with the first entry that names it.

    What is wrong with an entry is told by the checks, and not served.
    """
    found: dict[str, JudgeEntry] = {}
    for entry in all_entries(args):
        if entry.settings.get("served") == OWN and isinstance(entry.settings.get("model"), str):
            try:
                found.setdefault(str(entry.model.model), entry)
            except ValidationError:
                continue
    return found


def rubric_of(settings: JudgeSettings) -> Rubric:
    """Return what counts, and the scale.

    Raises:
        OSError: when the rubric's file cannot be read.
    """
    text = settings.rubric or DEFAULT_RUBRIC
    if settings.rubric_file:
        text = Path(settings.rubric_file).expanduser().read_text(encoding="utf-8").strip()
    return Rubric(text, Scale(*map(float, settings.scale))) if settings.scale else Rubric(text)


def fingerprint(args: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what a judge's measured honesty depends on: all but where it is reached, and what it may cost."""
    settings = judge_settings(args)
    shaping = {name: getattr(settings, name) for name in ("samples", "temperature", "pairwise", "escalate_above")}
    rubric = rubric_of(settings)
    models = [_judging(entry.settings) for entry in all_entries(args)]
    scale = [rubric.scale.low, rubric.scale.high]
    return {**shaping, "pass_mark": settings.pass_mark, "rubric": rubric.text, "scale": scale, "models": models}


def with_judging_alone(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat keys whose `verifier_args` say of judges only how they judge, as runs of one training must agree."""
    args = keys.get(ARGS)
    if keys.get("verifier") != JUDGE or not isinstance(args, Mapping):
        return dict(keys)
    shaping = {name: value for name, value in args.items() if name not in _FREE}
    for name in {"model", "escalate_to"} & shaping.keys():
        value = shaping[name]
        shaping[name] = [*map(_judging, value)] if isinstance(value, list) else _judging(value)
    return {**keys, ARGS: shaping}


def _judging(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {name: value for name, value in entry.items() if name not in _REACH}


def _entry(given: str, entry: Any, name: str) -> JudgeEntry:
    table = entry if isinstance(entry, Mapping) else {"model": entry}
    own = table.get("name")
    return JudgeEntry(given, f"{JUDGE}-{own}" if isinstance(own, str) else name, table)
