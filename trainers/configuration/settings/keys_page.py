"""The page of all keys in the documentation, from their declarations; `python -m` this module writes it anew."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.configuration.settings.experiments import EVALUATION, EXPERIMENTS, sections_of
from trainers.configuration.settings.in_words import expected, written
from trainers.configuration.settings.key import EvaluationResume, Resume, Settings
from trainers.configuration.settings.keys import Key, keys_in, keys_of
from trainers.configuration.settings.models.api_teacher import ApiTeacherSettings
from trainers.configuration.settings.models.judge import JudgeModelSettings, JudgeSettings
from trainers.paths import ROOT

PAGE = ROOT / "docs/api-reference/keys.md"

_HEAD = """\
# Keys

Every key of every experiment, by the settings class that declares it. This page is written from those classes by
`python -m trainers.configuration.settings.keys_page`, and a test holds it equal to them.

Defaults are those of the classes; recipes state others, and `--cfg job` shows what a run has in the end. A key is given
as `key=value` ([the configuration system](../architecture/config-system.md) says how). *On resume* says whether a run
that is continued may have another value. Of the experiments, *all* are `sft`, `teacher_grpo`, `evaluation` and
`prompt_search`.
"""
_TRL = """\
## Keys of TRL and transformers

Their meaning is documented with TRL's [SFTConfig](https://huggingface.co/docs/trl/sft_trainer#trl.SFTConfig) and
[GRPOConfig](https://huggingface.co/docs/trl/grpo_trainer#trl.GRPOConfig), and with
[TrainingArguments](https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments) of
transformers. Other fields of theirs [mean nothing here](../guides/coming-from-the-reference.md#keys).
"""
_API_TEACHER = """\
## A teacher behind an API

The entries of a table in `teacher=`, such as `teacher={base_url: …, model: …}`. They are no keys by themselves.
"""
_JUDGES = """\
## Judges

The settings of `verifier=judge`, such as `verifier_args.pairwise=true`.
"""
_JUDGE = """\
## A model that judges

The entries of `verifier_args.model` and `verifier_args.escalate_to`, such as `{base_url: …, model: …}`.
"""
_TITLES = {"lora": "LoRA"}
_COLUMNS = ("key", "type", "default", "allowed")
_OF_RUNS = ("experiments", "on resume")
_CHOICES_SHOWN = 8
_ON_RESUME = {
    Resume.SHAPES: "the same",
    Resume.LENGTH: "may grow",
    Resume.EVALUATION: "free, unless the learning rate follows the evaluations",
    Resume.FREE: "free",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Declared:
    """One key as the experiments that have it declare it, by their names."""

    by_experiment: Mapping[str, Key]

    @property
    def key(self) -> Key:
        """The declaration of the first experiment."""
        return next(iter(self.by_experiment.values()))


def render() -> str:
    """Return the page."""
    sections = _sections()
    parts = [_HEAD]
    for name, (kind, keys) in sections.items():
        ours = [declared for declared in keys if not declared.key.from_trl]
        if ours:
            title = f"## {_TITLES.get(name, name.capitalize())}\n\n{_first_sentence(kind)}\n"
            parts += [title, _table((*_COLUMNS, "meaning", *_OF_RUNS), map(_row, ours))]
    for title, kind in ((_API_TEACHER, ApiTeacherSettings), (_JUDGES, JudgeSettings), (_JUDGE, JudgeModelSettings)):
        entries = [Declared({EVALUATION: key}) for key in keys_in(kind).values()]
        parts += [title, _table((*_COLUMNS, "meaning"), (_row(each)[:5] for each in entries))]
    from_trl = [declared for _, keys in sections.values() for declared in keys if declared.key.from_trl]
    rows = map(_row, sorted(from_trl, key=lambda declared: declared.key.name))
    parts += [_TRL, _table((*_COLUMNS, *_OF_RUNS), ([*row[:4], *row[5:]] for row in rows))]
    return "\n".join(parts)


def _sections() -> dict[str, tuple[type[Settings], list[Declared]]]:
    """Return the keys of all experiments by the section that holds them, with the settings class that has most."""
    kinds: dict[str, type[Settings]] = {}
    found: dict[str, dict[str, dict[str, Key]]] = {}
    for experiment, whole in EXPERIMENTS.items():
        for name, kind in sections_of(whole).items():
            kinds[name] = max(kinds.get(name, kind), kind, key=lambda known: len(known.model_fields))
        for key in keys_of(experiment).values():
            found.setdefault(key.section, {}).setdefault(key.name, {})[experiment] = key
    return {name: (kinds[name], [Declared(each) for each in found[name].values()]) for name in found}


def _row(declared: Declared) -> list[str]:
    key = declared.key
    kind = "a word" if key.choices else expected(key.annotation)
    return [
        f"`{key.name}`",
        kind if not key.choices or not key.optional else f"{kind}, or null",
        _default(declared),
        "; ".join(_allowed(declared)),
        key.doc,
        "all" if len(declared.by_experiment) == len(EXPERIMENTS) else ", ".join(declared.by_experiment),
        _on_resume(declared),
    ]


def _default(declared: Declared) -> str:
    key = declared.key
    if key.facts.computed:
        return "computed"
    if key.facts.required or (key.default is None and not key.optional):
        return "none: needed"
    return _by_experiment({name: _code(each.default) for name, each in declared.by_experiment.items()})


def _allowed(declared: Declared) -> Iterator[str]:
    key = declared.key
    if key.facts.secret:
        yield "from the environment only"
    if key.choices:
        yield _by_experiment({name: _some(each.choices) for name, each in declared.by_experiment.items()})
    if key.bounds:
        yield f"`{' and '.join(key.bounds)}`"
    if key.facts.placeholders:
        named = "with " + ", ".join(f"`{{{name}}}`" for name in key.facts.placeholders)
        other = ", ".join(f"`{{{name}}}`" for name in key.facts.optional_placeholders)
        yield f"{named}, may have {other}" if other else named
    if key.facts.needs:
        yield f"with `{key.facts.needs}`"
    fixed = [name for name, each in declared.by_experiment.items() if each.facts.fixed]
    if fixed:
        where = "" if len(fixed) == len(declared.by_experiment) else f" in {', '.join(fixed)}"
        yield f"only the default{where}"
    if key.facts.of_api:
        yield "of an API only"


def _some(choices: Sequence[str]) -> str:
    more = f", … ({len(choices)} in all)" if len(choices) > _CHOICES_SHOWN else ""
    return ", ".join(choices[:_CHOICES_SHOWN]) + more


def _by_experiment(texts: Mapping[str, str]) -> str:
    """Return the text that all experiments have, or each one's."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _on_resume(declared: Declared) -> str:
    facts = declared.key.facts
    if facts.secret:
        return "free"
    training = _ON_RESUME[facts.resume]
    free = facts.parts is EvaluationResume.FREE or facts.resume in (Resume.FREE, Resume.EVALUATION)
    evaluation = "free" if free else "the same"
    if EVALUATION not in declared.by_experiment:
        return training
    if len(declared.by_experiment) == 1 or training == evaluation:
        return evaluation
    return f"training: {training}; evaluation: {evaluation}"


def _code(value: Any) -> str:
    return f"`{written(value)}`" if value != "" else "empty"


def _first_sentence(kind: type[Settings]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Write the page."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    PAGE.write_text(render(), encoding="utf-8")
    logger.info("wrote %s", PAGE)


if __name__ == "__main__":
    main()
