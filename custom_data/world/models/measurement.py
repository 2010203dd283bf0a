"""Measurement of the prepared models on held-out questions, by greedy decoding: what help does for each student."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from custom_data.world.models.rendering import prompts_of, render, student_prompt
from custom_data.world.texts.behaviour import approach, solution, taught_solution
from custom_data.world.texts.comparisons import comparison_example, pairs
from custom_data.world.texts.plans import PLANS, plan_after
from custom_data.world.texts.response import Help
from custom_data.world.texts.stories import StoryProblem
from custom_data.world.texts.students import Beliefs
from custom_data.world.texts.talk import CONFIRMATIONS, objection
from trainers.generation.types import Prompt
from trainers.teaching.prompts import PromptTemplates

FIGURES = {
    "alone": "accuracy without a teacher",
    "oracle": "accuracy with help from one who knows the belief: confirmed where right, targeted where wrong",
    "targeted": "share of wrong solutions made right where the own plan is objected to and the right one spelled out",
    "misdirected": "the same where another plan than the own is objected to",
    "generic": "the same where the right plan is spelled out and nothing objected to",
    "stated_answer": "the same where the answer is stated",
    "kept": "share of right solutions that stay right where the own plan is objected to and another spelled out",
    "faithful_probes": "share of probes that name the plan which the student believes in",
    "rule": "share of taught solutions that are word for word those of the rule",
}
_SOLUTION = re.compile(r"<solution>(.*?)</solution>")


@dataclass(frozen=True)
class Trial:
    """A prompt to one student, the figure that its reply counts for, and what the reply should be."""

    figure: str
    prompt: Prompt
    expected: str
    answer: str


def measure(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    templates: PromptTemplates,
    questions: Sequence[StoryProblem],
    beliefs: Mapping[str, Beliefs],
) -> dict[str, dict[str, float]]:
    """Return the `FIGURES` of every student, by name. The questions have to be of every kind."""
    return {
        name: _figures(model, tokenizer, list(_trials(templates, questions, name, table)))
        for name, table in beliefs.items()
    }


def compare_plans(
    model: Any, tokenizer: PreTrainedTokenizerBase, templates: PromptTemplates, questions: Sequence[StoryProblem]
) -> float:
    """Return the share of the verdicts on all pairs of plans, below each question, that are right."""
    examples = [comparison_example(question.text, *pair) for question in questions for pair in pairs()]
    replies = say(model, tokenizer, [student_prompt(templates, example) for example in examples])
    return fmean(reply == example.says for reply, example in zip(replies, examples, strict=True))


def _trials(
    templates: PromptTemplates, questions: Sequence[StoryProblem], student: str, beliefs: Beliefs
) -> Iterator[Trial]:
    own_templates = prompts_of(student, templates)
    for question in questions:
        own, right, answer = beliefs[question.kind], question.plan, str(question.answer)
        numbers = question.first, question.second
        yield Trial("faithful_probes", own_templates.probe(question.text), approach(own), answer)
        yield Trial("alone", own_templates.baseline(question.text), solution(own, *numbers), answer)
        for figure, given in _help(own, right).items():
            text = _written(given) or (f"The answer is {answer}." if figure == "stated_answer" else CONFIRMATIONS[0])
            expected = taught_solution(own, right, given, *numbers)
            yield Trial(figure, own_templates.taught(question.text, text), expected, answer)


def _help(own: str, right: str) -> dict[str, Help]:
    """Return the help to be tried on a student with this plan, by the figure that it counts for."""
    if own == right:
        return {"confirmed": Help(), "kept": Help((own,), plan_after(own))}
    other = next(plan for plan in PLANS if plan != own)
    return {
        "targeted": Help((own,), right),
        "misdirected": Help((other,), right),
        "generic": Help((), right),
        "stated_answer": Help(),
    }


def _written(given: Help) -> str:
    spelled = [PLANS[given.spelled].spelled_out()] if given.spelled else []
    return " ".join([*map(objection, given.objections), *spelled])


def _figures(model: Any, tokenizer: PreTrainedTokenizerBase, trials: Sequence[Trial]) -> dict[str, float]:
    replies = say(model, tokenizer, [trial.prompt for trial in trials])
    as_expected: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    for trial, reply in zip(trials, replies, strict=True):
        as_expected[trial.figure].append(reply == trial.expected)
        right[trial.figure].append(_SOLUTION.findall(reply)[-1:] == [trial.answer])
    right["oracle"] = right["confirmed"] + right["targeted"]
    taught = [as_expected[figure] for figure in as_expected if figure not in ("alone", "faithful_probes")]
    found = {figure: fmean(right[figure]) for figure in FIGURES if figure in right}
    found |= {
        "faithful_probes": fmean(as_expected["faithful_probes"]),
        "rule": fmean(kept for kind in taught for kept in kind),
    }
    return {figure: found[figure] for figure in FIGURES}


@torch.inference_mode()
def say(model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[str]:
    """Return the model's greedy continuation of every prompt, at most 32 tokens."""
    batch = tokenizer(
        [render(tokenizer, prompt) for prompt in prompts], add_special_tokens=False, padding=True, return_tensors="pt"
    )
    ids = model.generate(batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=32, do_sample=False)
    return tokenizer.batch_decode(ids[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
