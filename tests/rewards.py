"""A reward for models that cannot teach: it differs between lessons, so that training has something to follow."""

from trainers.teaching.lesson import Lesson


def checksum(lesson: Lesson) -> float | None:
    """A number between 0 and 1 that depends on the sampled token ids alone."""
    return None if lesson.sample is None else sum(lesson.sample.completion.token_ids) % 7 / 6
