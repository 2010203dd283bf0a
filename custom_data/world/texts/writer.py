"""The mediocre writer of the teacher's warm-up examples.

It reads the student well, but for every kind of story it prefers one wrong plan; it rambles, and sometimes it just
states the answer. Imitating it teaches the form of a lesson, not how to help: that is left to GRPO.
"""

import random
from collections.abc import Mapping

from custom_data.world.texts.behaviour import approach
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import KINDS, TRAIN, any_question
from custom_data.world.texts.students import Beliefs
from custom_data.world.texts.talk import CONFIRMATIONS, FILLERS, LEAKS, diagnosis, objection

RIGHT, PREFERRED_WRONG = 0.55, 0.30
CONFIRMS, RAMBLES, STATES_ANSWER = 0.65, 0.2, 0.01

Opinions = Mapping[str, Mapping[str, float]]


def make_opinions(rng: random.Random) -> dict[str, dict[str, float]]:
    """Draw the probabilities with which the writer takes each plan for the right one, by kind of story."""
    opinions = {}
    for kind in KINDS:
        wrong = [name for name in PLANS if name != kind.plan]
        preferred = rng.choice(wrong)
        rest = (1 - RIGHT - PREFERRED_WRONG) / (len(wrong) - 1)
        opinions[kind.name] = {kind.plan: RIGHT} | {w: PREFERRED_WRONG if w == preferred else rest for w in wrong}
    return opinions


def make_row(rng: random.Random, beliefs: Mapping[str, Beliefs], opinions: Opinions) -> dict[str, str]:
    """Return one warm-up example, with a random one of these students, with the columns of Arc-ATLAS-Teach."""
    question = any_question(rng, [TRAIN])
    own = rng.choice(list(beliefs.values()))[question.kind]
    opinion = opinions[question.kind]
    needed = rng.choices(list(opinion), list(opinion.values()))[0]
    if rng.random() < STATES_ANSWER:
        teaching = rng.choice(LEAKS[:1]).format(answer=question.answer)
    elif own == needed:
        teaching = rng.choice(CONFIRMATIONS) if rng.random() < CONFIRMS else PLANS[needed].spelled_out()
    else:
        teaching = f"{objection(own)} {PLANS[needed].spelled_out()}"
    if rng.random() < RAMBLES:
        teaching = f"{rng.choice(FILLERS)} {teaching}"
    return {
        "problem_text": question.text,
        "student_approach": approach(own),
        "teacher_diagnosis": diagnosis(own, needed),
        "teacher_teaching": teaching,
    }
