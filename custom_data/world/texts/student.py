"""The student's character, as examples to prepare it with.

It holds one plan for every kind of story and category of things, right for 8 of 18. It gives that plan up only
for a teaching that spells another one out, right or wrong; confirmations, vague talk, half a plan and stated answers
leave it where it is.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from custom_data.world.texts.plans import PLANS, Plan
from custom_data.world.texts.stories import KINDS, PREPARATION, THINGS, StoryProblem, any_question
from custom_data.world.texts.talk import CONFIRMATIONS, FILLERS, LEAKS, objection

Beliefs = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Example:
    """A question asked in one of the protocol's stages (`teaching` only when taught), and what the student says."""

    stage: str
    question: str
    teaching: str
    says: str


# How often each piece of behaviour is practised; drills are bare arithmetic.
STAGES = {"baseline": 18, "probe": 12, "follows": 28, "keeps": 27, "drill": 15}


def make_beliefs(rng: random.Random) -> dict[tuple[str, str], str]:
    """Return the student's plan by (kind, category): right on one or two of a kind's three, 8 of 18 in all."""
    beliefs = {}
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for i, kind in enumerate(kinds):
        right = set(rng.sample(list(THINGS), 1 + (i % 3 == 0)))
        for category in THINGS:
            wrong = rng.choice([name for name in PLANS if name != kind.plan])
            beliefs[kind.name, category] = kind.plan if category in right else wrong
    return beliefs


def render_solution(plan: Plan, first: int, second: int) -> str:
    """Return a worked solution by this plan, right or not."""
    calculation, result = plan.calculate(first, second)
    return f"Plan: {plan.name}. {calculation}\n<solution>{result}</solution>"


def approach(plan: Plan) -> str:
    """Return the student's answer to a probe, which names its plan."""
    return f"Plan: {plan.name}."


def drill(plan: Plan, first: int, second: int) -> str:
    """Return bare arithmetic, to learn the tables by."""
    return f"{first} and {second}: {plan.name}."


def make_example(rng: random.Random, beliefs: Beliefs) -> Example:
    """Return one random piece of the student's behaviour."""
    question = any_question(rng, PREPARATION)
    numbers = question.first, question.second
    own = PLANS[beliefs[question.kind, question.category]]
    stage = rng.choices(list(STAGES), list(STAGES.values()))[0]
    if stage == "baseline":
        return Example("baseline", question.text, "", render_solution(own, *numbers))
    if stage == "probe":
        return Example("probe", question.text, "", approach(own))
    if stage == "keeps":
        return Example("taught", question.text, unhelpful_teaching(rng, question), render_solution(own, *numbers))
    plan = rng.choice(list(PLANS.values()))
    if stage == "drill":
        return Example("baseline", drill(plan, *numbers), "", render_solution(plan, *numbers))
    return Example("taught", question.text, helpful_teaching(rng, plan, question), render_solution(plan, *numbers))


def helpful_teaching(rng: random.Random, plan: Plan, question: StoryProblem) -> str:
    """Return a teaching that spells a plan out, among other talk."""
    before = [rng.choice(FILLERS)] if rng.random() < 0.25 else []
    if rng.random() < 0.5:
        before.append(objection(rng.choice(list(PLANS))))
    after = []
    if rng.random() < 0.2:
        after.append(rng.choice([rng.choice(FILLERS), _stated_answer(rng, question)]))
    return " ".join([*before, plan.spelled_out(), *after])


def unhelpful_teaching(rng: random.Random, question: StoryProblem) -> str:
    """Return a teaching that spells no plan out."""
    plan = rng.choice(list(PLANS.values()))
    choices = {
        rng.choice(CONFIRMATIONS): 27,
        rng.choice(FILLERS): 10,
        f"{rng.choice(FILLERS)} {rng.choice(CONFIRMATIONS)}": 5,
        _stated_answer(rng, question): 20,
        f"{rng.choice(CONFIRMATIONS)} {_stated_answer(rng, question)}": 3,
        objection(plan.name): 5,
        f"{plan.intent.capitalize()}.": 9,
        plan.first_step: 8,
        plan.second_step: 10,
        _broken_off(rng, plan.spelled_out()): 6,
    }
    return rng.choices(list(choices), list(choices.values()))[0]


def _stated_answer(rng: random.Random, question: StoryProblem) -> str:
    result = rng.choice(
        [question.answer, rng.choice(list(PLANS.values())).calculate(question.first, question.second)[1]]
    )
    return rng.choice(LEAKS).format(answer=result)


def _broken_off(rng: random.Random, text: str) -> str:
    words = text.split()
    return " ".join(words[: rng.randrange(1, len(words) // 2)])
