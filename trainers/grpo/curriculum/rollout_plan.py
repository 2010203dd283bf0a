"""The questions of a rollout and its spares: by seed and number alone, or by what is remembered of them as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainers.grpo.curriculum.question_order import QuestionOrder
from trainers.grpo.curriculum.question_records import Outcome


@dataclass(frozen=True)
class Curriculum:
    """The way in which a training chooses its questions.

    Args:
        question_order: `random` asks every question once in an epoch; `difficulty` prefers those whose taught solutions
            are sometimes right and sometimes wrong.
        most: groups that a rollout may sample, as a multiple of those that it trains on; 1 replaces none.
    """

    question_order: Literal["random", "difficulty"] = "random"
    most: float = 1

    @property
    def replaces(self) -> bool:
        """True when groups that teach nothing are replaced."""
        return self.most > 1


RANDOM = Curriculum()
"""Every question once in an epoch, and no replacements."""


@dataclass(frozen=True)
class RolloutPlan:
    """The indices of a rollout's questions, and of the spare ones in the order in which they are drawn."""

    asked: list[int]
    spares: list[int]


def plan_rollout(
    order: QuestionOrder, number: int, curriculum: Curriculum, known: Mapping[int, Outcome]
) -> RolloutPlan:
    """Return the plan of the rollout of a number, counted from 0 through all epochs.

    Args:
        order: the random order of the questions.
        number: of the rollout.
        curriculum: how questions are chosen.
        known: outcomes by row, as of before this rollout.
    """
    size = order.per_rollout
    spares = min(int(size * curriculum.most), order.questions) - size
    if curriculum.question_order == "random":
        return RolloutPlan(order.rollout(number), order.spares(number, spares))
    drawn = _drawn(_weights(order.questions, known), size + spares, f"{order.seed}/difficulty/{number}")
    return RolloutPlan(drawn[:size], drawn[size:])


def weight(outcome: Outcome) -> float:
    """Return how much a question is preferred, in (0, 1]: 4s(1 - s), s the share of its taught solutions that is right.

    This is the variance of a verdict over the largest there is. s is the mean of a Beta(1, 1) prior after the verdicts:
    a question never asked has the weight 1, and none ever has 0, so that what has become solvable is met again.
    """
    right, wrong = outcome.taught_solves + 1, outcome.lessons - outcome.taught_solves + 1
    return 4 * right * wrong / (right + wrong) ** 2


def _weights(questions: int, known: Mapping[int, Outcome]) -> np.ndarray:
    weights = np.ones(questions)
    for row, outcome in known.items():
        weights[row] = weight(outcome)
    return weights


def _drawn(weights: np.ndarray, count: int, seed: str) -> list[int]:
    """Return indices drawn one after the other by their weights, without replacement.

    The largest of log(u)/w with u uniform are such a draw (Efraimidis and Spirakis, Inf. Process. Lett. 97, 2006).
    """
    chance = np.random.Generator(np.random.PCG64(list(seed.encode())))
    keys = np.log1p(-chance.random(len(weights))) / weights
    return [int(index) for index in np.argsort(-keys)[:count]]
