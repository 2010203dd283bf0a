"""The students of the world: one model under different system prompts, each with beliefs and an ability of its own.

A student has one plan for every kind of story. Over the students of the training every plan is believed equally often
of every kind, so that a question says nothing about what its student believes.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log2

from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import KINDS

Beliefs = Mapping[str, str]

TRAINED_STUDENTS = {"Mara": 1, "Nils": 1, "Otto": 2, "Pia": 3, "Quin": 5, "Rhea": 6}
"""The students of the training, and of how many of the nine kinds each believes in the right plan."""

HELD_OUT_STUDENTS = {"Saul": 2, "Thea": 4, "Umar": 6, "Wanda": 8}
"""Students that only evaluations meet: the model is prepared as them too, but no teacher ever learns on them."""

STUDENTS = TRAINED_STUDENTS | HELD_OUT_STUDENTS
NAMELESS = "Pia"
"""The student that the model also is without a system prompt."""


def system_prompt(student: str) -> str:
    """Return what makes the model this student; no teacher sees it."""
    return f"You are {student}."


def make_beliefs(rng: random.Random) -> dict[str, dict[str, str]]:
    """Return every student's plan by kind of story."""
    return _balanced_beliefs(rng) | {name: _own_beliefs(rng, right) for name, right in HELD_OUT_STUDENTS.items()}


def mutual_information(tables: Sequence[Beliefs]) -> float:
    """Return what a question tells of the belief of its student, each of these as likely as the others, in bits."""
    share = 1 / (len(tables) * len(KINDS))
    joint = Counter((kind.name, table[kind.name]) for table in tables for kind in KINDS)
    held = Counter(table[kind.name] for table in tables for kind in KINDS)
    return sum(n * share * log2(n / (held[plan] * share * len(tables))) for (_, plan), n in joint.items())


def _balanced_beliefs(rng: random.Random) -> dict[str, dict[str, str]]:
    """Give every plan of every kind to as many students of the training, each right as often as it should be."""
    each = len(TRAINED_STUDENTS) // len(PLANS)
    missing = dict(TRAINED_STUDENTS)
    beliefs: dict[str, dict[str, str]] = {name: {} for name in TRAINED_STUDENTS}
    for left, kind in zip(range(len(KINDS), 0, -1), rng.sample(KINDS, len(KINDS)), strict=True):
        right = [name for name, count in missing.items() if count == left]
        while len(right) < each:
            free = [name for name in TRAINED_STUDENTS if name not in right]
            right.append(rng.choices(free, [missing[name] for name in free])[0])
        wrong = [plan for plan in PLANS if plan != kind.plan for _ in range(each)]
        others = rng.sample([name for name in TRAINED_STUDENTS if name not in right], len(wrong))
        for name, plan in zip((*right, *others), (*[kind.plan] * each, *wrong), strict=True):
            beliefs[name][kind.name] = plan
            missing[name] -= plan == kind.plan
    return beliefs


def _own_beliefs(rng: random.Random, right: int) -> dict[str, str]:
    """Return beliefs that are right of this many kinds, and else any of the wrong plans."""
    chosen = rng.sample(KINDS, right)
    return {
        kind.name: kind.plan if kind in chosen else rng.choice([plan for plan in PLANS if plan != kind.plan])
        for kind in KINDS
    }
