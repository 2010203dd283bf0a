"""Scores in what a judge says. What cannot be read for sure is no score: never a low one."""

from __future__ import annotations

import math
import re

from trainers.generation.reasoning import strip_reasoning
from trainers.teaching.verifiers.judge.rubric import Scale

_NUMBER = r"\s*([+-]?\d+(?:\.\d+)?)\s*(?:/\s*\d+(?:\.\d+)?\s*)?"


class UnreadableScore(ValueError):
    """A judge's answer holds no score, several different ones, or one outside of the scale."""


def read_score(answer: str, scale: Scale, name: str = "score") -> float:
    """Return the score that an answer states as `<score>NUMBER</score>`, in [0, 1].

    Args:
        answer: what the judge said; its reasoning is left out.
        scale: of the number.
        name: of the tag.

    Raises:
        UnreadableScore: when there is none, or several that differ: one of them may be a quotation.
    """
    found = re.findall(rf"<{name}>{_NUMBER}</{name}>", strip_reasoning(answer))
    numbers = {float(number) for number in found}
    if len(numbers) != 1:
        raise UnreadableScore(f"expected one <{name}>NUMBER</{name}>, got {sorted(numbers) or 'none'}")
    [number] = numbers
    if not math.isfinite(number):
        raise UnreadableScore(f"expected a finite number in <{name}>")
    try:
        return scale.share(number)
    except ValueError as error:
        raise UnreadableScore(str(error)) from error


def read_pair(answer: str, scale: Scale) -> tuple[float, float]:
    """Return the scores of a first and a second solution, each in [0, 1].

    Raises:
        UnreadableScore: when either cannot be read.
    """
    return read_score(answer, scale, "first"), read_score(answer, scale, "second")
