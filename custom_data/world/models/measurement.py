"""Measurement of the prepared student: accuracies and faithful probes on held-out questions, by greedy decoding."""

import random
import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from custom_data.world.models.rendering import render
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import StoryProblem
from custom_data.world.texts.student import Beliefs, approach
from trainers.generation.types import Prompt
from trainers.teaching.prompts import PromptTemplates

_SOLUTION = re.compile(r"<solution>(.*?)</solution>")


def measure(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    templates: PromptTemplates,
    questions: Sequence[StoryProblem],
    beliefs: Beliefs,
    seed: int,
) -> dict[str, float]:
    """Return accuracy (share of questions) alone and after each sort of teaching, and the share of faithful probes."""
    rng = random.Random(seed)

    def other_plan(question: StoryProblem) -> str:
        return rng.choice([name for name in PLANS if name != question.plan])

    teachings = {
        "right_plan": [PLANS[q.plan].spelled_out() for q in questions],
        "wrong_plan": [PLANS[other_plan(q)].spelled_out() for q in questions],
        "right_plan_only_named": [f"{PLANS[q.plan].intent.capitalize()}." for q in questions],
        "confirmation": ["Good plan."] * len(questions),
        "stated_answer": [f"The answer is {q.answer}." for q in questions],
    }
    figures = {"alone": _accuracy(say(model, tokenizer, [templates.baseline(q.text) for q in questions]), questions)}
    for sort, texts in teachings.items():
        prompts = [templates.taught(q.text, text) for q, text in zip(questions, texts, strict=True)]
        figures[sort] = _accuracy(say(model, tokenizer, prompts), questions)
    approaches = say(model, tokenizer, [templates.probe(q.text) for q in questions])
    expected = [approach(PLANS[beliefs[q.kind, q.category]]) for q in questions]
    figures["faithful_probes"] = sum(a == e for a, e in zip(approaches, expected, strict=True)) / len(questions)
    return figures


@torch.inference_mode()
def say(model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[str]:
    """Return the model's greedy continuation of every prompt, at most 24 tokens."""
    batch = tokenizer(
        [render(tokenizer, prompt) for prompt in prompts], add_special_tokens=False, padding=True, return_tensors="pt"
    )
    ids = model.generate(batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=24, do_sample=False)
    return tokenizer.batch_decode(ids[:, batch.input_ids.shape[1] :], skip_special_tokens=True)


def _accuracy(solutions: Sequence[str], questions: Sequence[StoryProblem]) -> float:
    answers = [_SOLUTION.findall(solution) for solution in solutions]
    right = [a[-1:] == [str(q.answer)] for a, q in zip(answers, questions, strict=True)]
    return sum(right) / len(questions)
