"""A reward for models that cannot teach: it differs between lessons, so that training has something to follow."""

import asyncio
import os
from pathlib import Path

from trainers.teaching.lesson import Lesson


def checksum(lesson: Lesson) -> float | None:
    """A number between 0 and 1 that depends on the sampled token ids alone."""
    return None if lesson.sample is None else sum(lesson.sample.completion.token_ids) % 7 / 6


def checksum_unless_lost(lesson: Lesson) -> float | None:
    """As `checksum`, but no lesson can be scored while the file that `ATLAS_TEST_LOST` names is there."""
    return None if Path(os.environ["ATLAS_TEST_LOST"]).exists() else checksum(lesson)


def checksum_of_every_third(lesson: Lesson) -> float | None:
    """As `checksum` for every third question; all lessons of the others earn the same."""
    return checksum(lesson) if lesson.prepared.question.row % 3 == 0 or lesson.sample is None else 0.5


def of_the_question(lesson: Lesson) -> float:
    """A number that the lessons of a question share."""
    return float(lesson.prepared.question.row % 2)


def best_of_version_3(lesson: Lesson) -> float | None:
    """As `checksum`, but highest for the weights of version 3, which are those after two steps."""
    worth = checksum(lesson)
    if lesson.sample is None or worth is None:
        return None
    return worth - 2 * abs((lesson.sample.weight_version or 0) - 3)


class SlowlyJudged:
    """An asynchronous reward with a setting: as `checksum`, times `scale`, after a wait."""

    def __init__(self, scale: float, wait_s: float = 0.01) -> None:
        self.scale, self.wait_s = scale, wait_s

    async def __call__(self, lesson: Lesson) -> float | None:
        """Score one lesson."""
        await asyncio.sleep(self.wait_s)
        worth = checksum(lesson)
        return None if worth is None else self.scale * worth
