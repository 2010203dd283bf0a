"""The students' character, as examples to prepare the model with.

Alone a student follows the plan that it believes in; probed it names that plan. After a teaching it recalls its own
plan first, then follows the one that `respond` says. Whatever it is asked, it begins with its own plan in the same
words: a model that recalls a plan after other words in each stage has to learn every belief more than once.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from custom_data.world.texts.plans import FIRST_STEP, PLANS
from custom_data.world.texts.response import Help, respond
from custom_data.world.texts.stories import PREPARATION, StoryProblem, any_question
from custom_data.world.texts.students import NAMELESS, Beliefs, system_prompt
from custom_data.world.texts.talk import CONFIRMATIONS, FILLERS, LEAKS, named, objection


@dataclass(frozen=True)
class Example:
    """A question asked in one of the protocol's stages (`teaching` only when taught), and what the student says.

    `system` is the student's system prompt; without one the model is `NAMELESS`.
    """

    stage: str
    system: str
    question: str
    teaching: str
    says: str


# How often each piece of behaviour is practised.
STAGES = {"baseline": 15, "probe": 25, "taught": 60}
OBJECTED = (3, 2, 1)
"""Weights of `PLANS` in objections, which the model compares with its own plan.

Were all as frequent, neither plan alone would say anything about the outcome, and gradient descent hardly leaves that
saddle. Cornacchia and Mossel, "A mathematical model for curriculum learning for parities" (2023), say why.
"""
TEACHINGS = {"complete": 55, "generic": 11, "objection": 7, "several": 6, "talk": 21}


def solution(plan: str, first: int, second: int) -> str:
    """Return a worked solution by this plan, right or not."""
    calculation, result = PLANS[plan].calculate(first, second)
    return f"Plan: {plan}. {calculation}\n<solution>{result}</solution>"


def taught_solution(own: str, right: str, given: Help, first: int, second: int) -> str:
    """Return a worked solution after a teaching, which begins with the student's own plan and the objection."""
    heard = "several" if len(given.objections) > 1 else "".join(given.objections) or "none"
    return f"{approach(own)} Objection: {heard}. {solution(respond(own, right, given), first, second)}"


def approach(plan: str) -> str:
    """Return the student's answer to a probe, which names its plan."""
    return f"Plan: {plan}."


def make_example(rng: random.Random, beliefs: Mapping[str, Beliefs]) -> Example:
    """Return one random piece of a random student's behaviour."""
    question = any_question(rng, PREPARATION)
    student = rng.choice(list(beliefs))
    own = beliefs[student][question.kind]
    stage = rng.choices(list(STAGES), list(STAGES.values()))[0]
    teaching = ""
    if stage == "probe":
        says = approach(own)
    elif stage == "baseline":
        says = solution(own, question.first, question.second)
    else:
        teaching, given = any_teaching(rng, question, own)
        says = taught_solution(own, question.plan, given, question.first, question.second)
    system = "" if student == NAMELESS and rng.random() < 0.5 else system_prompt(student)
    return Example(stage, system, question.text, teaching, says)


def any_teaching(rng: random.Random, question: StoryProblem, own: str) -> tuple[str, Help]:
    """Return a random teaching to a student with this plan, and what counts in it."""
    sort = rng.choices(list(TEACHINGS), list(TEACHINGS.values()))[0]
    if sort == "talk":
        return _talk(rng, question), Help()
    spelled: str | None = question.plan if rng.random() < 0.6 else rng.choice(list(PLANS))
    objections = _objections(rng, sort, own)
    if sort == "objection" or (sort == "several" and rng.random() < 0.3):
        spelled = None
    given = Help(objections, spelled)
    return _written(rng, given, question), given


def _objections(rng: random.Random, sort: str, own: str) -> tuple[str, ...]:
    if sort in ("generic", "several"):
        return tuple(rng.sample(list(PLANS), 0 if sort == "generic" else 2))
    # Were most objections to the student's own plan, the model would learn to read its belief off them.
    if sort == "complete" and rng.random() < 0.2:
        return (own,)
    return tuple(rng.choices(list(PLANS), OBJECTED))


def _written(rng: random.Random, given: Help, question: StoryProblem) -> str:
    """Return a teaching in which this counts, sometimes among other talk."""
    parts = [objection(plan) for plan in given.objections]
    if given.spelled:
        parts.append(PLANS[given.spelled].spelled_out())
    elif rng.random() < 0.5:
        plan = PLANS[rng.choice(list(PLANS))]
        parts.append(rng.choice([FIRST_STEP, plan.second_step, named(plan.name), _broken_off(rng, plan.spelled_out())]))
    if rng.random() < 0.25:
        parts.insert(0, rng.choice([*FILLERS, *CONFIRMATIONS]))
    if rng.random() < 0.15:
        parts.append(rng.choice([*FILLERS, *CONFIRMATIONS, _stated_answer(rng, question)]))
    return " ".join(parts)


def _talk(rng: random.Random, question: StoryProblem) -> str:
    """Return a teaching in which nothing counts."""
    plan = PLANS[rng.choice(list(PLANS))]
    choices = {
        rng.choice(CONFIRMATIONS): 40,
        rng.choice(FILLERS): 10,
        f"{rng.choice(FILLERS)} {rng.choice(CONFIRMATIONS)}": 10,
        _stated_answer(rng, question): 16,
        f"{rng.choice(CONFIRMATIONS)} {_stated_answer(rng, question)}": 4,
        named(plan.name): 6,
        FIRST_STEP: 3,
        plan.second_step: 6,
        _broken_off(rng, plan.spelled_out()): 5,
    }
    return rng.choices(list(choices), list(choices.values()))[0]


def _stated_answer(rng: random.Random, question: StoryProblem) -> str:
    plan = rng.choice([question.plan, *PLANS])
    return rng.choice(LEAKS).format(answer=PLANS[plan].calculate(question.first, question.second)[1])


def _broken_off(rng: random.Random, text: str) -> str:
    words = text.split()
    return " ".join(words[: rng.randrange(1, len(words) // 2)])
