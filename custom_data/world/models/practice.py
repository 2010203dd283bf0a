"""The practice of the teacher's base: comparing plans until it can."""

import logging
import random
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from custom_data.world.models.measurement import compare_plans
from custom_data.world.models.preparation import Recipe, prepare
from custom_data.world.models.rendering import encode_examples
from custom_data.world.texts.comparisons import make_comparison
from custom_data.world.texts.stories import StoryProblem
from trainers.teaching.prompts import PromptTemplates

log = logging.getLogger(__name__)

COMPARISONS = Recipe(steps=200, batch_size=32, hidden_rate=4e-3, rate=2e-3)
"""A round of the practice, which starts from the prepared student."""
ROUNDS = 3


def practise_comparing(
    teacher: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    templates: PromptTemplates,
    questions: Sequence[StoryProblem],
    recipe: Recipe,
    seed: int,
) -> float:
    """Train the teacher's base in place until it compares plans below these questions.

    One round is usually enough; which worlds need another depends on how sums are rounded.

    Returns:
        The share of its verdicts that are right in the end.
    """
    rng = random.Random(f"{seed} comparisons")
    verdicts = 0.0
    for _ in range(ROUNDS):
        examples = [make_comparison(rng) for _ in range(recipe.steps * recipe.batch_size)]
        prepare(teacher, encode_examples(tokenizer, templates, examples), recipe, seed, "preparing the teacher's base")
        verdicts = compare_plans(teacher, tokenizer, templates, questions)
        if verdicts == 1:
            return verdicts
        log.info("it is right about %.0f%% of the pairs of plans", 100 * verdicts)
    log.warning("the teacher's base cannot compare plans: a teacher made of it may never learn when to be brief")
    return verdicts
