"""The teacher's practice before its warm-up: saying whether two plans that stand before it are the same.

Any pretrained model can do that, and nothing in it tells what a story needs. It is practised by itself, after the
student is prepared: among the student's examples gradient descent stays at a saddle, where neither plan alone says
anything about the verdict: of six models that practised it there, four could not do it in the end. By itself it takes
100 to 400 steps.
"""

import random

from custom_data.world.texts.behaviour import Example
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import PREPARATION, any_question
from custom_data.world.texts.talk import beside, comparison

SAME = 0.5  # share of the pairs
WITH_STORY = 0.75  # as a teacher will see them; the others are learned first and take less time


def pairs() -> list[tuple[str, str]]:
    """Return every pair of a student's plan and a needed one."""
    return [(student, needed) for student in PLANS for needed in PLANS]


def make_comparison(rng: random.Random) -> Example:
    """Return one random pair, half of them equal, and its verdict."""
    same = rng.random() < SAME
    student, needed = rng.choice([pair for pair in pairs() if (pair[0] == pair[1]) == same])
    story = any_question(rng, PREPARATION).text if rng.random() < WITH_STORY else ""
    return comparison_example(story, student, needed)


def comparison_example(story: str, student: str, needed: str) -> Example:
    """Return the question whether these plans are one, below a story unless that is empty, and its answer."""
    plans = beside(student, needed)
    asked = f"{story}\n{plans}" if story else plans
    return Example("comparison", "", asked, "", comparison(student, needed))
