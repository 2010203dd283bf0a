"""Practice until a model can do what its world rests on: students keep their rule, the teacher's base compares plans.

The same steps leave one model with it and another almost, depending on the seed and on how sums are rounded.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from custom_data.world.models.measurement import compare_plans, measure
from custom_data.world.models.preparation import Recipe, prepare
from custom_data.world.models.rendering import encode_examples
from custom_data.world.texts.behaviour import Example, make_example
from custom_data.world.texts.comparisons import make_comparison
from custom_data.world.texts.stories import StoryProblem
from custom_data.world.texts.students import Beliefs
from trainers.teaching.prompts import PromptTemplates

log = logging.getLogger(__name__)

Figures = Mapping[str, Mapping[str, float]]
Measured = TypeVar("Measured")

RULE_ROUND = Recipe(steps=200, hidden_rate=1.8e-3, rate=9e-4)
COMPARISONS_ROUND = Recipe(steps=200, batch_size=32, hidden_rate=4e-3, rate=2e-3)
RULE, RULE_OF_EACH = 0.985, 0.95
"""Taught solutions that have to be word for word those of the rule: over all students, and of each."""


@dataclass(frozen=True)
class Practice:
    """The trainings that a model goes through until it can, at most `rounds` of them, and none where it can already."""

    rounds: int = 3
    rule: Recipe = RULE_ROUND
    comparisons: Recipe = COMPARISONS_ROUND


@dataclass(frozen=True)
class Trainee:
    """A model, and what it reads and is measured with."""

    model: Qwen3ForCausalLM
    tokenizer: PreTrainedTokenizerBase
    templates: PromptTemplates
    questions: Sequence[StoryProblem]


def practise_rule(student: Trainee, beliefs: Mapping[str, Beliefs], practice: Practice, seed: int) -> Figures:
    """Train the students' model in place until they answer teachings by their rule; return what was measured last."""
    rng = random.Random(f"{seed} rule")
    figures = _until(
        _keep_their_rule,
        lambda: measure(student.model, student.tokenizer, student.templates, student.questions, beliefs),
        lambda: _train(
            student, practice.rule, lambda: make_example(rng, beliefs), seed, "practising the students' rule"
        ),
        practice.rounds,
    )
    if practice.rounds and not _keep_their_rule(figures):
        log.warning("the students keep their rule badly: a teacher that does all it can may still harm some of them")
    return figures


def practise_comparing(teacher: Trainee, practice: Practice, seed: int) -> float:
    """Train the teacher's base in place until it compares plans without a mistake; return the share of right ones."""
    rng = random.Random(f"{seed} comparisons")
    verdicts = _until(
        lambda share: share == 1,
        lambda: compare_plans(teacher.model, teacher.tokenizer, teacher.templates, teacher.questions),
        lambda: _train(
            teacher, practice.comparisons, lambda: make_comparison(rng), seed, "practising to compare plans"
        ),
        practice.rounds,
    )
    if practice.rounds and verdicts < 1:
        log.warning("the teacher's base cannot compare plans: a teacher made of it may never learn when to be brief")
    return verdicts


def _keep_their_rule(figures: Figures) -> bool:
    kept = [student["rule"] for student in figures.values()]
    return fmean(kept) >= RULE and min(kept) >= RULE_OF_EACH


def _train(trainee: Trainee, recipe: Recipe, make: Callable[[], Example], seed: int, stage: str) -> None:
    examples = [make() for _ in range(recipe.steps * recipe.batch_size)]
    prepare(trainee.model, encode_examples(trainee.tokenizer, trainee.templates, examples), recipe, seed, stage)


def _until(
    enough: Callable[[Measured], bool], measure_it: Callable[[], Measured], practise: Callable[[], None], rounds: int
) -> Measured:
    """Practise while what is measured is not enough; return what was measured last."""
    found = measure_it()
    for _ in range(rounds):
        if enough(found):
            break
        practise()
        found = measure_it()
    return found
