"""Scores in what a judge says. What cannot be read for sure is no score: never a low one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from trainers.generation.reasoning import strip_reasoning
from trainers.teaching.verifiers.judge.rubric import Scale

_EXCERPT = 80
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
    return _share(number, scale, name)


def read_structured(answer: str, scale: Scale, names: Sequence[str]) -> list[float]:
    """Return the scores that an answer states as members of a JSON object, each in [0, 1].

    Raises:
        UnreadableScore: when it is no such object, or a member is missing, twice there or no number of the scale.
    """
    try:
        members = json.loads(strip_reasoning(answer), object_pairs_hook=list, strict=False)
    except ValueError as error:
        raise UnreadableScore(f"expected a JSON object, got {answer[:_EXCERPT]!r} ({error})") from error
    scores = []
    for name in names:
        found = [value for member, value in members if member == name] if _is_object(members) else []
        if len(found) != 1 or isinstance(found[0], bool) or not isinstance(found[0], int | float):
            raise UnreadableScore(f"expected one number {name!r} in a JSON object, got {answer[:_EXCERPT]!r}")
        scores.append(_share(float(found[0]), scale, name))
    return scores


def _is_object(value: Any) -> bool:
    """Return True for the members of an object, as they are read: pairs of a name and a value."""
    return isinstance(value, list) and all(isinstance(each, tuple) for each in value)


def _share(number: float, scale: Scale, name: str) -> float:
    if not math.isfinite(number):
        raise UnreadableScore(f"expected a finite number in {name}")
    try:
        return scale.share(number)
    except ValueError as error:
        raise UnreadableScore(str(error)) from error
