"""Ground truths from the texts of a dataset: bare answers, worked solutions that lead to one, assistants' turns."""

from __future__ import annotations

import re

from trainers.generation.reasoning import strip_reasoning
from trainers.teaching.verifiers.extraction import extract_answer

_CALCULATION = re.compile(r"<<[^<>]*>>")
MARKER = "####"
"""GSM8K puts the final answer of a worked solution behind this."""


def ground_truth(text: str) -> str:
    r"""Return the final answer of an answer column: after `####`, or the last `\boxed{…}`, or else the whole text."""
    if MARKER in text:
        return text.rpartition(MARKER)[2].strip()
    if r"\boxed" in text:
        return extract_answer(text) or text.strip()
    return text.strip()


def answer_of_turn(text: str) -> str:
    """Return the final answer of an assistant's turn, found as in a student's solution.

    The whole turn when it states none.
    """
    text = strip_reasoning(text)
    return extract_answer(text) or text


def without_marker(text: str) -> str:
    """Return a worked solution without GSM8K's marks: the `#### …` that repeats its answer, and `<<48/2=24>>`."""
    return _CALCULATION.sub("", text.rpartition(MARKER)[0]).strip() if MARKER in text else text.strip()
