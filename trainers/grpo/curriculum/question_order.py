"""Which questions each rollout asks: a pure function of the seed and the rollout's number.

TRL's sampler draws its permutations from a generator that runs on from epoch to epoch. Whoever resumes in a later epoch
would see the first one again, and nobody could tell the next rollout's questions before it comes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

from torch.utils.data import Sampler

from trainers.configuration.epochs import whole_rollouts


@dataclass(frozen=True)
class QuestionOrder:
    """Every epoch asks all questions once in an order of its own; those that fill no rollout wait for the next one.

    Args:
        questions: how many there are; they are known here by their indices.
        per_rollout: questions of one rollout.
        seed: seed of the orders.
        shuffle: whether epochs differ, or follow the order of the dataset.

    Raises:
        ValueError: when there are too few questions for one rollout.
    """

    questions: int
    per_rollout: int
    seed: int
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.questions < self.per_rollout:
            raise ValueError(
                f"{self.questions} training questions do not fill one rollout of {self.per_rollout}: use more "
                "questions, or lower train_batch_size (completions per step) or steps_per_generation"
            )

    @property
    def rollouts_per_epoch(self) -> int:
        """Whole rollouts of an epoch."""
        return whole_rollouts(self.questions, self.per_rollout)

    def epoch(self, epoch: int) -> list[list[int]]:
        """Return the rollouts of one epoch, each as the indices of its questions."""
        indices = list(range(self.questions))
        if self.shuffle:
            random.Random(f"{self.seed}/questions/{epoch}").shuffle(indices)
        size = self.per_rollout
        return [indices[number * size : (number + 1) * size] for number in range(self.rollouts_per_epoch)]

    def rollout(self, number: int) -> list[int]:
        """Return the questions of one rollout, counted from 0 through all epochs."""
        epoch, within = divmod(number, self.rollouts_per_epoch)
        return self.epoch(epoch)[within]

    def spares(self, number: int, count: int) -> list[int]:
        """Return questions that are not the rollout's own, at most so many, in an order that every rollout has anew."""
        if count <= 0:
            return []
        asked = set(self.rollout(number))
        chance = random.Random(f"{self.seed}/spares/{number}")
        drawn = chance.sample(range(self.questions), min(self.questions, count + len(asked)))
        return [index for index in drawn if index not in asked][:count]


class QuestionSampler(Sampler[int]):
    """A `QuestionOrder` as TRL's trainer wants it: each question repeated for its group, each rollout for its batches.

    Args:
        order: the rollouts.
        num_generations: lessons of a group.
        batches: micro-batches that are trained on one rollout; TRL reads the rollout's questions for each of them.
        epoch: the epoch that is about to be iterated.
    """

    def __init__(self, order: QuestionOrder, num_generations: int, batches: int, epoch: Callable[[], int]) -> None:
        self.order = order
        self.num_generations = num_generations
        self.batches = batches
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        for asked in self.order.epoch(self.epoch()):
            for _ in range(self.batches):
                for index in asked:
                    yield from repeat(index, self.num_generations)

    def __len__(self) -> int:
        return self.order.rollouts_per_epoch * self.order.per_rollout * self.num_generations * self.batches
